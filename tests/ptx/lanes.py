"""Registers of all lanes of a block as arrays, and what instructions without memory do to them."""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Lanes = NDArray[Any]

DTYPES: dict[str, Any] = {
    "b8": np.uint8, "u8": np.uint8, "s8": np.int8,
    "b16": np.uint16, "u16": np.uint16, "s16": np.int16, "f16": np.float16,
    "b32": np.uint32, "u32": np.uint32, "s32": np.int32, "f32": np.float32,
    "b64": np.uint64, "u64": np.uint64, "s64": np.int64, "f64": np.float64,
    "pred": np.bool_, "bf16": np.uint16, "bf16x2": np.uint32, "f16x2": np.uint32,
}  # fmt: skip
WIDER = {"u16": np.uint32, "s16": np.int32, "u32": np.uint64, "s32": np.int64}
COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "lo": np.less, "ls": np.less_equal, "hi": np.greater, "hs": np.greater_equal,
}  # fmt: skip


def immediate(text: str, kind: str) -> Any:
    """A constant in an instruction of that type."""
    if text.startswith(("0f", "0F")):
        return np.frombuffer(struct.pack("<I", int(text[2:], 16)), np.uint32)[0].view(DTYPES[kind])
    if text.startswith(("0d", "0D")):
        return np.frombuffer(struct.pack("<Q", int(text[2:], 16)), np.uint64)[0].view(DTYPES[kind])
    value = int(text.removesuffix("U"), 0)
    dtype = np.dtype(DTYPES[kind])
    if dtype == np.bool_:
        return np.bool_(value != 0)
    if dtype.kind == "f":
        return dtype.type(value)
    return np.array(value & ((1 << (8 * dtype.itemsize)) - 1), dtype=f"u{dtype.itemsize}").view(dtype)[()]


def from_bfloat16(bits: Lanes) -> Lanes:
    """float32 of bfloat16 bits."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def to_bfloat16(x: Lanes) -> Lanes:
    """bfloat16 bits of float32, to nearest, ties to even."""
    bits = np.ascontiguousarray(x).view(np.uint32)
    rounded = ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype(np.uint16)
    return np.where(np.isnan(x), np.uint16(0x7FFF), rounded)


def widened(bits: Lanes, kind: str) -> Lanes:
    """float32 of 16-bit numbers."""
    return from_bfloat16(bits) if kind == "bf16" else bits.view(np.float16).astype(np.float32)


def halves(words: Lanes, kind: str) -> Lanes:
    """The two numbers in each 32-bit word, the lower first: (..., 2) in float32."""
    return widened(np.ascontiguousarray(words).view(np.uint16).reshape(*words.shape, 2), kind)


def shuffle(mode: str, x: Lanes, b: Lanes, c: Lanes) -> tuple[Lanes, Lanes]:
    """shfl.sync within each warp: what each lane gets, and whether its source was in range."""
    lane = np.arange(len(x)) % 32
    segment, clamp = (c.astype(np.int64) >> 8) & 31, c.astype(np.int64) & 31
    least, most = lane & segment, (lane & segment) | (clamp & ~segment)
    by = b.astype(np.int64) & 31
    source = {"up": lane - by, "down": lane + by, "bfly": lane ^ by, "idx": least | (by & ~segment)}[mode]
    in_range = source >= most if mode == "up" else source <= most
    source = np.where(in_range, source, lane)
    return x[np.arange(len(x)) - lane + source], in_range


def permute_bytes(a: Lanes, b: Lanes, selector: Lanes) -> Lanes:
    """prmt in its default mode: four bytes out of eight."""
    both = a.astype(np.uint64) | (b.astype(np.uint64) << np.uint64(32))
    out = np.zeros(both.shape, dtype=np.uint32)
    for n in range(4):
        nibble = (selector.astype(np.uint64) >> np.uint64(4 * n)) & np.uint64(0xF)
        byte = ((both >> (np.uint64(8) * (nibble & np.uint64(7)))) & np.uint64(0xFF)).astype(np.uint32)
        spread = np.where(byte & 0x80, 0xFF, 0).astype(np.uint32)
        out |= np.where(nibble & np.uint64(8), spread, byte) << np.uint32(8 * n)
    return out


def extract_bits(x: Lanes, start: Lanes, length: Lanes) -> Lanes:
    """bfe: a field of bits, of a signed type with its sign."""
    width = 8 * x.dtype.itemsize
    start, length = start.astype(np.int64) & 255, length.astype(np.int64) & 255
    value = x.astype(np.int64) if x.dtype.kind == "i" else x.astype(np.uint64).astype(np.int64)
    field = (value >> np.minimum(start, width - 1)) & ((np.int64(1) << np.minimum(length, 62)) - 1)
    if x.dtype.kind == "i":
        top = np.int64(1) << np.maximum(np.minimum(length, 62) - 1, 0)
        field = np.where(length > 0, (field ^ top) - top, 0)
    return field.astype(x.dtype)
