"""Patterns in the machine code of Hopper kernels that compilers are known to get wrong (docs/kernels.md)."""

import re
import subprocess
import tempfile
from pathlib import Path

import triton.backends.nvidia

from tests.ptx.program import parse

NVDISASM = Path(triton.backends.nvidia.__file__).parent / "bin" / "nvdisasm"
_INSTRUCTION = re.compile(r"^\s*/\*([0-9a-f]+)\*/\s+(?:@!?U?P\w+\s+)?([\w.]+)\s*(.*?);", re.MULTILINE)
_REGISTER = re.compile(r"^[-|~]?R(\d+)")
_WIDTHS = (("128", 4), ("M88.4", 4), ("MT88.4", 4), ("64", 2), ("CS2R", 2), ("WIDE", 2))
_WITHOUT_RESULT = ("ST", "BAR", "BRA", "EXIT", "WARP", "MEMBAR", "FENCE", "BSYNC", "BSSY", "NOP", "DEPBAR", "RED")


def warp_group_products(ptx: str) -> list[str]:
    """The shapes of all asynchronous products, as in m64n32k16."""
    return re.findall(r"wgmma\.mma_async\.sync\.aligned\.(\w+)", ptx)


def unguarded_waits(ptx: str, warps: int) -> int:
    """Waits for products of several warp groups with a store to shared memory, or another product, before a barrier.

    A warp group waits for its own products only: what another group still reads may be overwritten (triton#11047).
    """
    found, waiting = 0, False
    if warps <= 4:
        return 0
    for step in parse(ptx).instructions:
        if "wait_group" in step.parts and step.parts[0] == "wgmma":
            waiting = True
        elif step.parts[0] in ("bar", "barrier") and "warp" not in step.parts:
            waiting = False
        elif waiting and step.parts[0] in ("st", "stmatrix", "cp") and any("shared" in part for part in step.parts):
            found, waiting = found + 1, False
    return found


def transposed_products(ttgir: str) -> list[str]:
    """Results of products that are turned around in registers (fla-org/flash-linear-attention#640)."""
    return re.findall(r"tt\.trans [^\n]*: tensor<[^\n]*#mma\w*> -> tensor", ttgir)


def overwritten_operands(cubin: bytes) -> list[str]:
    """Instructions that touch registers of a product that nothing has waited for yet (triton#11781: ptxas to 12.9)."""
    flying: list[tuple[set[int], set[int], str]] = []
    found = []
    for address, name, rest in _INSTRUCTION.findall(_disassembled(cubin)):
        operands = [one.strip() for one in rest.split(",")]
        if name.startswith("HGMMA"):
            columns = int(name.split(".")[1].split("x")[1])
            result, first = _registers(operands[0], columns // 2), _registers(operands[1], 4)
            found += [f"{address} {name} {rest} over {text}" for _, read, text in flying if result & read]
            flying.append((result, first, f"{name} {rest}"))
        elif name.startswith("WARPGROUP.DEPBAR"):
            flying = []
        elif flying:
            written = set() if name.startswith(_WITHOUT_RESULT) else _registers(operands[0], _width(name))
            read = set().union(*(_registers(one, 1) for one in operands[1:])) if len(operands) > 1 else set()
            for result, first, text in flying:
                if written & (result | first) or read & result:
                    found.append(f"{address} {name} {rest} beside {text}")
    return found


def _width(name: str) -> int:
    return next((width for part, width in _WIDTHS if part in name), 1)


def _registers(operand: str, count: int) -> set[int]:
    match = _REGISTER.match(operand)
    return set(range(int(match[1]), int(match[1]) + count)) if match else set()


def _disassembled(cubin: bytes) -> str:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        return subprocess.run([str(NVDISASM), "-c", file.name], capture_output=True, text=True, check=True).stdout
