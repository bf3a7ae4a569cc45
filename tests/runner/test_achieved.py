from collections.abc import Mapping
from typing import Any

import pytest

from vigbench.records.metrics import Metrics
from vigbench.runner.achieved import achieved_columns
from vigbench.subjects.catalog import task_of
from vigbench.suites.axes import Phase
from vigbench.suites.case import Case

GLA = Case(subject="gla", length=1000, heads=2, key_dim=8, value_dim=16, batch_size=3, precision="bfloat16")
CHANNEL = 2 * 3 * 1000 * 2  # bytes of one channel of all heads, tokens and sequences


def achieved(case: Case, metrics: Metrics, ceilings: Mapping[str, Any]) -> dict[str, Any]:
    return achieved_columns(case, metrics, ceilings, task_of(case.subject).bytes_moved(case))


def bytes_moved(case: Case) -> float:
    """What the rate says, of a time of 1 ms."""
    found = achieved(case, Metrics(latency_ms=1.0, gmacs=0.25), {})
    rate = found["achieved_gb_per_s"]
    assert rate is not None
    return rate * 1e6


CEILINGS = {"bfloat16": {"copy_gb_per_s": 4.0, "product_tflop_per_s": 0.5}}


@pytest.mark.parametrize(
    ("subject", "inputs"),
    [
        ("gla", 4 * 8 + 16),
        ("gla_from_logits", 4 * 8 + 16),
        ("gla_one_direction", 3 * 8 + 16),
        ("attention", 2 * 8 + 16),
    ],
)
def test_every_input_and_output_is_moved_once(subject: str, inputs: int) -> None:
    case = GLA.model_copy(update={"subject": subject})
    assert bytes_moved(case) == pytest.approx(CHANNEL * (inputs + 16))
    training = case.model_copy(update={"phase": Phase.training})
    backward = inputs + 16 + inputs  # reads the inputs and the output's gradient, writes the inputs' gradients
    assert bytes_moved(training) == pytest.approx(CHANNEL * (inputs + 16 + backward))


def test_rates_are_over_the_device_s_own_time_where_there_is_one() -> None:
    metrics = Metrics(latency_ms=4.0, gmacs=0.25)
    found = achieved(GLA, metrics, CEILINGS)
    assert found["achieved_gb_per_s"] == pytest.approx(bytes_moved(GLA) / 1e9 / 4e-3)
    assert found["achieved_tflop_per_s"] == pytest.approx(2 * 3 * 0.25e9 / 1e12 / 4e-3)
    assert found["bandwidth_share"] == pytest.approx(found["achieved_gb_per_s"] / 4.0)  # type: ignore[operator]
    assert found["compute_share"] == pytest.approx(found["achieved_tflop_per_s"] / 0.5)  # type: ignore[operator]
    on_cuda = GLA.model_copy(update={"device": "cuda"})
    for source in ("events", "profile"):
        timed = Metrics(latency_ms=4.0, gmacs=0.25, kernel_ms=1.0, kernel_time_source=source)  # type: ignore[arg-type]
        on_device = achieved(on_cuda, timed, CEILINGS)
        assert on_device["achieved_gb_per_s"] == pytest.approx(4 * found["achieved_gb_per_s"])  # type: ignore[operator]


@pytest.mark.parametrize("source", ["profile_warm", "events_exposed", None])
def test_a_time_that_is_not_of_kernels_from_a_cold_cache_gives_no_rate(source: str | None) -> None:
    metrics = Metrics.model_validate(
        {"latency_ms": 4.0, "gmacs": 0.25, "kernel_ms": source and 1.0, "kernel_time_source": source}
    )
    metrics = metrics.model_copy(update={"inputs_mib": 1.0, "peak_memory_mib": 2.0})
    found = achieved(GLA.model_copy(update={"device": "cuda"}), metrics, CEILINGS)
    assert list(found) == ["extra_memory_share"]


def test_training_counts_three_forward_passes_of_arithmetic() -> None:
    metrics = Metrics(latency_ms=4.0, gmacs=0.25)
    training = achieved(GLA.model_copy(update={"phase": Phase.training}), metrics, {})
    inference = achieved(GLA, metrics, {})
    assert training["achieved_tflop_per_s"] == pytest.approx(3 * inference["achieved_tflop_per_s"])  # type: ignore[operator]
    assert training["bandwidth_share"] is training["compute_share"] is None


@pytest.mark.parametrize("phase", [Phase.inference, Phase.training])
def test_an_operator_that_allocates_its_results_alone_needs_no_extra_memory(phase: Phase) -> None:
    case = GLA.model_copy(update={"phase": phase})
    channel = CHANNEL / 2**20
    inputs = channel * (4 * 8 + 16 + (16 if phase is Phase.training else 0))
    results = channel * (16 + (4 * 8 + 16 if phase is Phase.training else 0))
    least = Metrics(latency_ms=1.0, gmacs=1.0, inputs_mib=inputs, peak_memory_mib=inputs + results)
    assert achieved(case, least, {})["extra_memory_share"] == pytest.approx(0)
    half_more = least.model_copy(update={"peak_memory_mib": 1.5 * (inputs + results)})
    assert achieved(case, half_more, {})["extra_memory_share"] == pytest.approx(0.5)


def test_tf32_has_a_ceiling_of_its_own() -> None:
    case = GLA.model_copy(update={"precision": "float32", "tf32": True})
    ceilings = {"float32": {"copy_gb_per_s": 1.0, "product_tflop_per_s": 1.0}}
    metrics = Metrics(latency_ms=1.0, gmacs=1.0)
    assert achieved(case, metrics, ceilings)["compute_share"] is None
    assert achieved(case, metrics, {"tf32": ceilings["float32"]})["compute_share"] is not None


def test_models_and_failed_cases_have_none_of_it() -> None:
    model = Case(subject="resnet50", resolution=224)
    assert achieved(model, Metrics(latency_ms=1.0, gmacs=1.0), CEILINGS) == {}
    assert achieved(GLA, Metrics(), CEILINGS) == {}
