"""Kept results of references: shared where everything is the same, trusted to acquit and never to condemn."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vigbench.ops import registry
from vigbench.ops.declaration import Limit
from vigbench.subjects.catalog import IMAGES
from vigbench.subjects.sequence import SEQUENCES
from vigbench.subjects.task import Result
from vigbench.suites.case import Case
from vigbench.worker import references as module
from vigbench.worker.build import build_on_device
from vigbench.worker.check_subject import WrongResultError, check
from vigbench.worker.references import References

WHAT = {"subject": "net"}
VIG = Case(subject="vig_tiny_patch16_224", implementation="torch_chunk", resolution=64, threads=1)
GLA = Case(subject="gla", implementation="torch_chunk", length=200, heads=2, key_dim=8, value_dim=16, threads=1)


@pytest.fixture(autouse=True)
def _all_is_worth_keeping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WORTH_KEEPING_S", 0.0)


class Computation:
    """Twice its input, and how often that was computed."""

    def __init__(self, x: Tensor) -> None:
        self.x, self.calls = x, 0

    def __call__(self) -> Result:
        self.calls += 1
        return {"output": 2 * self.x}, {"blocks.0.weight": self.x + 1, "scalar": torch.tensor(3.0, dtype=torch.float64)}


def ask(folder: Path | None, x: Tensor, judge: Callable[[Result], Any] = lambda result: result, **what: str) -> Any:
    """The judgement, and whether the reference was computed for it."""
    computation = Computation(x)
    return References(folder).judged([x], {**WHAT, **what}, computation, judge), computation.calls


def test_the_next_case_finds_exactly_what_was_computed(tmp_path: Path) -> None:
    x = torch.randn(3, 4)
    (output, gradients), calls = ask(tmp_path, x)
    (kept, kept_gradients), again = ask(tmp_path, x)
    assert (calls, again) == (1, 0)
    assert torch.equal(kept["output"], output["output"])
    assert kept_gradients.keys() == gradients.keys()
    assert all(torch.equal(kept_gradients[name], gradients[name]) for name in gradients)
    assert kept_gradients["scalar"].dtype == torch.float64


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda x: x + torch.finfo().eps, {}),
        (lambda x: x.bfloat16(), {}),
        (lambda x: x.reshape(4, 3), {}),
        (lambda x: x.t().contiguous().t(), {}),
        (lambda x: x, {"subject": "other"}),
        (lambda x: x, {"gradients": "yes"}),
    ],
    ids=["values", "dtype", "shape", "layout", "subject", "setting"],
)
def test_anything_that_could_change_it_is_another_one(tmp_path: Path, change: Any, what: dict[str, str]) -> None:
    x = torch.ones(3, 4)
    ask(tmp_path, x)
    assert ask(tmp_path, change(x), **what)[1] == 1
    assert ask(tmp_path, x)[1] == 0


@pytest.mark.parametrize("name", ["torch", "code"])
def test_another_version_is_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    x = torch.ones(3)
    ask(tmp_path, x)
    if name == "torch":
        monkeypatch.setattr(torch, "__version__", "2.0")
    else:
        monkeypatch.setattr(module, "code_hash", lambda: "edited")
    assert ask(tmp_path, x)[1] == 1


def test_without_a_folder_each_is_computed() -> None:
    x = torch.ones(3)
    assert [ask(None, x)[1] for _ in range(2)] == [1, 1]


def spoil(folder: Path, x: Tensor) -> None:
    (file,) = folder.iterdir()
    module._write(file, Computation(x)())


def refuse_all_but(right: Tensor) -> Callable[[Result], str]:
    def judge(result: Result) -> str:
        if not torch.equal(result[0]["output"], right):
            raise WrongResultError("wrong")
        return "passed"

    return judge


def test_a_spoiled_result_condemns_nobody(tmp_path: Path) -> None:
    x = torch.ones(3)
    ask(tmp_path, x)
    spoil(tmp_path, x + 1)
    assert ask(tmp_path, x, refuse_all_but(2 * x)) == ("passed", 1)
    assert ask(tmp_path, x, refuse_all_but(2 * x)) == ("passed", 0), "the fresh one has taken its place"


def test_a_wrong_case_is_refused_by_a_fresh_one_and_leaves_nothing(tmp_path: Path) -> None:
    x = torch.ones(3)
    for _ in range(2):
        with pytest.raises(WrongResultError):
            ask(tmp_path, x, refuse_all_but(x))
    assert not list(tmp_path.iterdir())
    ask(tmp_path, x)
    computation = Computation(x)
    with pytest.raises(WrongResultError):
        References(tmp_path).judged([x], WHAT, computation, refuse_all_but(x))
    assert computation.calls == 1, "never by the kept one alone"


@pytest.mark.parametrize("content", [b"", b"no safetensors", b"\0" * 4096])
def test_a_damaged_file_is_passed_over(tmp_path: Path, content: bytes) -> None:
    x = torch.ones(3)
    ask(tmp_path, x)
    (file,) = tmp_path.iterdir()
    file.write_bytes(content)
    assert ask(tmp_path, x)[1] == 1


def test_what_is_quick_or_too_much_or_has_no_place_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.ones(1000)
    assert ask(tmp_path / "missing", x)[1] == 1
    monkeypatch.setattr(module, "WORTH_KEEPING_S", 3600.0)
    ask(tmp_path, x)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(module, "WORTH_KEEPING_S", 0.0)
    monkeypatch.setattr(module, "MOST_BYTES", 12_000)
    for step in range(3):
        ask(tmp_path, x + step)
    assert len(list(tmp_path.iterdir())) == 1, "8 kB each"


@pytest.mark.parametrize("phase", ["inference", "training"])
def test_cases_of_other_batches_and_larger_images_share_a_model_s_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    monkeypatch.setitem(registry._OPERATORS, "gla", replace(registry.get_operator("gla"), largest_px=Limit(64, 64)))
    seconds, errors = [], []
    for change in ({}, {"batch_size": 2}, {"resolution": 128}, {"precision": "bfloat16"}):
        case = Case.model_validate({**VIG.model_dump(), "phase": phase, **change})
        kept = References(tmp_path)
        gate = check(build_on_device(case), case, IMAGES, "gla", IMAGES.make_inputs(case), kept)
        assert gate.size == {"resolution": 64}
        seconds.append(kept.seconds)
        errors.append((gate.error, gate.gradient_error))
    assert seconds[0] > 0
    assert seconds[1:3] == [0.0, 0.0]
    assert seconds[3] > 0, "weights rounded to another precision have another reference"
    assert errors[0] == errors[1] == errors[2], "by the same reference, on the same image"


class Faulty(nn.Module):
    """A model whose output is off by a tenth, unless it is the reference; with the same weights as the right one."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.factor = model, 1.1

    def set_implementation(self, name: str) -> None:
        self.model.set_implementation(name)  # type: ignore[operator]
        self.factor = 1.0

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * self.model(x)


def test_a_kept_reference_lets_no_wrong_implementation_pass(tmp_path: Path) -> None:
    inputs = IMAGES.make_inputs(VIG)
    check(build_on_device(VIG), VIG, IMAGES, "gla", inputs, References(tmp_path))
    kept = References(tmp_path)
    with pytest.raises(WrongResultError, match=r"torch_chunk differs from the reference by 1\.0e-01"):
        check(Faulty(build_on_device(VIG)), VIG, IMAGES, "gla", inputs, kept)
    assert kept.seconds is not None
    assert kept.seconds > 0, "refused by a fresh one"


@pytest.mark.parametrize("phase", ["inference", "training"])
def test_implementations_of_an_operator_share_it(tmp_path: Path, phase: str) -> None:
    seconds = []
    for _ in range(2):
        case = Case.model_validate({**GLA.model_dump(), "phase": phase})
        kept = References(tmp_path)
        task = SEQUENCES["gla"]
        check(task.build(case), case, task, "gla", task.make_inputs(case), kept)
        seconds.append(kept.seconds)
    assert seconds[0] > 0
    assert seconds[1] == 0.0
