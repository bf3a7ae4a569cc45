"""Describes the GPU as JSON, in a process of its own: one that had asked CUDA would hold memory of the device.

python -m tests.gpu.session.machine; exit code 2 where torch sees no CUDA device.
"""

from __future__ import annotations

import json
import sys

import torch

from vigbench.measure.environment import describe_environment

NO_DEVICE = (
    f"torch {torch.__version__} sees no CUDA device, and a GPU session needs one. Look at nvidia-smi (driver, "
    "permissions, CUDA_VISIBLE_DEVICES), and that torch is a build for CUDA (torch.version.cuda is "
    f"{torch.version.cuda}). What needs no GPU: nox -s tests."
)


def main() -> int:
    if not torch.cuda.is_available():
        print(NO_DEVICE, file=sys.stderr)
        return 2
    environment = describe_environment("cuda", 0)
    named = {
        "device": environment["gpu"]["name"],
        "driver": environment["gpu"].get("driver"),
        "torch": environment["torch"],
        "triton": environment["packages"].get("triton"),
        "python": environment["python"],
        "commit": environment["git_commit"],
    }
    print(json.dumps({**named, "environment": environment}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
