"""Global memory as it is on the host, and shared memory that knows who wrote and read each byte.

Two warps that access the same byte, one of them writing, with nothing between that orders them, are a race, whatever
value happens to be read. Order comes from barriers of all warps, and within a warp group from its products.
"""

import ctypes

import numpy as np
import torch

from tests.ptx.lanes import Lanes

LANES = 32


class MemoryFaultError(AssertionError):
    """An access outside of what is allocated."""


class RaceError(AssertionError):
    """Two warps access the same byte of shared memory, and nothing orders them."""


class GlobalMemory:
    """The storages of tensors on the host, at their own addresses."""

    def __init__(self, tensors: list[torch.Tensor]) -> None:
        self.spans: list[tuple[int, int, Lanes]] = []
        for start, size in {(x.untyped_storage().data_ptr(), x.untyped_storage().nbytes()) for x in tensors}:
            if size:
                data = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(start))
                self.spans.append((start, start + size, data))

    def _locate(self, addresses: Lanes, size: int) -> tuple[Lanes, Lanes]:
        low, high = int(addresses.min()), int(addresses.max()) + size
        for start, end, data in self.spans:
            if start <= low < end:
                if high > end:
                    break
                return data, (addresses - np.uint64(start)).astype(np.int64)
        raise MemoryFaultError(f"global memory at {low:#x} to {high:#x} belongs to no tensor")

    def load(self, addresses: Lanes, size: int) -> Lanes:
        """(lanes, size) bytes."""
        data, at = self._locate(addresses, size)
        return np.asarray(data[at[:, None] + np.arange(size)])

    def store(self, addresses: Lanes, values: Lanes) -> None:
        """Write (lanes, size) bytes."""
        data, at = self._locate(addresses, values.shape[1])
        data[at[:, None] + np.arange(values.shape[1])] = values


class SharedMemory:
    """Shared memory of a block of `warps` warps.

    `clock[w, v]` is how far warp w knows the time of warp v; an access is ordered behind what is not later than that.
    """

    def __init__(self, size: int, warps: int) -> None:
        self.data = np.full(size, 0xFF, dtype=np.uint8)  # NaN in every floating dtype
        self.clock = np.eye(warps, dtype=np.int64)
        self.writer = np.zeros(size, dtype=np.int64)
        self.written = np.zeros(size, dtype=np.int64)
        self.read = np.zeros((size, warps), dtype=np.int64)

    def synchronize(self, warps: slice) -> None:
        """Everything that these warps did comes before everything that they do from now on."""
        known = self.clock[warps].max(0)
        self.clock[warps] = known
        numbers = np.arange(len(self.clock))[warps]
        self.clock[numbers, numbers] += 1

    def touch_read(self, warps: Lanes, at: Lanes, what: str) -> None:
        """Warp `warps[i]` reads the bytes `at[i]`."""
        self._within(at, what)
        late = (self.writer[at] != warps[:, None]) & (self.written[at] > self.clock[warps[:, None], self.writer[at]])
        if late.any():
            raise RaceError(f"{what} reads what another warp has written without a barrier between")
        self.read[at, warps[:, None]] = self.clock[warps, warps][:, None]

    def touch_write(self, warps: Lanes, at: Lanes, what: str) -> None:
        """Warp `warps[i]` writes the bytes `at[i]`."""
        self._within(at, what)
        others = self.read[at].copy()
        np.put_along_axis(others, np.broadcast_to(warps[:, None, None], (*at.shape, 1)), 0, 2)
        if (others > self.clock[warps][:, None, :]).any():
            raise RaceError(f"{what} writes over what another warp has not finished reading")
        late = (self.writer[at] != warps[:, None]) & (self.written[at] > self.clock[warps[:, None], self.writer[at]])
        if late.any():
            raise RaceError(f"{what} writes over what another warp has written without a barrier between")
        self.writer[at] = warps[:, None]
        self.written[at] = self.clock[warps, warps][:, None]

    def load(self, warps: Lanes, addresses: Lanes, size: int, what: str) -> Lanes:
        """(lanes, size) bytes."""
        at = addresses.astype(np.int64)[:, None] + np.arange(size)
        self.touch_read(warps, at, what)
        return np.asarray(self.data[at])

    def store(self, warps: Lanes, addresses: Lanes, values: Lanes, what: str) -> None:
        """Write (lanes, size) bytes."""
        at = addresses.astype(np.int64)[:, None] + np.arange(values.shape[1])
        self.touch_write(warps, at, what)
        self.data[at] = values

    def _within(self, at: Lanes, what: str) -> None:
        if at.size and (at.min() < 0 or at.max() >= len(self.data)):
            raise MemoryFaultError(f"{what} at {at.min()} to {at.max()}, but shared memory has {len(self.data)} bytes")
