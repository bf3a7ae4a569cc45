"""Instructions on matrices: how their parts lie in registers and in shared memory (PTX ISA, sections 9.7.14 and 15)."""

import numpy as np

from tests.ptx.lanes import Lanes, halves, widened
from tests.ptx.memory import SharedMemory

SWIZZLES = {0: 0, 1: 128, 2: 64, 3: 32}  # a descriptor's two bits, and the bytes of a row
GROUP = 128  # lanes of a warp group


def load_matrix(shared: SharedMemory, addresses: Lanes, count: int, transposed: bool, what: str) -> list[Lanes]:
    """ldmatrix: `count` matrices of 8 x 8, whose rows' addresses are those of 8 lanes each; a register for each."""
    lanes = np.arange(len(addresses))
    first, lane = lanes - lanes % 32, lanes % 32
    found = []
    for n in range(count):
        row, column = (2 * (lane % 4), lane // 4) if transposed else (lane // 4, 2 * (lane % 4))
        low = _halfword(shared, addresses, first + 8 * n + row, column, what)
        row, column = (row + 1, column) if transposed else (row, column + 1)
        high = _halfword(shared, addresses, first + 8 * n + row, column, what)
        found.append(low.astype(np.uint32) | (high.astype(np.uint32) << np.uint32(16)))
    return found


def _halfword(shared: SharedMemory, addresses: Lanes, source: Lanes, column: Lanes, what: str) -> Lanes:
    at = addresses[source].astype(np.uint64) + (2 * column).astype(np.uint64)
    return shared.load(np.arange(len(addresses)) // 32, at, 2, what).view(np.uint16)[:, 0]


def store_matrix(shared: SharedMemory, addresses: Lanes, values: list[Lanes], transposed: bool, what: str) -> None:
    """stmatrix, the opposite of ldmatrix."""
    lanes = np.arange(len(addresses))
    first, lane = lanes - lanes % 32, lanes % 32
    for n, words in enumerate(values):
        for part in range(2):
            row, column = (lane // 4, 2 * (lane % 4) + part)
            if transposed:
                row, column = column, row
            at = addresses[first + 8 * n + row].astype(np.uint64) + (2 * column).astype(np.uint64)
            half = ((words >> np.uint32(16 * part)) & np.uint32(0xFFFF)).astype(np.uint16)
            shared.store(lanes // 32, at, half.view(np.uint8).reshape(-1, 2), what)


def fragment(registers: list[Lanes], kind: str, lanes: Lanes) -> Lanes:
    """The first operand of a product as a matrix: 16 rows a warp, 16 columns, in float32."""
    warps = len(lanes) // 32
    a = np.zeros((16 * warps, 16), dtype=np.float32)
    warp, lane = np.arange(len(lanes)) // 32, np.arange(len(lanes)) % 32
    for n, words in enumerate(registers):
        row, column = 16 * warp + lane // 4 + 8 * (n % 2), 2 * (lane % 4) + 8 * (n // 2)
        pair = halves(words[lanes], kind)
        a[row, column], a[row, column + 1] = pair[:, 0], pair[:, 1]
    return a


def multiply_in_warps(a: list[Lanes], b: list[Lanes], c: list[Lanes], kind: str) -> list[Lanes]:
    """mma.sync.m16n8k16: each warp's 16 x 8 result; `c` are four float32 registers."""
    lanes = np.arange(len(c[0]))
    warp, lane = lanes // 32, lanes % 32
    first = fragment(a, kind, lanes).reshape(-1, 16, 16)
    second = np.zeros((len(first), 16, 8), dtype=np.float32)
    for n, words in enumerate(b):
        pair = halves(words, kind)
        for part in range(2):
            second[warp, 2 * (lane % 4) + part + 8 * n, lane // 4] = pair[:, part]
    product = first @ second
    return [c[n] + product[warp, lane // 4 + 8 * (n // 2), 2 * (lane % 4) + n % 2] for n in range(4)]


def result_place(n: int, lanes: Lanes) -> tuple[Lanes, Lanes]:
    """Row and column of the n-th register of a warp group's result."""
    lane, warp = lanes % 32, (lanes % GROUP) // 32
    return 16 * warp + lane // 4 + 8 * ((n >> 1) & 1), 8 * (n // 4) + 2 * (lane % 4) + (n & 1)


def descriptor_bytes(descriptor: int, rows: int, transposed: bool) -> Lanes:
    """(rows, 16, 2) addresses of a 16-bit operand of a warp group's product; its rows are those of M or of N.

    `transposed`: rows lie side by side in memory, not the 16 columns (PTX ISA, canonical layouts).
    """
    start, leading, stride = ((descriptor >> shift & 0x3FFF) << 4 for shift in (0, 16, 32))
    assert (descriptor >> 49) & 7 == 0, "base offsets are not known here"
    width = SWIZZLES[descriptor >> 62]
    row, column = np.arange(rows)[:, None], np.arange(16)[None, :]
    if not transposed:
        if width:
            at = row // 8 * stride + row % 8 * width + 2 * column
        else:
            at = row // 8 * stride + row % 8 * 16 + column // 8 * leading + column % 8 * 2
    elif width:
        per = width // 2
        at = row // per * leading + column // 8 * stride + column % 8 * width + row % per * 2
    else:
        at = row // 8 * stride + column // 8 * leading + column % 8 * 16 + row % 8 * 2
    at = start + at
    if width:
        at = at ^ (((at >> 7) & (width // 16 - 1)) << 4)
    return np.asarray(at[..., None] + np.arange(2))


def load_operand(shared: SharedMemory, at: Lanes, kind: str) -> Lanes:
    """(rows, 16) in float32 from addresses; who reads is recorded elsewhere."""
    bits = np.ascontiguousarray(shared.data[at]).view(np.uint16)[..., 0]
    return widened(bits, kind)
