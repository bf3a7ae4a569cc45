"""Compiles the kernels of a pass ahead of time, for a GPU that need not be there, and reads off what they take.

`python -m tests.ops.gla.compiling > docs/kernel-resources.csv` writes the table.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
import triton
import triton.backends.nvidia
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

from vigbench.ops import kernel_launch
from vigbench.ops.gla.kernels import launch
from vigbench.ops.gla.kernels.gates import LOG_DECAY, LOGITS, LOW_RANK
from vigbench.ops.gla.kernels.launch import log_decay_gates, low_rank_gates
from vigbench.ops.gla.kernels.settings import WALK, WALK_BACK, GlaSettings, default_settings, forbidden

SHARED_LIMIT = {  # bytes of shared memory that one block can be given
    80: 166_912,
    86: 101_376,
    89: 101_376,
    90: 232_448,
    100: 232_448,
    120: 101_376,
}
AMD_LANES = {"gfx942": 64, "gfx1100": 32}  # MI300, RX 7900; a block can be given 64 KiB
SHARED_LIMIT_AMD = 65_536
CONSTRAINTS = Path(__file__).parents[3] / "constraints"
CUOBJDUMP = Path(triton.backends.nvidia.__file__).parent / "bin" / "cuobjdump"
DIMS = ((32, 64), (16, 32), (16, 16), (64, 64), (128, 128), (16, 128), (128, 16))  # ViG's and ViG-H's first
RANK = 16
PASSES = ("forward", "backward")
WALKS = {"walk": WALK._replace(segment=1000), "segmented walk": WALK._replace(segment=8)}  # forward passes of Hopper


WALKS_BACK = {"walk back": WALK_BACK, "segmented walk back": WALK_BACK._replace(segment=32)}  # backward passes


class Variant(NamedTuple):
    """What is compiled: one pass with its default settings."""

    pass_: str
    key_dim: int
    value_dim: int
    dtype: str
    gate: str
    capability: int | str
    length: int = 4096
    directions: int = 2


class Resources(NamedTuple):
    """What a kernel takes: registers a thread, bytes of stack a thread (spills) and of shared memory a block."""

    kernel: str
    warps: int
    registers: int
    stack: int
    shared: int
    identity: int  # of the compiled kernel


class NoGpu:
    """As much of a driver as compiling needs."""

    def __init__(self, capability: int | str) -> None:
        if isinstance(capability, str):
            self.target = GPUTarget("hip", capability, AMD_LANES[capability])
        else:
            self.target = GPUTarget("cuda", capability, 32)

    def get_current_target(self) -> GPUTarget:
        return self.target

    def get_current_device(self) -> int:
        return int(str(self.target.arch).removeprefix("gfx"))  # kernels are cached by device, one for each target

    def get_current_stream(self, device: int | None = None) -> int:
        return 0


def compile_pass(variant: Variant) -> list[Resources]:
    """Every kernel that one call would launch; tensors have the strides that ViG's projections produce."""
    return compiled(variant.capability, lambda: call_of(variant))


class Binary(NamedTuple):
    """A compiled kernel, of which `asm` has all stages: ttgir, ptx and cubin among them."""

    kernel: str
    warps: int
    compiled: Any


def compile_kernel(kernel: Any, grid: Any, args: Any, constants: dict[str, Any], warps: int, stages: int) -> Any:
    """What `launch_kernel` would start, for the active driver's target."""
    backend = driver.active.get_current_target().backend
    options = {"num_warps": warps, "num_stages": stages, **kernel_launch.OPTIONS[backend]}
    return kernel.warmup(*args, **constants, grid=grid, **options)


def binaries(capability: int | str, call: Callable[[], object]) -> list[Binary]:
    """The kernels that `call` would launch, compiled; its tensors are on the meta device."""
    found: dict[str, Binary] = {}

    def compile_only(
        kernel: Any, grid: Any, device: Any, args: Any, constants: dict[str, Any], warps: int, stages: int
    ) -> None:
        binary = compile_kernel(kernel, grid, args, constants, warps, stages)
        name = kernel.fn.__name__ + (" (adjoint)" if constants.get("adjoint") else "")
        kind = [constants.get(one, "") for one in ("phase", "part", "variant")]
        found[f"{name}{kind}"] = Binary(name, warps, binary)

    driver.set_active(NoGpu(capability))
    with patch.object(kernel_launch, "launch_kernel", compile_only):
        call()
    return list(found.values())


def compiled(capability: int | str, call: Callable[[], object]) -> list[Resources]:
    """What the kernels take that `call` would launch; its tensors are on the meta device."""
    return [
        Resources(name, warps, *_usage(one.asm), one.metadata.shared, id(one))
        for name, warps, one in binaries(capability, call)
    ]


def capability_name(capability: int | str) -> str:
    """As `capability_of` has it: "9.0" of 90, "gfx942" of that."""
    return capability if isinstance(capability, str) else f"{capability // 10}.{capability % 10}"


def target_name(capability: int | str) -> str:
    """As tables have it: "sm_90" of 90, "gfx942" of that."""
    return capability if isinstance(capability, str) else f"sm_{capability}"


def shared_limit(capability: int | str) -> int:
    """Bytes of shared memory that one block can be given."""
    return SHARED_LIMIT_AMD if isinstance(capability, str) else SHARED_LIMIT[capability]


def call_of(variant: Variant) -> None:
    """One call of the pass on tensors of the meta device, with the strides that ViG's projections produce.

    With one direction the gates are low-rank, as DiG's.
    """
    batch, heads, key, value = 2, 3, variant.key_dim, variant.value_dim
    dtype: torch.dtype = getattr(torch, variant.dtype)
    with torch.device("meta"):
        qkv = torch.empty(batch, variant.length, heads * (2 * key + value), dtype=dtype)
        q, k, v = (x.unflatten(-1, (heads, -1)) for x in qkv.split((heads * key, heads * key, heads * value), -1))
        x = torch.empty(batch, variant.length, 2, heads, key, dtype=dtype)
        a = torch.empty(batch, variant.length, RANK, dtype=dtype)
        bias = torch.empty(variant.directions, heads, key, dtype=dtype)
        weight = torch.empty(*bias.shape, RANK, dtype=dtype)
        grad = torch.empty(v.shape, dtype=dtype)
    if variant.gate == LOW_RANK:
        gates = low_rank_gates(a, weight, bias, 16.0)
    else:
        gates = log_decay_gates(*x.unbind(2), variant.gate, 16.0)
    capability = capability_name(variant.capability)
    settings = settings_of(variant, capability, dtype)
    if variant.pass_ in ("backward", *WALKS_BACK):
        launch.backward(grad, q, k, v, gates, 1.0, settings)
    else:
        launch.forward(q, k, v, gates, 1.0, settings)


def settings_of(variant: Variant, capability: str, dtype: torch.dtype) -> GlaSettings:
    """The default ones, or those of a walk."""
    walk = (WALKS | WALKS_BACK).get(variant.pass_)
    if walk and variant.pass_ in WALKS and not capability.startswith("9."):
        return walk._replace(chunk=32)  # larger tiles are for warp groups
    return walk or default_settings(capability, dtype, variant.pass_, variant.key_dim)  # type: ignore[arg-type]


def assert_fits(kernels: list[Resources], capability: int | str) -> None:
    """They would launch; and none spills, if this Triton is one that the project is tested with."""
    assert kernels
    for kernel in kernels:
        assert kernel.shared <= shared_limit(capability), f"{kernel} would not launch"
        assert kernel.registers <= (512 if isinstance(capability, str) else 255)
        assert kernel.stack == 0 or not is_tested_triton(), f"{kernel} spills registers"


def is_tested_triton() -> bool:
    """Whether a constraints file of the project names this version; others spill what their compilers please."""
    return any(f"triton=={triton.__version__}" in file.read_text().split() for file in CONSTRAINTS.glob("*.txt"))


def _usage(asm: Any) -> tuple[int, int]:
    """Registers, and bytes of stack."""
    if "amdgcn" in asm:
        found = (re.search(rf"\.vgpr_{what}:\s+(\d+)", asm["amdgcn"]) for what in ("count", "spill_count"))
        registers, spilled = (int(one[1]) if one else 0 for one in found)
        return registers, 4 * spilled
    return _usage_of_cubin(asm["cubin"])


def _usage_of_cubin(cubin: bytes) -> tuple[int, int]:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        listing = subprocess.run(
            [str(CUOBJDUMP), "--dump-resource-usage", file.name], capture_output=True, text=True, check=True
        ).stdout
    usage = re.search(r"REG:(\d+) STACK:(\d+)", listing)
    assert usage is not None, listing
    return int(usage[1]), int(usage[2])


def compile_all(variants: list[Variant], processes: int = 2) -> dict[Variant, list[Resources]]:
    """Each in turn in one of a few processes: compiling takes seconds a kernel."""
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        return dict(zip(variants, pool.map(compile_pass, variants), strict=True))


def all_variants() -> list[Variant]:
    """For Hopper ViG's and ViG-H's shapes with all precisions and gates, the others in bfloat16; for the rest ViG's."""
    models = product((90,), DIMS[:2], ("bfloat16", "float16", "float32"), (LOG_DECAY, LOGITS, LOW_RANK))
    walks = product((90,), DIMS[:2], ("bfloat16", "float16"), (LOG_DECAY, LOGITS, LOW_RANK))
    elsewhere_walks = product((80, 86, 89, 100, 120, "gfx942"), DIMS[:2], ("bfloat16",), (LOW_RANK,))
    others = product((90,), DIMS[2:], ("bfloat16",), (LOW_RANK,))
    elsewhere = product((80, 86, 89, 100, 120, *AMD_LANES), DIMS[:2], ("bfloat16", "float32"), (LOW_RANK,))
    every = (([*models, *others, *elsewhere], PASSES), ([*walks, *elsewhere_walks], WALKS | WALKS_BACK))
    found = [
        Variant(pass_, *dims, dtype, gate, capability)
        for cases, passes in every
        for (capability, dims, dtype, gate), pass_ in product(cases, passes)
    ]
    return [one for one in found if one.pass_ not in WALKS_BACK or not is_forbidden_back(one)]


def is_forbidden_back(variant: Variant) -> bool:
    """Whether a walk for gradients is not to be taken there."""
    dtype: torch.dtype = getattr(torch, variant.dtype)
    return forbidden(WALK_BACK, capability_name(variant.capability), dtype, "backward") is not None


def main() -> None:
    """Print all of them as CSV, a line a kernel."""
    print("target,key_dim,value_dim,dtype,gates,pass,kernel,warps,registers,stack_bytes,shared_bytes")
    processes = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    for variant, kernels in compile_all(all_variants(), processes).items():
        case = (target_name(variant.capability), *variant[1:5], variant.pass_)
        for each in kernels:
            print(*case, *each[:-1], sep=",", flush=True)


if __name__ == "__main__":
    main()
