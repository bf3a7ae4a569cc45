import math

import pytest
import torch

from vigbench.measure.compilation import Compilation, watch_compilation
from vigbench.measure.correctness import relative_error
from vigbench.suites.case import Case, Phase
from vigbench.worker.operator import build_operator, make_output_gradient, operator_cost

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


def test_inputs_are_those_of_vig_and_the_same_each_time() -> None:
    operator = build_operator(GLA)
    shapes = {name: tuple(one.shape) for name, one in operator.named_parameters()}
    narrow, wide = (2, 300, 2, 8), (2, 300, 2, 16)
    assert shapes == {"q": narrow, "k": narrow, "v": wide, "g_fwd": narrow, "g_bwd": narrow}
    for one in (operator.q.detach(), operator.k.detach(), operator.v.detach()):
        assert float(one.std()) == pytest.approx(1, rel=0.05)
    decays = torch.cat([operator.g_fwd, operator.g_bwd]).detach()
    assert float(decays.max()) < 0
    assert float(decays.mean()) == pytest.approx(-0.806 / 16, rel=0.05)  # the mean of logsigmoid of a normal variable
    assert len({float(one.detach().sum()) for one in operator.parameters()}) == 5, "no two are the same draw"
    for one, again in zip(operator.parameters(), build_operator(GLA).parameters(), strict=True):
        assert torch.equal(one, again)


def test_implementations_and_subjects_get_the_same_values() -> None:
    reference = build_operator(GLA.model_copy(update={"implementation": "reference"}))
    assert torch.equal(reference.v, build_operator(GLA).v)
    one_way = build_operator(GLA.model_copy(update={"subject": "gla_one_direction"}))
    assert torch.equal(one_way.g, build_operator(GLA).g_fwd)


def test_attention_s_narrow_keys_are_filled_up_with_zeros_and_scaled_by_their_own_width() -> None:
    operator = build_operator(GLA.model_copy(update={"subject": "attention", "implementation": "eager"}))
    assert operator.q.shape == operator.v.shape
    assert not operator.q[..., 8:].any()
    assert operator.scale == 8**-0.5
    q, k, v = (x.detach().transpose(1, 2) for x in (operator.q[..., :8], operator.k[..., :8], operator.v))
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)
    torch.testing.assert_close(operator(make_output_gradient(GLA)).detach(), expected)


def test_a_cut_is_a_part_of_one_sequence_and_the_reference_computes_the_same_in_double() -> None:
    operator = build_operator(GLA)
    cut = operator.cut(1, 20, 70)
    assert cut.q.shape == (1, 50, 2, 8)
    assert torch.equal(cut.v, operator.v[1:, 20:70])
    reference = cut.reference()
    assert (reference.implementation, reference.v.dtype) == ("reference", torch.float64)
    nothing = make_output_gradient(GLA)
    torch.testing.assert_close(cut(nothing).double(), reference(nothing), rtol=1e-4, atol=1e-5)


def test_the_output_s_gradient_is_there_in_training_only() -> None:
    assert make_output_gradient(GLA).shape == (2, 300, 2, 16)
    assert make_output_gradient(GLA.model_copy(update={"phase": Phase.inference})).numel() == 0


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
    operator, inputs = build_operator(case), make_output_gradient(case)
    compiled = torch.compile(operator, backend="aot_eager")
    with torch.inference_mode(not case.phase.trains):
        output, compilation = watch_compilation(lambda: compiled(inputs))
        assert compilation == Compilation(graphs=1, graph_breaks=0)
        assert relative_error(output.detach(), operator(inputs).detach()) < 1e-5


def test_the_cost_is_one_sequence_s_by_definition_and_as_executed() -> None:
    cost = operator_cost(build_operator(GLA), GLA)
    assert cost.macs == 6 * 300 * 2 * 8 * 16
    assert cost.executed_macs > cost.macs, "chunks compute scores as well"
    assert cost.params == 0
    attention = GLA.model_copy(update={"subject": "attention", "implementation": "sdpa"})
    cost = operator_cost(build_operator(attention), attention)
    assert (cost.macs, cost.executed_macs) == (2 * 300 * 300 * (8 + 16), 2 * 300 * 300 * (16 + 16))
    assert math.isclose(cost.coverage, 1.0)
