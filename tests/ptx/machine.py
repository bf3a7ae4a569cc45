"""Runs a block of PTX: all lanes at once, one instruction after another, asynchronous work done as late as allowed.

Copies and products that run asynchronously take effect only where the program waits for them, and count as access to
shared memory from their start until then: what is not waited for properly shows as a race or a wrong value.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from tests.ptx import matrices
from tests.ptx.arithmetic import compute
from tests.ptx.lanes import DTYPES, Lanes, immediate, shuffle
from tests.ptx.memory import GlobalMemory, SharedMemory
from tests.ptx.program import Instruction, Program

GROUP_WARPS = 4


class Launch(NamedTuple):
    """Where a block stands, and what its kernel was given."""

    block: tuple[int, int, int]
    grid: tuple[int, int, int]
    warps: int
    shared_bytes: int
    arguments: dict[str, Any]


class Machine:
    """One block of a launch."""

    def __init__(self, program: Program, launch: Launch, memory: GlobalMemory) -> None:
        self.program, self.launch, self.memory = program, launch, memory
        self.count = 32 * launch.warps
        self.lanes = np.arange(self.count)
        self.warp_of = self.lanes // 32
        self.shared = SharedMemory(launch.shared_bytes, launch.warps)
        self.registers: dict[str, Lanes] = {}
        self.special = {"%tid.x": self.lanes.astype(np.uint32), "%laneid": (self.lanes % 32).astype(np.uint32)}
        for n, axis in enumerate("xyz"):
            self.special[f"%ctaid.{axis}"] = self._all(launch.block[n])
            self.special[f"%nctaid.{axis}"] = self._all(launch.grid[n])
        self.open_copies: list[Callable[[], None]] = []
        self.copies: list[list[Callable[[], None]]] = []
        self.open_products: list[Callable[[], None]] = []
        self.products: list[list[Callable[[], None]]] = []

    def run(self) -> None:
        """From the first instruction to the end."""
        at, instructions = 0, self.program.instructions
        with np.errstate(all="ignore"):
            while at < len(instructions):
                step = instructions[at]
                if step.parts[0] in ("ret", "exit"):
                    return
                if step.parts[0] == "bra":
                    at = self._branch(step, at)
                    continue
                self._execute(step)
                at += 1

    def _branch(self, step: Instruction, at: int) -> int:
        taken = self._guard(step)
        assert taken.all() or not taken.any(), f"lanes part at {step}"
        return self.program.labels[step.operands[0]] if taken.all() else at + 1

    def _guard(self, step: Instruction) -> Lanes:
        if not step.guard:
            return np.ones(self.count, dtype=np.bool_)
        given = self.registers[step.guard]
        return ~given if step.negated else given

    # operands

    def _all(self, value: int) -> Lanes:
        return np.full(self.count, value, dtype=np.uint32)

    def read(self, operand: str, kind: str) -> Any:
        """The operand as the type has it: an array over the lanes, or a constant."""
        if operand.startswith("%"):
            raw = self.special.get(operand)
            raw = self.registers[operand] if raw is None else raw
            dtype = np.dtype(DTYPES[kind])
            if raw.dtype.itemsize != dtype.itemsize:
                return raw.astype(f"u{dtype.itemsize}").view(dtype)
            return raw.view(dtype)
        if operand == "global_smem":
            return immediate("0", kind)
        return immediate(operand, kind)

    def spread(self, operand: str, kind: str) -> Lanes:
        """The operand for every lane."""
        return np.broadcast_to(np.asarray(self.read(operand, kind)), (self.count,))

    def write(self, operand: str, value: Any, mask: Lanes | None = None) -> None:
        """Set a register where the mask allows; registers hold bits."""
        if operand == "_":
            return
        value = np.broadcast_to(np.asarray(value), (self.count,))
        bits = value if value.dtype == np.bool_ else np.ascontiguousarray(value).view(f"u{value.dtype.itemsize}")
        if mask is not None and not mask.all():
            old = self.registers.get(operand)
            bits = np.where(mask, bits, np.zeros_like(bits) if old is None else old.astype(bits.dtype))
        self.registers[operand] = np.array(bits)

    def _address(self, operand: str, kind: str) -> Lanes:
        base, _, offset = operand.strip("[]").replace(" ", "").partition("+")
        return self.spread(base, kind) + immediate(offset or "0", kind)

    # instructions

    def _execute(self, step: Instruction) -> None:
        parts, operands = step.parts, step.operands
        mask = self._guard(step)
        match parts:
            case ("ld", "param", *_):
                name = operands[1].strip("[]")
                value = np.array(self.launch.arguments[name], dtype=DTYPES[self.program.parameters[name]])
                self.write(operands[0], value.astype(DTYPES[parts[-1]]) if value.dtype.kind == "i" else value, mask)
            case ("ld", *_):
                self._load(step, mask)
            case ("st", *_):
                self._store(step, mask)
            case ("bar" | "barrier", *_):
                if "warp" not in parts:
                    self.shared.synchronize(slice(None))
            case ("mov", _) if "{" in operands[0] + operands[1]:
                self._split_or_join(step, mask)
            case ("shfl", _, mode, _):
                self._shuffle(step, mode, mask)
            case ("ldmatrix" | "stmatrix", *_):
                self._move_matrix(step)
            case ("mma", *_):
                d, a, b, c = map(_registers, operands)
                found = matrices.multiply_in_warps(
                    *([self.spread(one, "b32") for one in x] for x in (a, b)),
                    [self.spread(one, "f32") for one in c], parts[-2],
                )  # fmt: skip
                for register, value in zip(d, found, strict=True):
                    self.write(register, value)
            case ("wgmma", *_):
                self._warp_group(step)
            case ("cp", "async", *_):
                self._copy(step, mask)
            case ("fence" | "membar" | "griddepcontrol", *_):
                pass
            case _:
                self.write(operands[0], compute(parts, lambda n, kind: self.read(operands[n], kind)), mask)

    def _split_or_join(self, step: Instruction, mask: Lanes) -> None:
        to, source = step.operands
        half = {"b32": "b16", "b64": "b32"}[step.parts[1]]
        width = 8 * np.dtype(DTYPES[half]).itemsize
        if to.startswith("{"):
            whole = self.spread(source, step.parts[1])
            for n, register in enumerate(_registers(to)):
                self.write(register, (whole >> whole.dtype.type(n * width)).astype(DTYPES[half]), mask)
            return
        low, high = (self.spread(one, half).astype(DTYPES[step.parts[1]]) for one in _registers(source))
        self.write(to, low | (high << high.dtype.type(width)), mask)

    def _shuffle(self, step: Instruction, mode: str, mask: Lanes) -> None:
        to, _, predicate = step.operands[0].partition("|")
        found, in_range = shuffle(mode, *(self.spread(one, "b32") for one in step.operands[1:4]))
        self.write(to, found, mask)
        if predicate:
            self.write(predicate, in_range, mask)

    def _move_matrix(self, step: Instruction) -> None:
        count = int(next(part for part in step.parts if part in ("x1", "x2", "x4"))[1:])
        what, transposed = ".".join(step.parts), "trans" in step.parts
        if step.parts[0] == "ldmatrix":
            addresses = self._address(step.operands[1], "u32")
            found = matrices.load_matrix(self.shared, addresses, count, transposed, what)
            for register, value in zip(_registers(step.operands[0]), found, strict=True):
                self.write(register, value)
        else:
            values = [self.spread(one, "b32") for one in _registers(step.operands[1])]
            matrices.store_matrix(self.shared, self._address(step.operands[0], "u32"), values, transposed, what)

    def _load(self, step: Instruction, mask: Lanes) -> None:
        kind = step.parts[-1]
        targets, size = _registers(step.operands[0]), np.dtype(DTYPES[kind]).itemsize
        if not mask.any():
            return
        if step.parts[1].startswith("shared"):
            at = self._address(step.operands[1], "u32")[mask]
            found = self.shared.load(self.warp_of[mask], at, size * len(targets), ".".join(step.parts))
        else:
            found = self.memory.load(self._address(step.operands[1], "u64")[mask], size * len(targets))
        values = np.ascontiguousarray(found).view(f"u{size}")
        for n, register in enumerate(targets):
            whole = np.zeros(self.count, dtype=values.dtype)
            whole[mask] = values[:, n]
            self.write(register, whole, mask)

    def _store(self, step: Instruction, mask: Lanes) -> None:
        kind = step.parts[-1]
        if not mask.any():
            return
        columns = [self.spread(one, kind)[mask] for one in _registers(step.operands[1])]
        values = np.ascontiguousarray(np.stack(columns, 1)).view(np.uint8).reshape(int(mask.sum()), -1)
        if step.parts[1].startswith("shared"):
            at = self._address(step.operands[0], "u32")[mask]
            self.shared.store(self.warp_of[mask], at, values, ".".join(step.parts))
        else:
            self.memory.store(self._address(step.operands[0], "u64")[mask], values)

    # asynchronous copies

    def _copy(self, step: Instruction, mask: Lanes) -> None:
        if "commit_group" in step.parts:
            self.copies.append(self.open_copies)
            self.open_copies = []
            return
        if "wait_group" in step.parts or "wait_all" in step.parts:
            left = int(step.operands[0]) if step.operands else 0
            while len(self.copies) > left:
                for finish in self.copies.pop(0):
                    finish()
            return
        size = int(step.operands[2], 0)
        to, source = self._address(step.operands[0], "u32"), self._address(step.operands[1], "u64")
        read = self.spread(step.operands[3], "u32") if len(step.operands) > 3 else self._all(size)
        values = np.zeros((self.count, size), dtype=np.uint8)
        for amount in np.unique(read[mask]):
            chosen = mask & (read == amount)
            if amount:
                values[chosen, : int(amount)] = self.memory.load(source[chosen], int(amount))
        at = to[mask].astype(np.int64)[:, None] + np.arange(size)
        self.shared.touch_write(self.warp_of[mask], at, "the start of cp.async")
        self.open_copies.append(
            partial(self.shared.store, self.warp_of[mask], to[mask], values[mask], "the end of cp.async")
        )

    # products of warp groups

    def _warp_group(self, step: Instruction) -> None:
        if "commit_group" in step.parts:
            self.products.append(self.open_products)
            self.open_products = []
        elif "wait_group" in step.parts:
            while len(self.products) > int(step.operands[0]):
                for finish in self.products.pop(0):
                    finish()
            for group in range(self.launch.warps // GROUP_WARPS):
                self.shared.synchronize(slice(GROUP_WARPS * group, GROUP_WARPS * (group + 1)))
        elif "mma_async" in step.parts:
            for group in range(self.launch.warps // GROUP_WARPS):
                self._start_product(step, group)

    def _start_product(self, step: Instruction, group: int) -> None:
        kind = step.parts[-1]
        columns = int(step.parts[4].split("n")[1].split("k")[0])
        assert step.parts[4].startswith("m64n"), step
        assert step.parts[4].endswith("k16"), step
        result, first, second, keep, *rest = step.operands
        *signs, transposed = rest
        lanes = np.arange(matrices.GROUP * group, matrices.GROUP * (group + 1))
        warps = slice(GROUP_WARPS * group, GROUP_WARPS * (group + 1))
        self.shared.synchronize(warps)
        b_at = matrices.descriptor_bytes(self._descriptor(second, lanes), columns, transposed == "1")
        a_at, a = None, None
        if first.startswith("{"):
            a = matrices.fragment([self.spread(one, "b32") for one in _registers(first)], kind, lanes)
        else:
            *signs, a_transposed = signs
            a_at = matrices.descriptor_bytes(self._descriptor(first, lanes), 64, a_transposed == "1")
        assert signs == ["1", "1"], step
        keeps = bool(np.all(self.spread(keep, "pred")[lanes]))
        operands = [at for at in (a_at, b_at) if at is not None]
        reader = np.full(1, GROUP_WARPS * group)
        for at in operands:
            self.shared.touch_read(reader, at.reshape(1, -1), f"the start of {'.'.join(step.parts[:5])}")

        def finish() -> None:
            for at in operands:
                self.shared.touch_read(reader, at.reshape(1, -1), f"the end of {'.'.join(step.parts[:5])}")
            rows = a if a is not None else matrices.load_operand(self.shared, a_at, kind)
            product = rows @ matrices.load_operand(self.shared, b_at, kind).T
            for n, register in enumerate(_registers(result)):
                row, column = matrices.result_place(n, lanes)
                value = self.spread(register, "f32").copy() if register in self.registers else np.zeros(self.count, "f")
                value[lanes] = product[row, column] + (value[lanes] if keeps else 0)
                self.write(register, value.astype(np.float32))

        self.open_products.append(finish)

    def _descriptor(self, operand: str, lanes: Lanes) -> int:
        found = np.unique(self.spread(operand, "u64")[lanes])
        assert len(found) == 1, f"lanes of a warp group differ in {operand}"
        return int(found[0])


def _registers(operand: str) -> list[str]:
    return [one.strip() for one in operand.strip("{} ").split(",")]
