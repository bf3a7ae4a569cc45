"""The device's ceilings, measured now: a copy's bandwidth, and the rate of a matrix product in each precision."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

import torch

from vigbench.measure.ceilings import PRODUCT_SIDE, copy_gb_per_s, product_tflop_per_s
from vigbench.measure.settings import DTYPES, tf32_allowed

TRIAL_SIDE = 256
MOST_TRIAL_S = 2.0  # of one product of the full size, estimated from a small one: beyond, it is no fast path


@dataclass(frozen=True)
class Roofs:
    """What a device reaches at best.

    Attributes:
        copy_gb_per_s: 10^9 bytes read and written per second.
        product_tflop_per_s: 10^12 floating-point operations per second, by precision; `tf32` is one.
        slow: precisions in which this device has no fast matrix product, left out.
    """

    copy_gb_per_s: float
    product_tflop_per_s: dict[str, float]
    slow: tuple[str, ...] = ()

    def best(self, other: Roofs) -> Roofs:
        """The higher of each: what others took of the machine does not lower a ceiling."""
        rates = self.product_tflop_per_s | {
            name: max(rate, self.product_tflop_per_s.get(name, 0.0)) for name, rate in other.product_tflop_per_s.items()
        }
        slow = tuple(name for name in self.slow if name not in rates)
        return Roofs(max(self.copy_gb_per_s, other.copy_gb_per_s), rates, slow)


def measure_roofs(device: torch.device, precision: str) -> Roofs:
    """Measure on `device` with the process's threads; `precision` (or `tf32`) in any case, the others where fast."""
    copy = copy_gb_per_s(device)
    rates: dict[str, float] = {}
    slow = []
    names = ["float32", *(["tf32"] if device.type == "cuda" else []), "bfloat16", "float16"]
    for name in dict.fromkeys((precision, *names)):
        with tf32_allowed(name == "tf32"):
            dtype = DTYPES.get(name, torch.float32)
            if name == precision or _is_fast(device, dtype):
                rates[name] = product_tflop_per_s(device, dtype)
            else:
                slow.append(name)
    return Roofs(copy, rates, tuple(slow))


def _is_fast(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether a product of the full size takes no longer than `MOST_TRIAL_S`, judged by a small one."""
    side = torch.ones(TRIAL_SIDE, TRIAL_SIDE, device=device, dtype=dtype)
    try:
        side @ side
    except RuntimeError:  # not supported at all
        return False
    begin = perf_counter()
    float((side @ side)[0, 0])  # waits for the device
    return (perf_counter() - begin) * (PRODUCT_SIDE[device.type] / TRIAL_SIDE) ** 3 <= MOST_TRIAL_S
