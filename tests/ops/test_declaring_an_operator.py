"""All that an operator takes is one declaration: here of one that the package has never heard of."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch._ops import OpOverload

from vigbench.measure.operator_check import check_implementation
from vigbench.measure.path import record_path
from vigbench.ops import registry
from vigbench.ops.custom_operator import CostFormulas, define_operator
from vigbench.ops.declaration import DASHED, Implementation, OperatorInfo
from vigbench.ops.dispatch import load_operator, selected_implementation
from vigbench.ops.registry import get_operator, list_implementations, register_operator, select_implementation
from vigbench.ops.sample import Draw, Sample
from vigbench.runner.check import units

CPU = torch.device("cpu")


def _macs(*_: object, **__: object) -> int:
    return 0


def _define(name: str) -> OpOverload:
    """The square, as torch.ops.vigbench.made_up_<name>."""
    cost = CostFormulas(_macs, _macs, _macs, _macs)
    return define_operator(
        f"made_up_{name}",
        lambda x: x * x,
        lambda grad, x: [2 * x * grad],
        cost,
        "Tensor x",
        lambda x: x.new_empty(x.shape),
    )


def _run(implementation: str, x: Tensor) -> Tensor:
    out: Tensor = load_operator("made_up", implementation)(x)
    return out


def _samples(device: torch.device, dtype: torch.dtype) -> Iterator[Sample]:
    draw = Draw(device, dtype)
    yield Sample("a few numbers", (draw.rounded(5),), ("x",), draw.rounded(5), _run)


MADE_UP = OperatorInfo(
    name="made_up",
    title="Made up",
    implementations=(
        Implementation("fused", "by a kernel", _define("fused"), own=True, devices=("cuda",)),
        Implementation("plain", "by a product", _define("plain"), own=True, dash=DASHED),
    ),
    reference="plain",
    tolerance={"float32": 1e-6, "bfloat16": 1e-2, "float16": 1e-3, "float64": 1e-12},
    samples=_samples,
)


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_OPERATORS", {one.name: one for one in registry.list_operators()})
    register_operator(MADE_UP)


def test_its_implementations_are_listed_and_chosen() -> None:
    assert [one.name for one in list_implementations("made_up")] == ["fused", "plain"]
    assert {one.operator for one in list_implementations("made_up")} == {"made_up"}
    assert select_implementation("made_up", "auto", "cpu").name == "plain"
    with pytest.raises(ValueError, match="fused runs on cuda, not on cpu"):
        select_implementation("made_up", "fused", "cpu")
    with pytest.raises(ValueError, match="did you mean 'plain'"):
        select_implementation("made_up", "plian", "cpu")
    x = torch.ones(3)
    assert load_operator("made_up", selected_implementation("made_up", "auto", x))(x).tolist() == [1, 1, 1]


def test_it_is_checked_by_its_own_tolerance() -> None:
    assert {unit.name for unit in units(["made_up"], ["plain"])} >= {"made_up/plain/float32", "made_up/plain/float64"}
    found = check_implementation(get_operator("made_up"), get_operator("made_up").implementations[1], "float32", CPU)
    assert (found.allowed, found.samples) == (1e-6, 1)
    assert found.passed


def test_what_must_run_and_what_must_not_is_known() -> None:
    x = torch.ones(3, requires_grad=True)
    path = record_path(lambda: load_operator("made_up", "plain")(x).sum().backward(), CPU)
    assert path.broken_promise(*MADE_UP.promise("plain", "cpu")) is None
    assert path.broken_promise(*MADE_UP.promise("fused", "cpu")) == "vigbench::made_up_fused did not run"
    assert "vigbench::made_up_fused_backward" in MADE_UP.promise("plain", "cpu").must_not_run


def test_a_new_implementation_is_forbidden_to_all_others_whatever_its_name() -> None:
    gla = get_operator("gla")
    new = Implementation("triton_fused_wide", "begins like another", "", own=True, variants=("logits",))
    wider = replace(gla, implementations=(*gla.implementations, new))
    for name in (one.name for one in gla.implementations):
        assert "vigbench::gla_triton_fused_wide" in wider.promise(name, "cpu").must_not_run
        assert "vigbench::gla_triton_fused_wide_logits_backward" in wider.promise(name, "cpu").must_not_run
    _, must_not_run = wider.promise("triton_fused_wide", "cpu")
    assert "vigbench::gla_triton_fused_low_rank" in must_not_run
    assert not any("wide" in one for one in must_not_run)
