import subprocess
import sys

import pytest
import torch

from vigbench.ops import gla, registry  # noqa: F401  gla registers its implementations
from vigbench.ops.registry import (
    Implementation,
    get_implementation,
    list_implementations,
    register,
    select_implementation,
)

NEEDS_NOTHING = Implementation("op", "plain", "does it", "math:sqrt")
NEEDS_PACKAGE = Implementation("op", "fancy", "does it fast", "no_such_pkg:f", requires=("no_such_pkg",))
CUDA_ONLY = Implementation("op", "kernel", "does it on GPUs", "math:sqrt", devices=("cuda",))


def test_lists_in_order_of_preference() -> None:
    names = [each.name for each in list_implementations("gla")]
    assert names.index("torch_chunk") < names.index("reference")
    assert set(list_implementations("gla")) <= set(list_implementations())


@pytest.mark.parametrize("name", ["torch_chnk", "reference ", "zzz"])
def test_unknown_name_lists_allowed_ones(name: str) -> None:
    with pytest.raises(ValueError, match=r"Choose from .*reference.*torch_chunk") as error:
        get_implementation("gla", name)
    assert ("did you mean" in str(error.value)) == (name != "zzz")


def test_unknown_operator_names_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'gla'"):
        list_implementations("glas")


def test_missing_package_says_how_to_install() -> None:
    assert NEEDS_PACKAGE.unsupported_reason("cpu") == "no_such_pkg is not installed: pip install no-such-pkg"
    assert NEEDS_NOTHING.unsupported_reason("cpu") is None


def test_a_missing_package_is_named_even_on_the_wrong_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda _: None)
    reason = get_implementation("gla", "triton_recurrent").unsupported_reason("cpu")
    assert reason == "triton is not installed: pip install triton"


def test_wrong_device_names_the_right_ones() -> None:
    assert "runs on cuda, not on cpu" in str(CUDA_ONLY.unsupported_reason("cpu"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_needs_a_device() -> None:
    assert "no CUDA device" in str(CUDA_ONLY.unsupported_reason("cuda:0"))


def test_shapes_alone_need_no_package() -> None:
    assert NEEDS_PACKAGE.unsupported_reason("meta") is None


def test_auto_is_the_first_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._IMPLEMENTATIONS, "op2", {})
    for each in (NEEDS_PACKAGE, CUDA_ONLY, Implementation("op2", "last", "", "math:sqrt", training=False)):
        register(Implementation(**{**vars(each), "operator": "op2"}))
    assert select_implementation("op2", "auto", "cpu").name == "last"
    with pytest.raises(ValueError, match="no implementation of op2"):
        select_implementation("op2", "auto", "cpu", training=True)
    with pytest.raises(ValueError, match="last has no backward"):
        select_implementation("op2", "last", "cpu", training=True)
    with pytest.raises(ValueError, match="not installed"):
        select_implementation("op2", "fancy", "cpu")


def test_a_name_is_registered_once() -> None:
    with pytest.raises(AssertionError, match="registered twice"):
        register(get_implementation("gla", "reference"))


def test_load_imports_the_target() -> None:
    assert NEEDS_NOTHING.load()(9.0) == 3.0


def test_listing_imports_no_optional_package() -> None:
    code = "import sys, vigbench.ops.gla; assert 'vigbench.ops.gla.triton_recurrent' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
