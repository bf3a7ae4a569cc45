"""What torch loads strictly is loaded, wrappers are taken off, and nothing else is guessed."""

import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from vigbench.models.checkpoints.strict_loading import left_out, load_strictly


def net() -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            stem=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4), body=nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
        )
    )


class Compiled(nn.Module):
    """Of a model with one compiled part."""

    def __init__(self) -> None:
        super().__init__()
        inner = net()
        inner.body = nn.ModuleDict({"_orig_mod": inner.body})  # as torch.compile names it
        self.model = inner


class Trainer(nn.Module):
    """As Lightning has it: the model beside its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.model = net()
        self.criterion = nn.CrossEntropyLoss(weight=torch.ones(2))


def wrapped(*names: str) -> nn.Module:
    made: nn.Module = net()
    for name in reversed(names):
        made = nn.ModuleDict({name: made})
    return made


@pytest.mark.parametrize(
    "make",
    [
        net,
        lambda: wrapped("module"),
        lambda: wrapped("module", "_orig_mod"),
        lambda: wrapped("_orig_mod", "module", "net"),
        lambda: AveragedModel(net()),
        lambda: wrapped("module", "model"),
        Trainer,
        Compiled,
        lambda: AveragedModel(Trainer()),
        lambda: nn.ModuleDict({"net": net(), "head": nn.Linear(2, 2)}),
    ],
)
def test_weights_are_those_that_were_saved_whatever_wraps_them(make: Callable[[], nn.Module]) -> None:
    saved = make()
    torch.manual_seed(1)
    for parameter in saved.parameters():
        nn.init.normal_(parameter)
    state: Any = saved.state_dict()
    model = net()
    load_strictly(model, state)
    stem = next(value for name, value in state.items() if name.endswith("stem.weight"))
    last = next(value for name, value in state.items() if name.endswith("1.bias"))
    assert torch.equal(model.stem.weight, stem)  # type: ignore[union-attr, arg-type]
    assert torch.equal(model.state_dict()["body.1.bias"], last)


def test_what_stands_beside_the_model_is_named() -> None:
    states: list[Any] = [Trainer().state_dict(), AveragedModel(net()).state_dict(), net().state_dict()]
    assert [left_out(net(), state) for state in states] == [["criterion.weight"], [], []]


def test_a_batch_norm_that_counted_no_batches_is_loaded_as_torch_does() -> None:
    old = OrderedDict((name, one) for name, one in net().state_dict().items() if "num_batches" not in name)
    load_strictly(net(), old)
    load_strictly(net(), OrderedDict((f"model.{name}", one) for name, one in old.items()))


class Versioned(nn.Linear):
    """As torchvision's MNASNet, it takes no weights without its version."""

    _version = 2

    def _load_from_state_dict(self, state: Any, prefix: str, metadata: Any, *others: Any) -> None:
        if metadata.get("version") != 2:
            raise ValueError("another version")
        super()._load_from_state_dict(state, prefix, metadata, *others)


@pytest.mark.parametrize("saved", [Versioned(2, 2), nn.ModuleDict({"module": Versioned(2, 2)})])
def test_versions_of_modules_reach_torch(saved: nn.Module) -> None:
    state: Any = saved.state_dict()
    load_strictly(Versioned(2, 2), state)


def test_two_copies_are_no_choice_of_ours() -> None:
    state = nn.ModuleDict({"student": net(), "teacher": net()}).state_dict()
    with pytest.raises(ValueError, match=r"its names stand there 2 times, below student\., teacher\.: save those"):
        load_strictly(net(), OrderedDict(state))


def test_a_model_with_a_part_called_module_is_left_as_it_is() -> None:
    def make() -> nn.Module:
        return nn.ModuleDict({"module": nn.Linear(2, 2), "head": nn.Linear(2, 2)})

    state: Any = make().state_dict()
    load_strictly(make(), state)


def sparse(weight: Tensor) -> Tensor:
    return weight.to_sparse()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda weight: weight.to(torch.int8), "body.0.weight whole for real"),
        (lambda weight: weight.bool(), "body.0.weight whole for real"),
        (lambda weight: weight + 1j, "body.0.weight complex for real"),
        (lambda weight: weight * torch.nan, r"1 hold NaN \(body.0.weight\)"),
        (lambda weight: weight.half() * torch.nan, r"1 hold NaN \(body.0.weight\)"),
        (sparse, "body.0.weight sparse for real"),
        (lambda weight: weight.to("meta"), "body.0.weight without values for real"),
        (lambda weight: weight[:1], r"1 have another shape \(body.0.weight \(1, 4\) for \(4, 4\)\)"),
        (lambda weight: weight[None], "1 have another shape"),
    ],
)
def test_values_that_torch_would_change_or_lack_are_refused(change: Callable[[Tensor], Tensor], said: str) -> None:
    state: Any = net().state_dict()
    state["body.0.weight"] = change(state["body.0.weight"])
    with warnings.catch_warnings(action="error"), pytest.raises(ValueError, match=said) as refused:
        load_strictly(net(), state)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn])
def test_other_precisions_are_loaded(dtype: torch.dtype) -> None:
    state: Any = net().state_dict()
    state["body.0.weight"] = torch.ones(4, 4).to(dtype)
    model = net()
    load_strictly(model, state)
    assert torch.equal(model.state_dict()["body.0.weight"], torch.ones(4, 4))


def test_what_differs_is_counted_for_the_reading_that_fits_best() -> None:
    state = OrderedDict((f"module.{name}", one) for name, one in net().state_dict().items())
    del state["module.stem.bias"]
    state["module.new"] = torch.ones(1)
    with pytest.raises(ValueError, match=r"^1 weights are missing \(stem.bias\), 1 weights are unknown \(new\)$"):
        load_strictly(net(), state)
