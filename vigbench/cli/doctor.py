"""`vigbench doctor`: what this machine can measure, and how to add what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from textwrap import indent
from typing import Annotated, Any

import typer

from vigbench.cli.options import MOST_THREADS
from vigbench.tabulate import aligned

OPTIONAL_PACKAGES = {
    "triton": ("Triton kernels", "pip install triton"),
    "flash-attn": ("FlashAttention-2", "pip install flash-attn"),
    "flash-attn-4": ("FlashAttention-4", "pip install --pre flash-attn-4"),
    "mamba-ssm": ("Mamba's CUDA selective scan", "pip install mamba-ssm"),
    "causal-conv1d": ("Mamba's CUDA convolution", "pip install causal-conv1d"),
    "flash-linear-attention": ("fla's GLA kernels", "pip install flash-linear-attention"),
    "monai": ("networks of volumes, their loss, whole scans", "pip install 'vigbench[volumes]'"),
    "nibabel": ("NIfTI images", "pip install 'vigbench[volumes]'"),
    "dynamic-network-architectures": ("nnU-Net's network", "pip install 'vigbench[volumes]'"),
}


Noise = Annotated[
    bool,
    typer.Option("--noise", help="An A/A duel: the smallest difference this machine resolves."),
]
Threads = Annotated[
    int, typer.Option(help="With --noise: CPU threads; 0 = one per physical core.", min=0, max=MOST_THREADS)
]


def doctor(noise: Noise = False, threads: Threads = 0) -> None:
    """Say what this machine can measure, and how to install what is missing."""
    if noise:
        _measure_noise(threads)
        return
    import torch

    from vigbench.measure.environment import describe_environment

    device = "cuda" if torch.cuda.is_available() else "cpu"
    environment = describe_environment(device, 0)
    print(f"Python {environment['python']}, torch {environment['torch']}, {environment['platform']}")
    _print_devices(environment)
    print("\nMetrics")
    print(_table(_metrics(device)))
    if device == "cpu":
        from vigbench.measure.compilation import missing_compiler

        print("\nSettings")
        print(_table([("compile", missing_compiler() or "torch.compile has its C++ compiler")]))
    print("\nImplementations")
    print(_table(implementation_rows()))
    print("\nChecks")
    print(indent(checked_text(device, environment), "  "))
    print("\nOptional packages")
    print(
        _table(
            [
                (name, f"{_installed(name) or f'missing: {command}'} ({purpose})")
                for name, (purpose, command) in OPTIONAL_PACKAGES.items()
            ]
        )
    )


def _table(rows: Sequence[tuple[str, str]]) -> str:
    return indent(aligned(rows), "  ")


def _measure_noise(threads: int) -> None:
    """An A/A duel, and a second measurement of the same case on its own: what interleaving buys."""
    from vigbench.runner.duel import Contestant, Effort, run_duel
    from vigbench.runner.duel_result import log_ratio_of
    from vigbench.runner.noise import case_for_noise, noise_report

    case = case_for_noise(threads)
    print(f"A/A: {case.label()} against itself, in interleaved blocks.")
    pairs = []
    for pair in run_duel(Contestant(case), Contestant(case), Effort()):
        pairs.append(pair)
        print(f"[{len(pairs)}/{Effort().processes}]", end=" ", flush=True)
    print()
    print("\n".join(noise_report(pairs, log_ratio_of(pairs, case.device))))


def implementation_rows() -> list[tuple[str, str]]:
    """operator/name -> what it is, or why it cannot run on this machine."""
    import torch

    from vigbench.ops.registry import list_implementations

    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows = []
    for entry in list_implementations():
        reason = entry.unsupported_reason(device)
        rows.append((f"{entry.operator}/{entry.name}", f"unsupported: {reason}" if reason else entry.description))
    return rows


def checked_text(device: str, environment: dict[str, Any]) -> str:
    """What has passed `vigbench check` with this device and these versions, a line for each implementation."""
    from vigbench.measure.environment import device_name
    from vigbench.records.checks import checked_here, passed

    good = passed(checked_here(device_name(device), environment))
    if not good:
        return "nothing has passed with this device and these versions: vigbench check (a minute or two)"
    by_name: dict[str, list[str]] = {}
    for name in sorted(good):
        operator, implementation, precision = name.split("/")
        by_name.setdefault(f"{operator}/{implementation}", []).append(precision)
    return aligned([(name, f"passed in {', '.join(precisions)}") for name, precisions in by_name.items()])


def _print_devices(environment: dict[str, Any]) -> None:
    cpu, memory, gpu = environment["cpu"], environment["memory_gib"], environment["gpu"]
    cores, threads, quota = cpu["physical_cores"], cpu["threads_used"], cpu["quota"]
    capped = "" if quota is None else f" (a control group allows {round(quota, 2)} CPUs)"
    print(f"CPU: {cpu['name']} ({cpu['capability']}), {cores} cores, vigbench uses {threads} threads{capped}")
    limit = "" if memory["limit"] is None else f" (a control group allows {memory['limit']} GiB)"
    free = f"{memory['available']} GiB free of {memory['total']} GiB{limit}"
    print(f"Memory: {free}; load average {cpu['load_average_1min']}")
    if gpu is None:
        print("GPU: torch sees no CUDA device; suites run with their cpu profile")
    else:
        print(f"GPU: {gpu['name']}, {gpu['memory_gib']} GiB, CUDA {gpu['cuda']}, driver {gpu.get('driver', 'unknown')}")


def _metrics(device: str) -> list[tuple[str, str]]:
    import torch

    from vigbench.measure.device_state import StateRecorder
    from vigbench.measure.energy import find_meter
    from vigbench.measure.memory import process_peak_source

    energy = find_meter(torch.device(device)).source
    if device == "cuda":
        return [
            ("latency", "synchronised calls"),
            ("throughput", "queued calls"),
            ("memory", "torch's CUDA allocator"),
            ("energy", energy),
            ("clocks and heat", StateRecorder(torch.device(device)).reason or "NVML"),
            ("MACs", "meta device"),
        ]
    return [
        ("latency", "yes"),
        ("throughput", "from the same calls: the CPU does not queue"),
        ("memory", f"torch's allocator; process: {process_peak_source()}"),
        ("energy", energy),
        ("clocks and heat", "not available: only a GPU's are read"),
        ("MACs", "meta device"),
    ]


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
