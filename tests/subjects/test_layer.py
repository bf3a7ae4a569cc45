import pytest
import torch

from vigbench.models.layers.table import LAYERS, USUAL_HEADS
from vigbench.runner.case import create_case
from vigbench.subjects.catalog import build_case, create_model, describe, fill_weights, task_of
from vigbench.subjects.layer import LONGEST, LayerTask
from vigbench.suites.axes import Device, MemoryFormat
from vigbench.suites.case import Case
from vigbench.suites.loader import load_suite
from vigbench.suites.shape import parse_entry
from vigbench.worker.prepare import count_item

SMALL = {"gla_layer": (2, 4, 8), "llama_layer": (2, 8, 8), "retnet_layer": (2, 8, 16), "mamba2_layer": (4, 4, 8)}
NAMES = sorted(LAYERS)


def case_of(name: str, **settings: object) -> Case:
    heads, key_dim, value_dim = SMALL.get(name, (2, 8, 8))
    given = {"length": 20, "heads": heads, "key_dim": key_dim, "value_dim": value_dim, "batch_size": 3, **settings}
    implementation = "sdpa" if name == "llama_layer" else "torch_chunk"
    return Case.model_validate({"subject": name, "implementation": implementation, **given})


@pytest.mark.parametrize("name", NAMES)
def test_a_layer_takes_and_gives_tokens_of_its_width(name: str) -> None:
    case = case_of(name)
    task = task_of(name)
    assert isinstance(task, LayerTask)
    layer, inputs = build_case(case), task.make_inputs(case)
    fill_weights(layer, 0)
    assert inputs["x"].shape == (3, 20, LAYERS[name].width(*case.shape or ()))
    output = task.call(layer, inputs)
    assert output.shape == inputs["x"].shape
    assert layer.implementation == case.implementation
    assert output.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_an_item_is_a_token_and_costs_what_a_sequence_costs_in_all(name: str) -> None:
    case = case_of(name)
    task = task_of(name)
    assert (task.unit, task.items(case)) == ("token", 60)
    cost = count_item(build_case(case), case, task, describe(name).operator, task.make_inputs(case))
    alone = count_item(build_case(case.model_copy(update={"batch_size": 1})), case, task, None, task.make_inputs(case))
    assert cost.macs == alone.macs > 0
    assert not cost.uncounted


@pytest.mark.parametrize("name", NAMES)
def test_a_probe_is_the_first_tokens_and_says_what_the_whole_says_of_them(name: str) -> None:
    case = case_of(name)
    task = task_of(name)
    layer, inputs = build_case(case), task.make_inputs(case)
    fill_weights(layer, 0)
    probe = task.probe(layer, case, inputs, 12, lambda case: layer)
    with torch.inference_mode():
        torch.testing.assert_close(task.call(layer, probe.inputs), task.call(layer, inputs)[:1, :12])
    assert task.largest_checked(case, "gla") == LONGEST.inference


def test_a_layer_is_no_model_by_name() -> None:
    with pytest.raises(ValueError, match=r"retnet_layer is a layer, built of heads: use .*create_layer"):
        create_model("retnet_layer")


def test_wrong_sizes_and_layouts_are_refused_with_advice() -> None:
    with pytest.raises(ValueError, match="gla_layer is a layer: give it --length and --shape"):
        create_case("gla_layer", resolution=224)
    with pytest.raises(ValueError, match="choose 4x64x64"):
        task_of("llama_layer").require(case_of("llama_layer", heads=4, key_dim=32, value_dim=64))
    with pytest.raises(ValueError, match="leave it out for a layer"):
        task_of("gla_layer").require(case_of("gla_layer", memory_format=MemoryFormat.channels_last))


def test_the_suite_has_the_heads_of_the_papers_at_equal_widths() -> None:
    suite = load_suite("layers")
    assert {entry.name for entry in suite.subjects} == set(LAYERS)
    for entry in suite.subjects:
        shapes = [tuple(parse_entry(text)[0]) for text in entry.shape or ()]
        assert shapes == list(USUAL_HEADS[entry.name].values())
        assert [LAYERS[entry.name].width(*shape) for shape in shapes] == [1024, 2048]
    assert {Device.cpu, Device.cuda} == set(suite.devices)
