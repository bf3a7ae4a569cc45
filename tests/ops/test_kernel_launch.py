"""Other GPUs than those seen: what does not run there says so, and AMD's are not taken for NVIDIA's."""

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("triton")

import torch
from triton.runtime.errors import OutOfResources

from vigbench.ops import kernel_launch
from vigbench.ops.capability import capability_of
from vigbench.ops.gla.kernels.settings import default_settings, walk_settings
from vigbench.ops.registry import UnsupportedError


class Kernel:
    """Stands for a Triton kernel: remembers its options, or fails."""

    fn = SimpleNamespace(__name__="chunk_outputs")

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.options: dict[str, Any] = {}

    def __getitem__(self, grid: object) -> Any:
        return self.start

    def start(self, *args: object, **options: Any) -> str:
        self.options = options
        if self.error is not None:
            raise self.error
        return "started"


def launch(kernel: Kernel) -> Any:
    return kernel_launch.launch_kernel(kernel, (1, 1, 1), torch.device("cpu"), (), {}, 4, 1)


def test_a_kernel_that_needs_more_than_the_device_has_is_unsupported() -> None:
    error = OutOfResources(163_840, 101_376, "shared memory")
    with pytest.raises(UnsupportedError, match=r"chunk_outputs cannot run on this device .*101376.*another implement"):
        launch(Kernel(error))


def test_any_other_error_stays_one() -> None:
    with pytest.raises(RuntimeError, match="illegal memory access"):
        launch(Kernel(RuntimeError("illegal memory access")))


@pytest.mark.parametrize(("hip", "options"), [(None, {"maxnreg"}), ("6.4", set())])
def test_only_nvidia_s_compiler_is_given_a_number_of_registers(
    hip: str | None, options: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "hip", hip)
    kernel = Kernel()
    assert launch(kernel) == "started"
    assert {"maxnreg"} & set(kernel.options) == options


def test_an_mi300_is_no_hopper_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its torch says capability 9.4."""
    properties = SimpleNamespace(gcnArchName="gfx942:sramecc+:xnack-", major=9, minor=4)
    monkeypatch.setattr(torch.version, "hip", "6.4")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    capability = capability_of.__wrapped__(torch.device("cuda", 0))
    assert capability == "gfx942"
    assert walk_settings(capability, torch.bfloat16, 32, 64, 4096, 192) is None
    assert default_settings(capability, torch.bfloat16, "forward") != default_settings("9.0", torch.bfloat16, "forward")
