"""Instructions without memory: a function of typed operands for each name."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.ptx.lanes import COMPARE, DTYPES, WIDER, extract_bits, from_bfloat16, permute_bytes, to_bfloat16

Value = Any  # an array over the lanes, or a constant


def _shift_left(x: Value, by: Value) -> Value:
    by = np.asarray(by).astype(np.uint64)
    width = np.uint64(8 * np.asarray(x).dtype.itemsize)
    return np.where(by < width, np.left_shift(x, np.minimum(by, width - np.uint64(1)).astype(x.dtype)), x.dtype.type(0))


def _shift_right(x: Value, by: Value) -> Value:
    by = np.asarray(by).astype(np.uint64)
    width = np.uint64(8 * np.asarray(x).dtype.itemsize)
    shifted = np.right_shift(x, np.minimum(by, width - np.uint64(1)).astype(x.dtype))
    return shifted if np.asarray(x).dtype.kind == "i" else np.where(by < width, shifted, x.dtype.type(0))


def _divide(a: Value, b: Value) -> Value:
    if np.asarray(a).dtype.kind == "f":
        return a / b
    quotient = np.abs(a.astype(np.int64)) // np.maximum(np.abs(b.astype(np.int64)), 1)
    return (np.sign(a.astype(np.int64)) * np.sign(b.astype(np.int64)) * quotient).astype(np.asarray(a).dtype)


def _remainder(a: Value, b: Value) -> Value:
    return (a.astype(np.int64) - _divide(a, b).astype(np.int64) * b.astype(np.int64)).astype(np.asarray(a).dtype)


def _fused(a: Value, b: Value, c: Value) -> Value:
    """Rounded once, but for a double rounding that is rarer than 1 in 10^8."""
    return (np.float64(a) * np.float64(b) + np.float64(c)).astype(np.float32)


UNARY: dict[str, Callable[[Value], Value]] = {
    "neg": np.negative,
    "abs": np.abs,
    "not": np.invert,
    "ex2": np.exp2,
    "lg2": np.log2,
    "rcp": np.reciprocal,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "tanh": np.tanh,
    "mov": lambda x: x,
    "cvta": lambda x: x,
}
HALVES = ("bf16", "f16", "bf16x2", "f16x2")
BINARY: dict[str, Callable[[Value, Value], Value]] = {
    "add": np.add,
    "sub": np.subtract,
    "min": np.fmin,
    "max": np.fmax,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "shl": _shift_left,
    "shr": _shift_right,
    "div": _divide,
    "rem": _remainder,
}


def compute(parts: tuple[str, ...], read: Callable[[int, str], Value]) -> Value:
    """The result of an instruction; `read(n, type)` is its n-th operand, of which the first is the result."""
    name, kind = parts[0], parts[-1]
    if kind in HALVES and name in ("add", "sub", "mul", "fma", "min", "max", "neg", "abs"):
        return _half_by_half(parts, read)
    if name in ("mul", "mad"):
        return _product(parts, read)
    if name == "fma":
        return _fused(read(1, kind), read(2, kind), read(3, kind))
    if name == "selp":
        return np.where(read(3, "pred"), read(1, kind), read(2, kind))
    if name == "setp":
        return _compare(parts, read)
    if name == "cvt":
        return _convert(parts, read)
    if name == "prmt":
        return permute_bytes(read(1, "b32"), read(2, "b32"), read(3, "b32"))
    if name == "bfe":
        return extract_bits(np.asarray(read(1, kind)), np.asarray(read(2, "u32")), np.asarray(read(3, "u32")))
    if name in UNARY:
        return UNARY[name](read(1, kind))
    if name in ("shl", "shr"):
        return BINARY[name](read(1, kind), read(2, "u32"))
    if name in BINARY:
        return BINARY[name](read(1, kind), read(2, kind))
    raise NotImplementedError(".".join(parts))


def _half_by_half(parts: tuple[str, ...], read: Callable[[int, str], Value]) -> Value:
    """Arithmetic on one or two numbers of half precision, in float32 and rounded once."""
    kind, pair = parts[-1].removesuffix("x2"), parts[-1].endswith("x2")

    def computed(shift: int) -> Value:
        def half(n: int, _: str) -> Value:
            bits = np.asarray(read(n, "b32" if pair else "b16")) >> shift
            low = (bits & 0xFFFF).astype(np.uint16)
            return from_bfloat16(low) if kind == "bf16" else low.view(np.float16).astype(np.float32)

        return _to_half(np.asarray(compute((parts[0], "f32"), half), np.float32), kind)

    if not pair:
        return computed(0)
    return (np.asarray(computed(16)).astype(np.uint32) << np.uint32(16)) | np.asarray(computed(0)).astype(np.uint32)


def _product(parts: tuple[str, ...], read: Callable[[int, str], Value]) -> Value:
    name, kind = parts[0], parts[-1]
    if kind.startswith("f"):
        assert name == "mul"
        return read(1, kind) * read(2, kind)
    if "wide" in parts:
        wide = WIDER[kind]
        product = np.asarray(read(1, kind)).astype(wide) * np.asarray(read(2, kind)).astype(wide)
        added = {"s32": "s64", "u32": "u64", "s16": "s32", "u16": "u32"}[kind]
        return product + read(3, added) if name == "mad" else product
    if "hi" in parts and kind in ("u64", "s64"):  # wider than any number of NumPy's
        exact = np.asarray(read(1, kind)).astype(object) * np.asarray(read(2, kind)).astype(object)
        return np.asarray(exact >> 64).astype(DTYPES[kind])
    if "hi" in parts:
        product = np.asarray(read(1, kind)).astype(WIDER[kind]) * np.asarray(read(2, kind)).astype(WIDER[kind])
        return (product >> 32).astype(DTYPES[kind])
    product = read(1, kind) * read(2, kind)
    return product + read(3, kind) if name == "mad" else product


def _compare(parts: tuple[str, ...], read: Callable[[int, str], Value]) -> Value:
    kind, how = parts[-1], parts[1]
    a, b = read(1, kind), read(2, kind)
    if how in ("num", "nan"):
        unordered = np.isnan(a) | np.isnan(b)
        found = unordered if how == "nan" else ~unordered
    elif how.endswith("u") and how[:-1] in COMPARE:
        found = COMPARE[how[:-1]](a, b) | np.isnan(a) | np.isnan(b)
    else:
        found = COMPARE[how](a, b)
        if kind.startswith("f") and how == "ne":
            found = found & ~(np.isnan(a) | np.isnan(b))
    for joined, join in (("and", np.logical_and), ("or", np.logical_or), ("xor", np.logical_xor)):
        if joined in parts[2:-1]:
            found = join(found, read(3, "pred"))
    return found


def _convert(parts: tuple[str, ...], read: Callable[[int, str], Value]) -> Value:
    to, kind = parts[-2], parts[-1]
    if to in ("bf16x2", "f16x2"):
        high, low = (_to_half(np.asarray(read(n, "f32")), to[:-2]).astype(np.uint32) for n in (1, 2))
        return (high << np.uint32(16)) | low
    if to in ("bf16", "f16") and kind == "f32":
        return _to_half(np.asarray(read(1, "f32")), to)
    if kind == "bf16":
        assert to == "f32", parts
        return from_bfloat16(np.asarray(read(1, "b16")))
    x = np.asarray(read(1, kind))
    if x.dtype.kind == "f" and np.dtype(DTYPES[to]).kind in "iu":
        rounding = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}
        x = next(rounding[part] for part in parts if part in rounding)(x)
    return x.astype(DTYPES[to])


def _to_half(x: Value, kind: str) -> Value:
    return to_bfloat16(x) if kind == "bf16" else x.astype(np.float16).view(np.uint16)
