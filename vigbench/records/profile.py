"""A profile on the disk: profile.json and a CSV file for each table; what the pictures are drawn from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from vigbench.records.files import read_object, write_atomically
from vigbench.records.tables import csv_text, read_csv


@dataclass(frozen=True)
class ModuleRow:
    """One module in one iteration; CUDA: times are those of kernels.

    Attributes:
        module: qualified name; empty: the model itself.
        group: the same with the numbers of repeated modules as `*`.
        share: `self_ms` over that of all rows, 0 to 1.
        total_ms: with the modules inside it, and its backward pass.
        self_ms: without those: `forward_ms` + `backward_ms` + `outside_ms`.
        outside_ms: outside of operators.
        allocated_mib: all that is allocated in it, modules inside it and backward pass included.
        kept_mib: allocated less freed in its forward calls.
        peak_growth_mib: the most that one forward call holds beyond what there was when it began.
    """

    module: str
    group: str
    class_name: str
    calls: float
    share: float
    total_ms: float
    self_ms: float
    forward_ms: float
    backward_ms: float
    outside_ms: float
    allocated_mib: float
    kept_mib: float
    peak_growth_mib: float


@dataclass(frozen=True)
class OperatorRow:
    """One operator in one iteration, at any depth; `self_ms` leaves out the operators inside it.

    Attributes:
        share: `self_ms` over the time of the whole iteration (CUDA: of all kernels), 0 to 1.
        allocated_mib: what it allocates itself.
        shapes: of the arguments of its longest call in the memory pass.
    """

    operator: str
    calls: float
    share: float
    self_ms: float
    total_ms: float
    allocated_mib: float
    shapes: str


@dataclass(frozen=True)
class CostRow:
    """One counted operator in one group of modules in one iteration; the shares of all rows add up to 1.

    Attributes:
        operator: `namespace::name`, or `(dispatch)`, `(outside operators)`.
        phase: forward or backward.
        gmacs: 10^9 multiply-adds by the counting rule.
        moved_mib: inputs and outputs, each once.
        flops_per_byte: arithmetic intensity; 1 MAC = 2 FLOPs.
        compute_share, bandwidth_share: of this device's ceilings; above 1 where caches help.
        calls_inside: of operators inside it.
        special_g: 10^9 exponentials, logarithms and the like, by the operator's definition.
        floor_ms: the least time at the ceilings: of its bytes, its products or its special functions, the longest.
        bound: which of them that is; empty where none is known.
    """

    operator: str
    group: str
    phase: str
    calls: float
    share: float
    total_ms: float
    gmacs: float
    moved_mib: float
    flops_per_byte: float
    tflop_per_s: float
    gb_per_s: float
    compute_share: float
    bandwidth_share: float
    calls_inside: float
    special_g: float
    floor_ms: float
    bound: str


@dataclass(frozen=True)
class KernelRow:
    """One CUDA kernel, copy or fill in one iteration, by what launched it."""

    kernel: str
    launched_by: str
    calls: float
    share: float
    total_ms: float


@dataclass(frozen=True)
class MemoryRow:
    """One allocation or the end of one; `live_mib` after it includes weights and inputs."""

    time_ms: float
    change_mib: float
    live_mib: float
    module: str
    operator: str
    phase: str


FILES: Mapping[str, type] = {
    "modules": ModuleRow,
    "operators": OperatorRow,
    "costs": CostRow,
    "kernels": KernelRow,
    "memory": MemoryRow,
}
_OPTIONAL = ("kernels",)
R = TypeVar("R")


@dataclass(frozen=True)
class ProfileRecord:
    """All of a profile.

    Attributes:
        info: profile.json: settings, machine, ceilings, totals and words, as docs/measurement.md describes them.
        kernels: empty on a CPU, and then without a file.
    """

    info: dict[str, Any]
    modules: tuple[ModuleRow, ...]
    operators: tuple[OperatorRow, ...]
    costs: tuple[CostRow, ...]
    kernels: tuple[KernelRow, ...]
    memory: tuple[MemoryRow, ...]

    def write(self, folder: Path) -> None:
        """Write profile.json and the tables into `folder`. OSError if that fails."""
        for name, row_type in FILES.items():
            rows = getattr(self, name)
            if rows or name not in _OPTIONAL:
                text = csv_text((field.name for field in fields(row_type)), map(astuple, rows))
                write_atomically(folder / f"{name}.csv", text)
        write_atomically(folder / "profile.json", json.dumps(self.info, indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> ProfileRecord:
        """Read what `write` wrote.

        Raises:
            ValueError: if `folder` holds no profile, or a damaged one; the message names the file.
        """
        path = folder / "profile.json"
        try:
            info = read_object(path)
        except OSError as error:
            raise ValueError(
                f"{folder} holds no profile: profile.json is missing. Name a folder that vigbench profile made."
            ) from error
        except ValueError as error:
            raise ValueError(f"{error} Profile again.") from error
        tables: dict[str, Any] = {
            name: tuple(read_csv(folder / f"{name}.csv", _parser(kind))) for name, kind in FILES.items()
        }
        return cls(info=info, **tables)


def _parser(row_type: type[R]) -> Callable[[dict[str, str]], R]:
    kinds: dict[str, Callable[[str], Any]] = {
        field.name: float if field.type == "float" else str
        for field in fields(row_type)  # type: ignore[arg-type]
    }
    return lambda row: row_type(**{name: kind(row[name]) for name, kind in kinds.items()})
