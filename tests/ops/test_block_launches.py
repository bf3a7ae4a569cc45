"""How many kernels a GPU is handed for one forward pass of ViG-T, counted without one."""

from collections.abc import Sequence
from typing import Any

import pytest

pytest.importorskip("triton")

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.ops.anywhere import allow_anywhere
from vigbench.ops import kernel_launch
from vigbench.ops.gla.kernels import settings as gla_settings
from vigbench.ops.norm_swiglu import settings as mlp_settings
from vigbench.subjects.catalog import create_model

ALLOWED = 110
WITHOUT_KERNEL = {"aten::empty", "aten::empty_like", "aten::new_empty", "aten::_unsafe_view"}


class Launches(TorchDispatchMode):
    """Counts operators that start a kernel: those that are neither views nor allocations, nor made of such."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func._schema.name
        if not func.is_view and name not in WITHOUT_KERNEL and not name.startswith("vigbench::"):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


def launches(monkeypatch: pytest.MonkeyPatch, implementation: str, batch: int, px: int = 32) -> list[str]:
    """Of the second forward pass, as on an H200: the first one resizes the position embedding."""
    allow_anywhere(monkeypatch, "gla", implementation)
    for module in (gla_settings, mlp_settings):
        monkeypatch.setattr(module, "capability_of", lambda _: "9.0")
    gla_settings.settings_for.cache_clear()
    model = create_model("vig_tiny_patch16_224").eval().bfloat16()
    model.set_implementation(implementation)  # type: ignore[operator]
    images = torch.randn(batch, 3, px, px).bfloat16()
    with torch.no_grad(), Launches() as counted:
        monkeypatch.setattr(
            kernel_launch, "launch_kernel", lambda kernel, *_: counted.found.append(f"triton::{kernel.fn.__name__}")
        )
        model(images)
        counted.found.clear()
        model(images)
    gla_settings.settings_for.cache_clear()
    return counted.found


def test_a_block_is_seven_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    found = launches(monkeypatch, "triton_block", batch=32)
    assert len(found) <= ALLOWED, found
    assert found.count("triton::mlp_whole") == 12
    assert found.count("triton::walk_outputs") == 24  # each direction's first half, then its second
    assert found.count("aten::mm") == found.count("aten::cat") == 12


def test_of_one_image_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose tokens go through two passes, in segments."""
    monkeypatch.setattr(gla_settings, "walk_settings", lambda *_: None)
    found = launches(monkeypatch, "triton_block", batch=1, px=512)
    assert len(found) <= ALLOWED, found
    assert found.count("triton::carry_states") == 12


def test_the_operator_alone_leaves_many_more(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(launches(monkeypatch, "triton_fused", batch=1)) > 2 * ALLOWED
