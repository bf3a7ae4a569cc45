"""`compile: true` is a label that is proved: what was compiled is counted, and nothing compiled is no result."""

from functools import partial
from pathlib import Path

import pytest
import torch

from vigbench.measure.compilation import Compilation, watch_compilation
from vigbench.measure.gradient_memory import measure_gradients
from vigbench.records.schema import Status
from vigbench.subjects.catalog import IMAGES
from vigbench.suites.case import Case
from vigbench.worker.build import build_on_device, iteration
from vigbench.worker.measure_case import measure_case
from vigbench.worker.messages import Outcome

SUBJECTS = '''
import torch
from torch import nn


class Layers(nn.Module):
    """Two layers, between which something happens."""

    def __init__(self, between):
        super().__init__()
        self.first, self.last, self.between = nn.Linear(3, 8), nn.Linear(8, 4), between

    def forward(self, x):
        x = self.first(x.mean((2, 3)))
        self.between()
        return self.last(x.relu())


class Excluded(Layers):
    @torch.compiler.disable
    def forward(self, x):
        return super().forward(x)


def whole(): return Layers(lambda: None)
def broken(): return Layers(torch._dynamo.graph_break)
def excluded(): return Excluded(lambda: None)
'''


@pytest.fixture(autouse=True)
def _subjects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "compiling.py").write_text(SUBJECTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))  # the graphs, without their code
    torch._dynamo.reset()


def measured(name: str, phase: str, *, compiled: bool = True) -> Outcome:
    settings = {"subject": f"compiling:{name}", "resolution": 16, "threads": 1, "phase": phase, "compile": compiled}
    return measure_case(Case.model_validate(settings), 0.2, lambda stage: None)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # of torch, at a break
@pytest.mark.parametrize("phase", ["inference", "training", "training_step"])
@pytest.mark.parametrize(("name", "graph_breaks"), [("whole", 0), ("broken", 1)])
def test_the_breaks_of_the_graph_are_in_the_record(name: str, graph_breaks: int, phase: str) -> None:
    outcome = measured(name, phase)
    assert outcome.status is Status.ok, outcome.reason
    assert outcome.metrics.graph_breaks == graph_breaks
    assert outcome.metrics.compile_s is not None


def test_looking_for_gradients_compiles_nothing_anew() -> None:
    settings = {"subject": "compiling:whole", "resolution": 16, "threads": 1, "phase": "training_step", "compile": True}
    case = Case.model_validate(settings)
    model, inputs = build_on_device(case), IMAGES.make_inputs(case)
    call, _ = iteration(model, case, IMAGES, inputs)
    assert watch_compilation(call)[1] == Compilation(1, 0)
    gradients, compilation = watch_compilation(lambda: measure_gradients(call, model, inputs["image"].device))
    assert compilation == Compilation(0, 0)
    assert gradients.total > 0


def test_without_compile_there_is_nothing_to_count() -> None:
    metrics = measured("broken", "inference", compiled=False).metrics
    assert (metrics.graph_breaks, metrics.compile_s) == (None, None)


def test_a_model_of_which_nothing_is_compiled_does_not_get_the_label() -> None:
    outcome = measured("excluded", "inference")
    assert outcome.status is Status.unsupported
    assert outcome.reason.startswith("torch.compile compiles nothing of compiling:excluded")
    assert "compile: false" in outcome.reason
    assert outcome.metrics.latency_ms is None
