"""Work queued on a CUDA device around a timed call: flush the cache, spin, mark the time."""

from __future__ import annotations

from typing import Any, Protocol

import torch

FLUSH_TIMES_L2 = 2  # a write of twice the L2 cache leaves nothing of the last call in it
L2_IF_UNKNOWN = 64 * 2**20
_CALIBRATION_CYCLES = 10_000_000  # about 5 ms


class Event(Protocol):
    """What this file needs of torch.cuda.Event."""

    def query(self) -> bool:
        """Whether the device has passed it."""

    def synchronize(self) -> None:
        """Wait until the device has passed it."""

    def elapsed_time(self, end_event: Any) -> float:
        """Milliseconds from here to `end_event`."""


class DeviceQueue(Protocol):
    """Work that is queued on the device around a call; every method returns at once."""

    def flush(self) -> None:
        """Empty the L2 cache of what calls left there."""

    def spin(self, seconds: float) -> None:
        """Keep the device busy without touching memory."""

    def record(self) -> Event:
        """Mark this point of the queue."""


def flush_buffer(device: torch.device) -> torch.Tensor:
    """Bytes on `device` that displace whatever is in its L2 cache when they are written."""
    l2 = int(getattr(torch.cuda.get_device_properties(device), "L2_cache_size", 0)) or L2_IF_UNKNOWN
    return torch.empty(FLUSH_TIMES_L2 * l2, dtype=torch.int8, device=device)


class CudaQueue:
    """The current stream of a CUDA device."""

    def __init__(self, device: torch.device) -> None:
        """Allocate the buffer that flushes the cache, and learn how fast the device counts cycles."""
        self._buffer = flush_buffer(device)
        self._cycles_per_s = 1e9
        for _ in range(2):  # the first one loads the kernel and raises the clock
            begin = self.record()
            self.spin(_CALIBRATION_CYCLES / 1e9)
            end = self.record()
            end.synchronize()
        self._cycles_per_s = _CALIBRATION_CYCLES / (begin.elapsed_time(end) / 1e3)

    def flush(self) -> None:
        """Write the whole buffer."""
        self._buffer.zero_()

    def spin(self, seconds: float) -> None:
        """One thread counts cycles."""
        torch.cuda._sleep(int(seconds * self._cycles_per_s))

    def record(self) -> torch.cuda.Event:
        """An event with a time, about half a microsecond exact."""
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
