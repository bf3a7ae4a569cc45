"""What this device reaches at best: a large copy for memory, a large matrix product for arithmetic, exponentials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from time import perf_counter

import torch

from vigbench.measure.latency import timed
from vigbench.measure.settings import tf32_allowed
from vigbench.subjects.task import DTYPES

COPY_BYTES = {"cpu": 2**28, "cuda": 2**31}  # of source and target each: far beyond any cache
PRODUCT_SIDE = {"cpu": 1536, "cuda": 8192}
SPECIAL_ELEMENTS, SPECIAL_REPEATS = 2**16, 64  # on a CPU: in the cores' own caches; calls that are timed together
LEAST_CALLS, LEAST_S, MOST_S = 3, 0.5, 5.0

TRIAL_SIDE = 256
MOST_TRIAL_S = 2.0  # of one product of the full size, estimated from a small one: beyond, it is no fast path


@dataclass(frozen=True)
class Ceilings:
    """What a device reaches at best.

    Attributes:
        copy_gb_per_s: 10^9 bytes read and written per second.
        product_tflop_per_s: 10^12 floating-point operations per second, by precision; `tf32` is one.
        slow: precisions in which this device has no fast matrix product, left out.
        special_g_per_s: 10^9 exponentials in float32 per second; None where nothing here can tell.
    """

    copy_gb_per_s: float
    product_tflop_per_s: dict[str, float]
    slow: tuple[str, ...] = ()
    special_g_per_s: float | None = None

    def best(self, other: Ceilings) -> Ceilings:
        """The higher of each: what others took of the machine does not lower a ceiling."""
        rates = self.product_tflop_per_s | {
            name: max(rate, self.product_tflop_per_s.get(name, 0.0)) for name, rate in other.product_tflop_per_s.items()
        }
        slow = tuple(name for name in self.slow if name not in rates)
        special = max(filter(None, (self.special_g_per_s, other.special_g_per_s)), default=None)
        return Ceilings(max(self.copy_gb_per_s, other.copy_gb_per_s), rates, slow, special)


def device_ceilings(device: torch.device, precision: str) -> Ceilings:
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
    return Ceilings(copy, rates, tuple(slow), special_g_per_s(device))


def copy_gb_per_s(device: torch.device) -> float:
    """10^9 bytes read and written per second by a copy from memory to memory of one device."""
    source = torch.ones(COPY_BYTES[device.type], dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    return 2 * source.numel() / _shortest(lambda: target.copy_(source), device) / 1e9


def product_tflop_per_s(device: torch.device, dtype: torch.dtype) -> float:
    """10^12 floating-point operations per second of a square matrix product, 2 for each multiply-add.

    Args:
        device: cpu or cuda.
        dtype: of both factors; float32 takes TF32 where the process allows it.
    """
    side = PRODUCT_SIDE[device.type]
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(side, side, generator=generator).to(device, dtype) for _ in range(2))
    product = torch.empty_like(left)
    return 2 * side**3 / _shortest(lambda: torch.mm(left, right, out=product), device) / 1e12


def special_g_per_s(device: torch.device) -> float | None:
    """10^9 exponentials in float32 per second, of numbers that are where they are computed: a cache, or registers.

    None on a GPU without Triton: PyTorch's own would wait for memory.
    """
    if device.type == "cuda":
        return _special_in_registers(device) if find_spec("triton") else None
    x = torch.linspace(-1, 0, SPECIAL_ELEMENTS)
    out = torch.empty_like(x)

    def call() -> None:
        for _ in range(SPECIAL_REPEATS):
            torch.exp2(x, out=out)

    return SPECIAL_REPEATS * x.numel() / _shortest(call, device) / 1e9


def _special_in_registers(device: torch.device) -> float:
    from vigbench.measure.special_rate import PER_PROGRAM, start

    programs = 16 * torch.cuda.get_device_properties(device).multi_processor_count
    out = torch.empty(programs, device=device)
    return programs * PER_PROGRAM / _shortest(lambda: start(out), device) / 1e9


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


def _shortest(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest call: what disturbs a call does not belong to the device."""
    timed_call = timed(call, torch.cuda.synchronize if device.type == "cuda" else lambda: None)
    timed_call()
    durations: list[float] = []
    begin = perf_counter()
    while len(durations) < LEAST_CALLS or perf_counter() - begin < LEAST_S:
        durations.append(timed_call())
        if perf_counter() - begin > MOST_S:
            break
    return min(durations)
