"""A training step: whole and in parts, right before it is timed, and its record."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import AdamW

from vigbench.measure.adamw_rule import parameters_of
from vigbench.records.schema import Status
from vigbench.subjects.catalog import IMAGES
from vigbench.suites.case import Case
from vigbench.worker import main as fit_module
from vigbench.worker import training_step
from vigbench.worker.build import build_on_device, iteration
from vigbench.worker.check_call import check_step
from vigbench.worker.check_subject import WrongResultError
from vigbench.worker.main import fit_case
from vigbench.worker.measure_case import measure_case
from vigbench.worker.messages import Outcome
from vigbench.worker.training_step import TrainingStep, describe_optimizer

pytestmark = pytest.mark.slow

STEP = Case(
    subject="deit_tiny_patch16_224",
    implementation="sdpa",
    resolution=32,
    batch_size=2,
    phase="training_step",  # type: ignore[arg-type]
    threads=1,
)
OF_A_STEP = (
    "forward_ms",
    "backward_ms",
    "optimizer_ms",
    "gradients_mib",
    "gradients_at_peak_mib",
    "optimizer_state_mib",
)


def changed(**settings: Any) -> Case:
    return Case.model_validate({**STEP.model_dump(), **settings})


def measured(case: Case = STEP, budget_s: float = 0.3) -> Outcome:
    return measure_case(case, budget_s, lambda stage: None)


def step_of(case: Case = STEP) -> TrainingStep:
    call, _ = iteration(build_on_device(case), case, IMAGES, IMAGES.make_inputs(case))
    assert isinstance(call, TrainingStep)
    return call


def weights_of(step: TrainingStep) -> list[Tensor]:
    return parameters_of(step.optimizer)


def test_the_parts_are_the_whole() -> None:
    whole, parts = step_of(), step_of()
    for step in (whole, parts):
        step.optimizer.param_groups[0]["lr"] = 1e-3  # the real one is too small to move a weight near 1
    start = [parameter.clone() for parameter in weights_of(whole)]
    for _ in range(2):
        whole()
        parts.forward()
        parts.backward()
        parts.update()
    weights = list(zip(weights_of(whole), weights_of(parts), start, strict=True))
    assert all(torch.equal(one, other) for one, other, _ in weights)
    assert not any(torch.equal(one, before) for one, _, before in weights), "every parameter has moved"
    assert all(parameter.grad is None for parameter in weights_of(parts))


def test_a_record_has_the_parts_in_time_and_memory() -> None:
    outcome = measured()
    assert outcome.status is Status.ok, outcome.reason
    metrics = outcome.metrics.model_dump()
    for name in ("forward", "backward", "optimizer"):
        low, middle, high = (metrics[f"{name}{end}_ms"] for end in ("_low", "", "_high"))
        assert 0 < low <= middle <= high
        assert min(outcome.samples[f"{name}_ms"]) <= low
    assert len({len(outcome.samples[f"{name}_ms"]) for name in ("forward", "backward", "optimizer")}) == 1
    held = ("weights_mib", "inputs_mib", "optimizer_state_mib", "gradients_at_peak_mib", "activation_memory_mib")
    assert sum(metrics[name] for name in held) == pytest.approx(metrics["peak_memory_mib"], rel=1e-12)
    assert metrics["gradients_mib"] == metrics["weights_mib"]
    assert metrics["optimizer_state_mib"] == pytest.approx(2 * metrics["weights_mib"], rel=1e-3)
    assert metrics["optimizer"] == "AdamW(lr=1e-08, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.05, fused)"
    assert 0 < metrics["loss_drift"] < 0.2
    assert outcome.operators["aten::_fused_adamw_"] > 0


@pytest.mark.parametrize("phase", ["inference", "training"])
def test_the_other_phases_have_no_optimiser(phase: str) -> None:
    outcome = measured(changed(phase=phase))
    assert outcome.status is Status.ok, outcome.reason
    assert [
        name for name in (*OF_A_STEP, "optimizer", "loss_drift") if getattr(outcome.metrics, name) is not None
    ] == []
    assert not [name for name in outcome.operators if "adam" in name]


def test_a_step_that_leaves_the_weights_alone_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AdamW, "step", lambda self: None)
    outcome = measured()
    assert outcome.status is Status.wrong_result
    assert "parameter 0 has seen 0 steps instead of one. Nothing was timed." in outcome.reason
    assert outcome.metrics.latency_ms is None


def test_a_step_with_other_gradients_than_those_it_shows_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(self: AdamW, original: Any = AdamW.step) -> None:
        original(self)
        for parameter in self.param_groups[0]["params"]:
            parameter.grad *= 2

    monkeypatch.setattr(AdamW, "step", step)
    outcome = measured()
    assert outcome.status is Status.wrong_result
    assert "the first moment of parameter 0 is off by 5.0e-01" in outcome.reason


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("wrong", [{"lr": 2.0}, {"weight_decay": 0.0}, {"eps": 1e-4}], ids=str)
def test_what_rounds_away_in_a_timed_step_is_seen_in_the_checked_one(
    precision: str, wrong: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(self: AdamW, original: Any = AdamW.step) -> None:
        said = dict(self.param_groups[0])
        self.param_groups[0].update(wrong)
        original(self)
        self.param_groups[0].update(said)

    monkeypatch.setattr(AdamW, "step", step)
    with pytest.raises(WrongResultError, match=r"the change of parameter \d+ is off by"):
        check_step(step_of(changed(precision=precision)))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_check_puts_the_weights_back(precision: str) -> None:
    step = step_of(changed(precision=precision))
    before = [parameter.clone() for parameter in weights_of(step)]
    check_step(step)
    assert all(torch.equal(one, other) for one, other in zip(weights_of(step), before, strict=True))
    assert describe_optimizer(step.optimizer).startswith("AdamW(lr=1e-08,")


def test_a_loss_that_explodes_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_step, "LEARNING_RATE", 1e30)
    outcome = measured()
    assert outcome.status is Status.wrong_result
    assert "The loss is" in outcome.reason


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"precision": "float16"}, "choose bfloat16 or float32, or --phase training"),
        ({"cuda_graph": True}, "CUDA graphs need a CUDA device"),
    ],
)
def test_what_cannot_be_stepped_is_unsupported_and_says_why(settings: dict[str, Any], said: str) -> None:
    outcome = measured(changed(**settings))
    assert outcome.status is Status.unsupported
    assert said in outcome.reason


def test_a_model_without_anything_to_train_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    build = build_on_device

    def frozen(case: Case) -> nn.Module:
        return build(case).requires_grad_(False)

    monkeypatch.setattr(fit_module, "build_on_device", frozen)
    outcome = fit_case(STEP, None)
    assert outcome.status is Status.unsupported
    assert "no trainable parameter; measure it with --phase inference" in outcome.reason


@pytest.mark.parametrize(("phase", "calls"), [("inference", 1), ("training", 1), ("training_step", 2)])
def test_whether_it_fits_is_asked_of_a_step_that_has_state(
    phase: str, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    monkeypatch.setattr(fit_module, "iteration", lambda *_: (lambda: made.append(1), lambda: None))
    assert fit_case(changed(phase=phase), None).status is Status.ok
    assert len(made) == calls


def test_a_graph_asks_for_a_capturable_optimiser() -> None:
    assert "capturable" not in describe_optimizer(step_of().optimizer)
    assert describe_optimizer(step_of(changed(cuda_graph=True)).optimizer).endswith("fused, capturable)")


def test_a_compiled_step_is_measured_too() -> None:
    outcome = measured(changed(subject="deit_tiny_patch16_224", implementation="sdpa", compile=True))
    assert outcome.status is Status.ok, outcome.reason
    assert outcome.metrics.graph_breaks == 0
    assert outcome.metrics.forward_ms is not None
    assert outcome.metrics.gradient_error is not None
