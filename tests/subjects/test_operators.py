"""The task of operators: sequences with fixed seeds, what they cost and hold by definition and by their own code."""

import math

import pytest
import torch

from vigbench.measure.compilation import Compilation, watch_compilation
from vigbench.measure.correctness import relative_error
from vigbench.measure.cost import Cost, count_cost
from vigbench.subjects.catalog import resolve_implementations
from vigbench.subjects.operators import OPERATORS
from vigbench.subjects.sequence import OUTPUT_GRADIENT, SEQUENCES
from vigbench.subjects.task import Inputs
from vigbench.suites.axes import MemoryFormat, Phase
from vigbench.suites.case import Case
from vigbench.worker.prepare import count_item

GLA = Case(
    subject="gla",
    implementation="torch_chunk",
    length=300,
    heads=2,
    key_dim=8,
    value_dim=16,
    batch_size=2,
    phase="training",
    threads=1,
)


def inputs_of(case: Case) -> Inputs:
    return SEQUENCES[case.subject].make_inputs(case)


def test_inputs_are_those_of_vig_and_the_same_each_time() -> None:
    inputs = inputs_of(GLA)
    shapes = {name: tuple(one.shape) for name, one in inputs.items()}
    narrow, wide = (2, 300, 2, 8), (2, 300, 2, 16)
    assert shapes == {"q": narrow, "k": narrow, "v": wide, "g_fwd": narrow, "g_bwd": narrow, OUTPUT_GRADIENT: wide}
    for name in ("q", "k", "v"):
        assert float(inputs[name].detach().std()) == pytest.approx(1, rel=0.05)
    decays = torch.cat([inputs["g_fwd"], inputs["g_bwd"]]).detach()
    assert float(decays.max()) < 0
    assert float(decays.mean()) == pytest.approx(-0.806 / 16, rel=0.05)  # the mean of logsigmoid of a normal variable
    assert len({float(one.detach().sum()) for one in inputs.values()}) == 6, "no two are the same draw"
    again = inputs_of(GLA)
    assert all(torch.equal(one, again[name]) for name, one in inputs.items())


def test_implementations_and_subjects_get_the_same_values() -> None:
    reference = inputs_of(GLA.model_copy(update={"implementation": "reference"}))
    assert torch.equal(reference["v"], inputs_of(GLA)["v"])
    one_way = inputs_of(GLA.model_copy(update={"subject": "gla_one_direction"}))
    assert torch.equal(one_way["g"], inputs_of(GLA)["g_fwd"])


def test_attention_s_narrow_keys_are_filled_up_with_zeros_and_scaled_by_their_own_width() -> None:
    case = GLA.model_copy(update={"subject": "attention", "implementation": "eager"})
    task, inputs = SEQUENCES["attention"], inputs_of(case)
    assert inputs["q"].shape == inputs["v"].shape
    assert not inputs["q"][..., 8:].any()
    model = task.build(case)
    assert model.scale == 8**-0.5
    q, k, v = (inputs[name].detach().transpose(1, 2) for name in ("q", "k", "v"))
    expected = torch.nn.functional.scaled_dot_product_attention(q[..., :8], k[..., :8], v).transpose(1, 2)
    torch.testing.assert_close(task.call(model, inputs).detach(), expected)


def test_a_probe_is_a_part_of_one_sequence_and_the_reference_computes_the_same_in_double() -> None:
    task = SEQUENCES["gla"]
    model, inputs = task.build(GLA), inputs_of(GLA)
    probe = task.probe(model, GLA, inputs, 50, lambda case: model)
    assert probe.inputs["q"].shape == (1, 50, 2, 8)
    assert torch.equal(probe.inputs["v"], inputs["v"][:1, :50])
    reference, dtype = task.reference(model, "gla")
    assert (reference.implementation, dtype) == ("reference", torch.float64)
    wide = {name: one.to(dtype) for name, one in probe.inputs.items()}
    torch.testing.assert_close(
        task.call(model, probe.inputs).double(), task.call(reference, wide), rtol=1e-4, atol=1e-5
    )


def test_the_output_s_gradient_is_there_in_training_only() -> None:
    assert OUTPUT_GRADIENT not in inputs_of(GLA.model_copy(update={"phase": Phase.inference}))
    wanting = {name for name, one in inputs_of(GLA).items() if one.requires_grad}
    assert wanting == {"q", "k", "v", "g_fwd", "g_bwd"}


@pytest.mark.parametrize("phase", [Phase.inference, Phase.training])
@pytest.mark.parametrize(
    ("subject", "implementation"),
    [
        ("gla", "torch_chunk"),
        ("gla_from_logits", "torch_chunk"),
        ("gla", "reference"),
        ("gla_one_direction", "torch_chunk"),
        ("attention", "sdpa"),
    ],
)
def test_torch_compile_takes_an_operator_whole(subject: str, implementation: str, phase: Phase) -> None:
    torch._dynamo.reset()  # what an earlier test compiled is compiled again
    case = GLA.model_copy(update={"subject": subject, "implementation": implementation, "length": 64, "phase": phase})
    task, inputs = SEQUENCES[subject], inputs_of(case)
    model = task.build(case)
    compiled = torch.compile(model, backend="aot_eager")
    with torch.inference_mode(not case.phase.trains):
        output, compilation = watch_compilation(lambda: task.call(compiled, inputs))
        assert compilation == Compilation(graphs=1, graph_breaks=0)
        assert relative_error(output.detach(), task.call(model, inputs).detach()) < 1e-5


def cost_of(case: Case) -> Cost:
    task = SEQUENCES[case.subject]
    return count_item(task.build(case), case, task, task.subject.operator, inputs_of(case))


def test_the_cost_is_one_sequence_s_by_definition_and_as_executed() -> None:
    cost = cost_of(GLA)
    assert cost.macs == 6 * 300 * 2 * 8 * 16
    assert cost.executed_macs > cost.macs, "chunks compute scores as well"
    assert cost.params == 0
    cost = cost_of(GLA.model_copy(update={"subject": "attention", "implementation": "sdpa"}))
    assert (cost.macs, cost.executed_macs) == (2 * 300 * 300 * (8 + 16), 2 * 300 * 300 * (16 + 16))
    assert math.isclose(cost.coverage, 1.0)


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize(("length", "heads", "dim"), [(5, 1, 8), (64, 3, 16)])
def test_multiply_adds_and_inputs_are_those_of_the_operator_s_own_code(
    name: str, length: int, heads: int, dim: int
) -> None:
    (implementation,) = resolve_implementations(name, [], "cpu")
    case = Case(
        subject=name,
        implementation=implementation,
        length=length,
        heads=heads,
        key_dim=dim,
        value_dim=dim,
        batch_size=2,
    )
    subject, inputs = OPERATORS[name], inputs_of(case)
    # torch's formula counts attention's scores in full, whatever its mask
    whole = OPERATORS["attention"] if subject.causal else subject
    assert (
        2 * whole.macs(length, heads, dim, dim) == count_cost(SEQUENCES[name].build(case), list(inputs.values())).macs
    )
    of_tokens = [inputs[each.name].numel() for each in subject.inputs if each.per_token]
    assert 2 * length * subject.input_elements(heads, dim, dim) == sum(of_tokens)


def test_attention_with_narrow_keys_costs_by_definition() -> None:
    # scores: L L K, their product with v: L L V, for each head
    assert OPERATORS["attention"].macs(10, 2, 3, 5) == 2 * 10 * 10 * (3 + 5)


def test_causal_attention_counts_the_pairs_that_there_are() -> None:
    pairs = sum(1 for token in range(10) for seen in range(10) if seen <= token)
    assert OPERATORS["causal_attention"].macs(10, 2, 3, 5) == 2 * pairs * (3 + 5)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"memory_format": MemoryFormat.channels_last}, "layout of images"),
        ({"phase": Phase.training_step}, "has no phase training_step: sequences are measured"),
    ],
)
def test_what_makes_no_sense_for_an_operator_is_refused(settings: dict[str, object], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        SEQUENCES["gla"].require(GLA.model_copy(update=settings))
