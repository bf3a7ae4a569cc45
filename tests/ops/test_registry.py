import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace

import pytest
import torch

from vigbench.ops import declaration, registry
from vigbench.ops.declaration import Implementation, OperatorInfo
from vigbench.ops.registry import (
    get_implementation,
    get_operator,
    list_implementations,
    list_operators,
    register_operator,
    select_implementation,
)

NEEDS_NOTHING = Implementation("plain", "does it", "math:sqrt")
NEEDS_PACKAGE = Implementation("fancy", "does it fast", "no_such_pkg:f", requires=("no_such_pkg",))
CUDA_ONLY = Implementation("kernel", "does it on GPUs", "math:sqrt", devices=("cuda",))
SHOWN = (
    "gla",
    "gsa",
    "scan",
    "biwkv",
    "gated_delta",
    "scalar_gla",
    "regla",
    "linear_attention",
    "causal_linear_attention",
    "attention",
    "causal_conv",
    "gated_norm",
    "norm_swish_gate",
    "dilated_convs",
)
OWN = [one for one in list_implementations() if one.own]


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
    monkeypatch.setattr(declaration, "find_spec", lambda _: None)
    reason = get_implementation("gla", "triton_recurrent").unsupported_reason("cpu")
    assert reason == "triton is not installed: pip install triton"


def test_wrong_device_names_the_right_ones() -> None:
    assert "runs on cuda, not on cpu" in str(CUDA_ONLY.unsupported_reason("cpu"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_needs_a_device() -> None:
    for device in ("cuda:0", torch.device("cuda", 0)):
        assert "no CUDA device" in str(CUDA_ONLY.unsupported_reason(device))


def test_shapes_alone_need_no_package() -> None:
    assert NEEDS_PACKAGE.unsupported_reason("meta") is None


def test_auto_is_the_first_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    last = replace(NEEDS_NOTHING, name="last", training=False)
    declared = OperatorInfo("op2", "Op", (NEEDS_PACKAGE, CUDA_ONLY, last), "last", {}, "math:sqrt")
    monkeypatch.setitem(registry._OPERATORS, "op2", declared)
    assert select_implementation("op2", "auto", "cpu").name == "last"
    with pytest.raises(ValueError, match="no implementation of op2"):
        select_implementation("op2", "auto", "cpu", training=True)
    with pytest.raises(ValueError, match="last has no backward"):
        select_implementation("op2", "last", "cpu", training=True)
    with pytest.raises(ValueError, match="not installed"):
        select_implementation("op2", "fancy", "cpu")


def test_a_name_is_registered_once() -> None:
    with pytest.raises(AssertionError, match="registered twice"):
        register_operator(get_operator("gla"))
    with pytest.raises(AssertionError, match="declares an implementation twice"):
        OperatorInfo("op", "Op", (NEEDS_NOTHING, NEEDS_NOTHING), "plain", {}, "math:sqrt")


def test_load_imports_the_target() -> None:
    assert NEEDS_NOTHING.load()(9.0) == 3.0


def test_every_operator_is_known_without_torch_and_without_asking_for_it() -> None:
    code = (
        "import sys; from vigbench.ops.registry import list_operators; "
        "print(*(one.name for one in list_operators())); assert not {'torch', 'timm', 'numpy'} & set(sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert set(told.split()) >= set(SHOWN)


def test_asking_for_a_function_imports_no_implementation() -> None:
    code = (
        "import sys; from vigbench.ops.gla import bidirectional_gla, gla; "
        "assert 'vigbench.ops.gla.triton_recurrent' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", SHOWN)
def test_what_an_operator_offers_is_there(name: str) -> None:
    package = __import__(f"vigbench.ops.{name}", fromlist=["__all__"])
    assert all(getattr(package, one) is not None for one in package.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = package.nothing


@pytest.mark.parametrize("operator", list_operators(), ids=lambda operator: operator.name)
def test_declarations_are_whole(operator: OperatorInfo) -> None:
    assert set(operator.tolerance) == {"float32", "bfloat16", "float16", "float64"}
    assert hasattr(torch, operator.reference_dtype)
    assert not operator.subjects or operator.longest is not None
    assert callable(declaration.load_target(operator.samples))


def test_an_implementation_looks_the_same_whatever_it_computes() -> None:
    dashes = defaultdict(set)
    for one in list_implementations():
        dashes[one.name].add(one.dash)
    assert all(len(found) == 1 for found in dashes.values())


def test_own_code_runs_as_the_operators_that_a_promise_names() -> None:
    pytest.importorskip("triton")
    for one in OWN:
        one.load()
    names = torch._C._dispatch_get_all_op_names()
    operators = "gla|gsa|regla|scan|biwkv|gated_delta|scalar_gla|linear_attention|causal_linear_attention|dilated_convs"
    defined = {name for name in names if re.match(rf"vigbench::({operators})_", name)}
    promised = [name for one in OWN for name in one.own_operators()]
    assert len(promised) == len(set(promised))
    assert defined <= set(promised), "one that no promise of another would miss"
    assert {next(one.own_operators()) for one in OWN} <= defined


@pytest.mark.parametrize("one", OWN, ids=lambda one: f"{one.operator}/{one.name}")
def test_an_implementation_promises_that_none_of_the_others_runs(one: Implementation) -> None:
    forbidden = set(get_operator(one.operator).promise(one.name, "cuda").must_not_run)
    others = {name for other in OWN if other.operator == one.operator for name in other.own_operators()}
    assert forbidden & others == others - set(one.own_operators())
