"""GLIMS behaves as its users expect: modes, codes, sizes, checkpoints, gradients, cost, bad input."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor

import vigbench
from vigbench.models.volumes.glims import GLIMS
from vigbench.subjects.building import build_on_meta
from vigbench.subjects.catalog import create_model, fill_weights

DEAD_MACS = 2 * 7**3 * sum((96 // 2**n) ** 3 for n in range(5))  # convolutions of the spatial gates


def narrow(*size: int, **kwargs: Any) -> GLIMS:
    """A model of few channels in which every part takes part, in float64 and eval mode."""
    model = create_model("glims", **{"img_size": size or 32, "feature_size": 4, **kwargs})
    assert isinstance(model, GLIMS)
    fill_weights(model, 0)
    return model.double().eval()


def volume(model: GLIMS, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, model.in_chans, *model.img_size, generator=generator, dtype=torch.float64)


def trained(model: GLIMS, x: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Four logits, and the gradients of all of them."""
    found = model.train()(x)
    assert isinstance(found, list)
    sum(logits.square().mean() for logits in found).backward()  # type: ignore[union-attr]
    return [x.detach() for x in found], {key: p.grad for key, p in model.named_parameters() if p.grad is not None}


def assert_same(found: Tensor, expected: Tensor, most: float) -> None:
    assert float((found - expected).abs().max()) <= most * max(1e-6, float(expected.abs().max()))


def test_it_is_created_as_every_model() -> None:
    assert timm.is_model("glims")
    assert vigbench.list_subjects("glims") == ["glims"]
    model = timm.create_model("glims", img_size=(32, 64, 32), in_chans=1, num_classes=14, feature_size=4)
    with torch.inference_mode():
        assert model.eval()(torch.zeros(1, 1, 32, 64, 32)).shape == (1, 14, 32, 64, 32)
    with pytest.raises(TypeError, match="drop_rate"):
        timm.create_model("glims", drop_rate=0.1)
    for create in (timm.create_model, vigbench.create_model):
        with pytest.raises(ValueError, match="no weights to download"):
            create("glims", pretrained=True)


def test_training_gives_logits_of_four_sizes_and_eval_one() -> None:
    model = narrow(32, 64, 32)
    x = volume(model, 2)
    with torch.inference_mode():
        one, four = model(x), model.train()(x)
        assert [x.shape for x in four] == [(2, 3, 32 // n, 64 // n, 32 // n) for n in (1, 2, 4, 8)]
        assert torch.equal(one, four[0]), "beside that the mode changes nothing"
        model.deep_supervision = False
        assert torch.equal(model(x), one)
        model.eval().deep_supervision = True
        assert [torch.equal(a, b) for a, b in zip(model(x), four, strict=True)] == [True] * 4


def test_items_of_a_batch_do_not_mix() -> None:
    model = narrow(64, 32, 32)
    x = volume(model, 3)
    with torch.inference_mode():
        assert_same(model(x)[1:2], model(x[1:2]), 1e-9)


def test_the_spatial_gate_is_the_same_with_and_without_its_convolution() -> None:
    found = []
    for mode in ("released", "skipped"):
        model = narrow(spatial_gate=mode)
        for n in range(1, 6):
            model.get_parameter(f"csab{n}.SpatialGate.spatial.norm.bias").data.fill_(0.7 - 0.3 * n)
        found.append(trained(model, volume(model)))
    for one, other in zip(found[0][0], found[1][0], strict=True):
        assert_same(one, other, 1e-12)
    released, skipped = found[0][1], found[1][1]
    largest = max(float(x.abs().max()) for x in skipped.values())
    for key in released.keys() - skipped.keys():
        assert "SpatialGate.spatial" in key
        assert float(released[key].abs().max()) <= 1e-10 * largest, "it cannot learn"
    for key, gradient in skipped.items():
        assert float((gradient - released[key]).abs().max()) <= 1e-10 * largest, key


def test_the_gate_s_convolution_is_counted_and_not_executed() -> None:
    costs = []
    for mode in ("released", "skipped"):
        model = build_on_meta(lambda mode=mode: create_model("glims", spatial_gate=mode)).eval()  # type: ignore[misc]
        costs.append(vigbench.count_cost(model, (1, 4, 96, 96, 96)))
    assert [cost.macs for cost in costs] == [56_983_898_064] * 2
    assert costs[0].executed_macs - costs[1].executed_macs == DEAD_MACS
    assert [cost.coverage for cost in costs] == [1, 1]


def test_all_four_logits_are_counted() -> None:
    model = build_on_meta(lambda: create_model("glims")).eval()
    model.deep_supervision = True  # type: ignore[assignment]
    assert round(vigbench.count_cost(model, (1, 4, 96, 96, 96)).macs / 1e9, 3) == 57.005


def test_eager_and_fused_attention_compute_the_same() -> None:
    found = []
    for name in ("eager", "sdpa"):
        model = narrow(64, 32, 32, implementation=name)
        assert {m.fused_attn for m in model.modules() if hasattr(m, "fused_attn")} == {name == "sdpa"}
        found.append(trained(model, volume(model)))
    for one, other in zip(found[0][0], found[1][0], strict=True):
        assert_same(one, other, 1e-9)
    assert found[0][1].keys() == found[1][1].keys()
    largest = max(float(x.abs().max()) for x in found[0][1].values())
    for key, gradient in found[0][1].items():
        assert float((gradient - found[1][1][key]).abs().max()) <= 1e-9 * largest, key
    with pytest.raises(ValueError, match="unknown implementation"):
        create_model("glims", implementation="torch_chunk")


def test_what_is_never_used_gets_no_gradient_and_all_else_does() -> None:
    model = narrow(64, 32, 32, feature_size=8)  # of more than one token at its deepest
    for key, parameter in model.named_parameters():
        if key.endswith("SpatialGate.spatial.norm.bias"):
            parameter.data.fill_(-0.5)  # below 0 a slope matters
    _, gradients = trained(model, volume(model))
    without = {key for key, _ in model.named_parameters()} - gradients.keys()
    unused = {
        key
        for key, _ in model.named_parameters()
        if key.endswith((".l1.prelu.weight", ".l2.prelu.weight", "spatial.conv.weight", "spatial.norm.weight"))
    }
    assert without == unused
    assert len(unused) == 16 + 2 * 5
    before_a_norm = {key for key in gradients if key.endswith("conv.bias") and not key.startswith("out")}
    assert [key for key, one in gradients.items() if key not in before_a_norm and not (one != 0).any()] == []


def test_gradient_checkpointing_changes_no_gradient() -> None:
    found = []
    for enable in (False, True):
        model = narrow()
        model.set_grad_checkpointing(enable)
        found.append(trained(model, volume(model))[1])
    assert found[0].keys() == found[1].keys()
    for key, gradient in found[0].items():
        assert torch.equal(gradient, found[1][key]), key


@pytest.mark.slow
def test_it_is_compiled_as_a_whole() -> None:
    model = narrow()
    compiled = torch.compile(model, fullgraph=True)
    with torch.inference_mode():
        assert_same(compiled(volume(model)), model(volume(model)), 1e-9)


@pytest.mark.parametrize("size", [100, 16, 0, (96, 96), (96, 96, 80), (96, 96, 96, 96)])
def test_sizes_that_cannot_be_halved_are_refused(size: Any) -> None:
    with pytest.raises(ValueError, match="multiples of 32, such as 96") as error:
        create_model("glims", img_size=size)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("shape", [(1, 4, 32, 32, 64), (1, 3, 32, 32, 32), (4, 32, 32, 32), (1, 4, 32, 32)])
def test_another_volume_is_refused_in_one_line(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"takes volumes \(batch, 4, 32, 32, 32\), not ") as error:
        narrow()(torch.zeros(shape).double())
    assert "\n" not in str(error.value)
    assert str(shape) in str(error.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"dilated_convs": "nonsense"}, "nonsense"),
        ({"spatial_gate": "nonsense"}, "unknown spatial_gate 'nonsense': choose skipped, released"),
        ({"feature_size": 6}, "choose a multiple of 4"),
        ({"feature_size": 0}, "choose a multiple of 4"),
    ],
)
def test_settings_that_make_no_model(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        create_model("glims", **settings)


def saved(path: Path, **kwargs: Any) -> dict[str, Tensor]:
    """Weights of 96 x 96 x 96, as the authors save them."""
    state = narrow(96, 96, 96, **kwargs).float().state_dict()
    torch.save({"epoch": 3, "state_dict": state, "optimizer": {"lr": 1e-3}}, path)
    return state


@pytest.mark.parametrize("size", [(64, 64, 64), (32, 96, 128), (96, 96, 96)])
def test_weights_of_the_released_size_are_resampled_for_another(size: tuple[int, ...], tmp_path: Path) -> None:
    state = saved(path := tmp_path / "weights.pth")
    for create in (vigbench.create_model, timm.create_model):
        model = create("glims", checkpoint_path=path, img_size=size, feature_size=4)
        found = model.state_dict()
        assert found.keys() == state.keys()
        for key, given in state.items():
            expected = given
            if key.endswith("position_embeddings") and size != (96, 96, 96):
                stride = {"t3": 8, "t3_up": 8, "t4_pre": 16, "t4_post": 16, "t4": 32}[key.partition(".")[0]]
                grid = [side // stride for side in size]
                places = given.view(1, -1, *[96 // stride] * 3)
                expected = F.interpolate(places, grid, mode="trilinear", align_corners=False).flatten(2)
            assert torch.equal(found[key], expected), key


def test_other_weights_are_loaded_strictly(tmp_path: Path) -> None:
    state = saved(path := tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="does not fit this model"):
        vigbench.create_model("glims", checkpoint_path=path, feature_size=8)
    with pytest.raises(ValueError, match="does not fit this model"):
        vigbench.create_model("glims", checkpoint_path=path, feature_size=4, in_chans=1)
    lacking = {key: x for key, x in state.items() if key != "t4.layer.position_embeddings"}
    torch.save(lacking, path)
    with pytest.raises(ValueError, match=r"t4\.layer\.position_embeddings"):
        vigbench.create_model("glims", checkpoint_path=path, feature_size=4, img_size=64)
    of_64 = narrow(64, 64, 64).state_dict()
    torch.save({"state_dict": of_64}, path)
    with pytest.raises(ValueError, match="position_embeddings") as error:
        vigbench.create_model("glims", checkpoint_path=path, feature_size=4, img_size=32)
    assert "\n" not in str(error.value)
