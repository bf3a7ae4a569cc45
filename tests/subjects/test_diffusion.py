"""The task of diffusion models: inputs, both halves of the output, the loss, sampling, and what it refuses."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import vigbench
from vigbench.measure.correctness import gradient_error, relative_error
from vigbench.models.diffusion.process import DiffusionProcess
from vigbench.models.layers import gla as of_layer
from vigbench.ops.gla import gla_low_rank
from vigbench.subjects.catalog import build_case, describe, fill_weights, task_of
from vigbench.subjects.diffusion import CLASSES, GUIDANCE, DiffusionTask
from vigbench.suites.axes import SAMPLING_STEPS, Phase
from vigbench.suites.case import Case

TASK = DiffusionTask()


def case_of(subject: str = "dit_small_patch2", **settings: Any) -> Case:
    return Case(**{"subject": subject, "implementation": "sdpa", "resolution": "64x96", "batch_size": 3, **settings})


@pytest.mark.parametrize("name", ["dig_small_patch2", "dit_xlarge_patch8"])
def test_diffusion_models_have_it(name: str) -> None:
    task = task_of(name)
    assert (task.name, task.unit) == ("diffusion", "latent")
    assert describe(name).family == ("vig" if name.startswith("dig") else "deit")


@pytest.mark.parametrize("phase", Phase)
def test_inputs_are_those_of_a_size(phase: Phase) -> None:
    inputs = TASK.make_inputs(case_of(phase=phase, precision="bfloat16"))
    assert inputs["x"].shape == (3, 4, 8, 12)
    assert inputs["x"].dtype == torch.bfloat16
    for name, most in (("t", 1000), ("y", CLASSES)):
        assert inputs[name].shape == (3,)
        assert inputs[name].dtype == torch.int64
        assert ((inputs[name] >= 0) & (inputs[name] < most)).all()
    more = {"clean", "noise", "noisy"} if phase.trains else {"noise"} if phase is Phase.sampling else set()
    assert set(inputs) == {"x", "t", "y"} | more
    again = TASK.make_inputs(case_of(phase=phase, precision="bfloat16"))
    assert all(torch.equal(inputs[name], again[name]) for name in inputs), "a fixed seed"
    alone = TASK.item(inputs)
    assert {name: len(x) for name, x in alone.items()} == dict.fromkeys(inputs, 1)


def test_latents_are_as_noisy_as_their_step() -> None:
    inputs = TASK.make_inputs(case_of(phase="training"))
    expected = DiffusionProcess.linear().noisy(inputs["clean"], inputs["noise"], inputs["t"])
    torch.testing.assert_close(inputs["x"], expected)


def test_both_halves_of_the_output_are_compared_by_name() -> None:
    out = torch.randn(3, 8, 8, 12)
    found = TASK.outputs(out)
    assert list(found) == ["noise", "variance"]
    assert torch.equal(torch.cat(list(found.values()), 1), out)


def test_the_loss_is_that_of_the_process() -> None:
    inputs, out = TASK.make_inputs(case_of(phase="training")), torch.randn(3, 8, 8, 12)
    expected = DiffusionProcess.linear().loss(out, inputs["clean"], inputs["noise"], inputs["noisy"], inputs["t"])
    assert TASK.loss(out, inputs) == expected
    half = TASK.loss(out.bfloat16(), inputs)
    assert half.dtype == torch.float32
    assert abs(half - expected) < 0.05 * abs(expected)


def test_gradients_reach_the_model_and_its_latents() -> None:
    case = case_of("dig_small_patch2", implementation="torch_chunk", resolution=64, batch_size=1, phase="training")
    model = build_case(case)
    fill_weights(model, 0)
    _, gradients = TASK.result(model.eval(), TASK.make_inputs(case), trains=True)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert set(gradients) == trained | {"x"}
    assert all((gradient != 0).any() for gradient in gradients.values())


def test_sampling_runs_every_step_with_and_without_label() -> None:
    case = case_of(phase="sampling", batch_size=2)
    inputs, seen = TASK.make_inputs(case), []

    def model(x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        seen.append((x.shape, t.tolist(), y.tolist()))
        return torch.cat([x, x], 1).tanh() * (y[:, None, None, None] + 1) / 1000

    found = TASK.outputs(TASK.iterate(model, inputs, case))
    assert {name: x.shape for name, x in found.items()} == {"latent": (2, 4, 8, 12)}
    assert len(seen) == SAMPLING_STEPS
    assert case.passes == 2 * SAMPLING_STEPS
    assert all(shape == (4, 4, 8, 12) for shape, _, _ in seen), "twice the batch"
    assert all(labels == [*inputs["y"].tolist(), CLASSES, CLASSES] for _, _, labels in seen)
    steps = [t[0] for _, t, _ in seen]
    assert steps == sorted(steps, reverse=True)
    assert (steps[0], steps[-1]) == (999, 0)
    again = TASK.outputs(TASK.iterate(model, inputs, case))
    assert torch.equal(found["latent"], again["latent"]), "the same noise each time"
    assert GUIDANCE > 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"resolution": 250}, "250 px cannot be cut into them. Choose multiples of 16, such as 256"),
        ({"resolution": 264}, "264 px cannot be cut into them"),
        ({"resolution": "256x100"}, "256x100 px cannot be cut into them"),
        ({"resolution": 256, "args": {"patch_size": 3}}, "Choose multiples of 24"),
        ({"resolution": 256, "args": {"patch_size": 0}}, "'0' is not a whole number above 0"),
        ({"resolution": 256, "args": {"patch_size": "a"}}, "'a' is not a whole number above 0"),
        ({"resolution": 256, "args": {"num_classes": 10}}, "fed labels of 1000 classes: leave num_classes out"),
        ({"resolution": "8x16x16"}, "takes latents, height x width: 8x16x16 has 3 sides"),
    ],
)
def test_sizes_that_give_no_latents(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TASK.require(case_of(**settings))


def test_only_diffusion_models_are_sampled() -> None:
    with pytest.raises(ValueError, match="has no phase sampling: images are measured in inference"):
        task_of("resnet50").require(Case(subject="resnet50", resolution=64, phase="sampling"))


def test_a_size_that_the_patch_does_not_divide_is_refused() -> None:
    case = case_of("dit_small_patch8", resolution=72)
    with pytest.raises(ValueError, match="72 px cannot be cut into them"):
        task_of(case.subject).require(case)
    with pytest.raises(ValueError, match=r"dit_small_patch8 cannot be built for 72 px: .* multiples of 64"):
        build_case(case)


def test_heads_of_72_are_computed_by_every_attention_that_is_here() -> None:
    case = case_of("dit_xlarge_patch2", resolution=32, batch_size=1, args={"depth": 1, "embed_dim": 72, "num_heads": 1})
    found = []
    for implementation in ("eager", "sdpa", "sdpa_flash", "sdpa_math"):
        model = build_case(case.model_copy(update={"implementation": implementation})).eval()
        fill_weights(model, 0)
        with torch.inference_mode():
            found.append(TASK.call(model, TASK.make_inputs(case)))
    for other in found[1:]:
        torch.testing.assert_close(found[0], other, rtol=1e-4, atol=1e-4)


def test_a_model_is_built_for_its_size() -> None:
    model = build_case(case_of("dig_small_patch2", implementation="torch_chunk", args={"depth": 4}))
    assert dict(model.named_parameters())["pos_embed"].shape == (1, 4 * 6, 384)
    assert vigbench.count_cost(model, list(TASK.make_inputs(case_of()).values())).macs > 0


def half_forgotten(q: Tensor, k: Tensor, v: Tensor, a: Tensor, *gate: Any, **more: Any) -> Tensor:
    """The state is lost half way."""
    half = q.shape[1] // 2
    parts = [[x[:, start:end] for x in (q, k, v, a)] for start, end in ((0, half), (half, None))]
    return torch.cat([gla_low_rank(*part, *gate, **more) for part in parts], 1)


WRONG: dict[str, Callable[..., Tensor]] = {
    "decays of twice the strength": lambda *given, **more: gla_low_rank(*given[:-1], given[-1] / 2, **more),
    "the other direction": lambda *given, reverse, **more: gla_low_rank(*given, reverse=not reverse, **more),
    "queries for keys": lambda q, k, *given, **more: gla_low_rank(k, q, *given, **more),
    "a state lost half way": half_forgotten,
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_operator_is_told_from_rounding_in_every_precision(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = case_of("dig_small_patch2", implementation="torch_chunk", resolution=256, batch_size=1)
    model, inputs = build_case(case).eval(), TASK.make_inputs(case)
    fill_weights(model, 0)
    expected, _ = TASK.result(model, inputs, trains=False)
    monkeypatch.setattr(of_layer, "gla_low_rank", WRONG[wrong])
    found, _ = TASK.result(model, inputs, trains=False)
    worst = max(relative_error(found[name], output, TASK.output_measure) for name, output in expected.items())
    assert worst > max(TASK.tolerance.values())


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_rounding_moves_no_gradient_of_dig_far(precision: str) -> None:
    """At a scan's first token RMSNorm keeps the sign of q k: near 0 half precision would change whole heads."""
    case = case_of("dig_small_patch2", implementation="torch_chunk", resolution=64, batch_size=1, phase="training")
    model, inputs = build_case(case).eval(), TASK.make_inputs(case)
    fill_weights(model, 0)
    expected = TASK.result(model, inputs, trains=True)
    half = getattr(torch, precision)
    rounded = {name: x.to(half) if name == "x" else x for name, x in inputs.items()}
    found = TASK.result(model.to(half), rounded, trains=True)
    for name, output in expected[0].items():
        assert relative_error(found[0][name], output, TASK.output_measure) < 0.05
    error, name = gradient_error(found[1], expected[1])
    assert error < 0.1, name
