"""Imported once by the fork server, so that a worker starts in milliseconds. Must not start threads or CUDA."""

import gc
import sys
import warnings
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import vigbench.ops
from vigbench.worker.main import adopt_orphans


def import_implementations() -> None:
    """The operators' own code. Not that of other packages (`external.py`): some ask for the device when imported."""
    kinds = ("reference", "torch_", "triton_") if find_spec("triton") else ("reference", "torch_")
    for module in walk_packages(vigbench.ops.__path__, "vigbench.ops."):
        if module.name.rpartition(".")[2].startswith(kinds):
            import_module(module.name)


def has_nvidia_driver() -> bool:
    """Whether kernels may be launched here, by the driver's device (WSL: dxg). Who forks may not ask CUDA."""
    return any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/dxg"))


def prepare_triton() -> None:
    """What Triton does once a process: hashes of itself, a library of half a gigabyte, and of each kernel's source.

    Compiled kernels are looked up by them. Without this each worker would read everything again, which takes a second.
    """
    if find_spec("triton") is None:
        return
    from triton.runtime.jit import JITFunction

    with suppress(ImportError):  # not in every version; the first launch would import it
        import_module("triton.experimental.gluon.nvidia.hopper")
    triton_key()()
    modules = [module for name, module in sys.modules.items() if name.startswith("vigbench.ops.")]
    for value in [value for module in modules for value in vars(module).values()]:
        if isinstance(value, JITFunction):
            _ = value.cache_key


def triton_key() -> Any:
    """Triton's function for the hash of itself; it remembers the answer."""
    try:
        from triton.runtime.cache import triton_key as found
    except ImportError:  # before Triton 3.5
        from triton.compiler.compiler import triton_key as found
    return found


adopt_orphans()  # what a crashed worker leaves behind becomes the fork server's, where it is found and ended
warnings.filterwarnings("ignore", message="forkserver: waitpid returned unexpected pid")  # the end of such an orphan
import_implementations()
if has_nvidia_driver():
    prepare_triton()
# a collection in a worker then looks at that worker's own objects, not at half a million of these: 0.5 s each time
gc.collect()
gc.freeze()
