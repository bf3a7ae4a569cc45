"""Which entry of a checkpoint holds the weights."""

from pathlib import Path

import pytest
import torch

from vigbench.models.checkpoints.weights import find_weights

FILE = Path("trained.pth")
PLAIN, AVERAGE, OTHER = ({"weight": torch.full((2,), value)} for value in (0.0, 1.0, 2.0))
OPTIMISER = {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}


@pytest.mark.parametrize(
    "name",
    ["model", "state_dict", "model_state_dict", "net", "network", "weights", "params", "net_state", "student", "a.b"],
)
def test_one_entry_with_tensors_is_the_weights_whatever_its_name(name: str) -> None:
    content = {"epoch": 3, name: PLAIN, "optimizer": OPTIMISER, "loss": torch.zeros(())}
    weights, state = find_weights(FILE, content)
    assert weights == name
    assert torch.equal(state["weight"], PLAIN["weight"])


@pytest.mark.parametrize(
    "name", ["model_ema", "state_dict_ema", "ema", "ema_state_dict", "swa_model", "averaged_model"]
)
def test_an_average_is_preferred_unless_it_is_not_asked_for(name: str) -> None:
    content = {"model": PLAIN, name: AVERAGE}
    assert find_weights(FILE, content)[0] == name
    assert find_weights(FILE, content, ema=False)[0] == "model"
    with pytest.raises(ValueError, match=rf"averaged weights only \({name}\): leave --no-ema out"):
        find_weights(FILE, {name: AVERAGE}, ema=False)


def test_the_usual_name_is_preferred_as_in_timm() -> None:
    assert find_weights(FILE, {"model": OTHER, "state_dict": PLAIN})[0] == "state_dict"
    assert find_weights(FILE, {"criterion": OTHER, "net": PLAIN})[0] == "net"
    assert find_weights(FILE, {"model_ema": OTHER, "state_dict_ema": AVERAGE})[0] == "state_dict_ema"


def test_entries_in_entries_and_a_plain_state_dict_are_found() -> None:
    assert find_weights(FILE, {"checkpoint": {"model": PLAIN, "model_ema": AVERAGE}})[0] == "checkpoint.model_ema"
    assert find_weights(FILE, PLAIN)[0] == ""
    mixed = find_weights(FILE, {**PLAIN, "epoch": 3, "layer._extra_state": {"scale": torch.ones(1)}})
    assert mixed[0] == ""
    assert list(mixed[1]) == ["weight", "layer._extra_state"]


def test_several_entries_are_no_choice_of_ours() -> None:
    with pytest.raises(ValueError, match=r"weights in 2 entries \(teacher, student\): save the one that is meant"):
        find_weights(FILE, {"teacher": PLAIN, "student": OTHER})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "but nothing"),
        ({"model": {}}, "but the keys model"),
        ({"epoch": 1, "loss": 0.5}, "but the keys epoch, loss"),
        ({"model": {"weight": "none"}}, "but the keys model"),
        ({0: torch.zeros(1)}, "but the keys 0"),
        ([PLAIN], "but one list"),
        (torch.zeros(3), "but one Tensor"),
        ({f"k{index}": 0 for index in range(20)}, r"but the keys k0, .*k7, \.\.\.;"),
        ({"optimizer": OPTIMISER}, "but the keys optimizer"),
    ],
)
def test_a_file_without_weights_is_described(content: object, said: str) -> None:
    with pytest.raises(ValueError, match=f"trained.pth holds no state dict, .*{said}"):
        find_weights(FILE, content)
