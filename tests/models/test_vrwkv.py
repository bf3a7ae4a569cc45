"""Vision-RWKV is the released one, and a timm model: parameters, keys, weights, logits, cost, conventions."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tests.models.conftest import filled, recipe_state, small, splitmix
from vigbench.models.vrwkv import checkpoint_filter_fn, q_shift
from vigbench.ops.biwkv import torch_scan  # noqa: F401  a counter knows the operators there are when it starts
from vigbench.subjects.catalog import create_model

GOLDEN = Path(__file__).parents[1] / "golden"
RELEASED = json.loads((GOLDEN / "vrwkv-models.json").read_text())
MODELS = {
    "vrwkv_tiny_patch16_224": "vrwkv_t",
    "vrwkv_small_patch16_224": "vrwkv_s",
    "vrwkv_base_patch16_224": "vrwkv_b",
}
TINY, SMALL, _ = MODELS
PARAMETERS = {TINY: 6_155_176, SMALL: 23_820_136, "vrwkv_base_patch16_224": 93_645_544}
PRODUCTS = {TINY: 1.156e9, SMALL: 4.567e9, "vrwkv_base_patch16_224": 18.151e9}  # matrix products and convolutions
SHAPES = {"logits": (2, 3, 224, 224), "logits_320x256": (1, 3, 320, 256)}
IMAGES = torch.linspace(-1, 1, 2 * 3 * 50 * 90).view(2, 3, 50, 90).sin()
names = pytest.mark.parametrize("name", MODELS)
norms = pytest.mark.parametrize("name", [TINY, SMALL], ids=["norms before", "norms after"])


def recipe_weight(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The reference's weights, which need no random number generator."""
    u, fan_in = splitmix(key, int(np.prod(shape))).reshape(shape), int(np.prod(shape[1:]))
    if key.endswith("spatial_decay"):
        u = -1 + 4 * u
    elif key.endswith("spatial_first"):
        u = 8 * u
    elif "spatial_mix_" in key:
        u = 0.5 + 0.5 * u
    elif key.endswith(("gamma1", "gamma2")):
        u = 0.5 + 0.25 * u
    elif key.endswith("att.key.weight"):
        u = 3 * np.sqrt(3 / fan_in) * u
    elif len(shape) == 1:
        u = 1 + 0.25 * u if key.endswith(".weight") else 0.1 * u
    else:
        u = (0.5 if key.endswith("pos_embed") else np.sqrt(3 / fan_in)) * u
    return u.astype("<f4")


def recipe(name: str) -> tuple[dict[str, Tensor], str]:
    """A released model's state dict with recipe weights, and their hash."""
    return recipe_state(RELEASED[MODELS[name]]["state_dict"], recipe_weight)


@names
def test_parameters_and_keys(name: str) -> None:
    with torch.device("meta"):
        model = create_model(name)
        released = {key: torch.empty(shape) for key, shape in RELEASED[MODELS[name]]["state_dict"].items()}
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name] == RELEASED[MODELS[name]]["params_total"]
    mapped = checkpoint_filter_fn(released, model)
    assert {key: x.shape for key, x in mapped.items()} == {key: x.shape for key, x in model.state_dict().items()}
    assert checkpoint_filter_fn(mapped, model) == mapped


@pytest.mark.parametrize("name", [TINY, SMALL, pytest.param("vrwkv_base_patch16_224", marks=pytest.mark.slow)])
def test_recipe_weights(name: str) -> None:
    assert recipe(name)[1] == RELEASED[MODELS[name]]["recipe_weights_sha256"]


@pytest.mark.parametrize("create", [create_model, timm.create_model])
def test_released_checkpoints_load(create: Callable[..., nn.Module], tmp_path: Path) -> None:
    state_dict, _ = recipe(TINY)
    path = tmp_path / "released.pth"
    torch.save({"state_dict": state_dict, "meta": {"epoch": 300}}, path)
    model = create(TINY, checkpoint_path=str(path))
    assert torch.equal(model.layers[3].att.key.weight, state_dict["backbone.layers.3.att.key.weight"])
    assert torch.equal(model.head.bias, state_dict["head.fc.bias"])
    state_dict["backbone.layers.3.other"] = torch.zeros(1)
    with pytest.raises(RuntimeError, match=r"layers\.3\.other"):
        model.load_state_dict(state_dict)


@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_golden_logits(dtype: torch.dtype, allowed: float, image: Callable[..., Tensor]) -> None:
    model = create_model(TINY).to(dtype).eval()
    model.load_state_dict(recipe(TINY)[0])
    golden = np.load(GOLDEN / "golden-vrwkv_t.npz")
    for key, shape in SHAPES.items():
        with torch.inference_mode():
            logits = model(image(*shape).to(dtype))
        assert logits.dtype == dtype
        assert (logits.double() - torch.from_numpy(golden[key])).abs().max() <= allowed, key


@pytest.mark.slow
@norms
def test_implementations_agree(name: str) -> None:
    model = filled(name).double()
    found = []
    for implementation in ("reference", "torch_scan"):
        model.set_implementation(implementation)
        found.append(torch.autograd.grad(model(IMAGES.double()).square().sum(), list(model.parameters())))
    for x, y in zip(*found, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-12)


@names
def test_macs(name: str) -> None:
    with torch.device("meta"):
        model, image = create_model(name).eval(), torch.empty(1, 3, 224, 224)
    with FlopCounterMode(display=False) as counter:
        model(image)
    operator = len(model.layers) * 8 * 14 * 14 * model.embed_dim
    assert counter.get_total_flops() / 2 - operator == pytest.approx(PRODUCTS[name], rel=5e-4)


def test_q_shift_takes_a_neighbour_for_each_quarter() -> None:
    x = torch.arange(2 * 3 * 4 * 8.0).view(2, 3, 4, 8) + 1
    shifted = q_shift(x)
    for y in range(3):
        for column in range(4):
            for channel in range(8):
                at = [(y, column - 1), (y, column + 1), (y - 1, column), (y + 1, column)][channel // 2]
                inside = 0 <= at[0] < 3 and 0 <= at[1] < 4
                expected = x[:, at[0], at[1], channel] if inside else torch.zeros(2)
                assert torch.equal(shifted[:, y, column, channel], expected)


def test_released_initialisation() -> None:
    model = create_model(TINY)
    block, last = model.layers[0], model.layers[11]
    h = torch.arange(192)
    torch.testing.assert_close(last.att.spatial_decay, -5 + 8 * (h / 191) ** 2.0)
    torch.testing.assert_close(block.att.spatial_decay, -5 + 8 * (h / 191) ** 0.7)
    torch.testing.assert_close(block.att.spatial_first, np.log(0.3) + 0.5 * ((h + 1) % 3 - 1.0))
    torch.testing.assert_close(block.att.spatial_mix_v.flatten(), h / 192)
    torch.testing.assert_close(last.att.spatial_mix_v.flatten(), (h / 192) ** (1 / 12) + 0.3)
    torch.testing.assert_close(last.att.spatial_mix_r.flatten(), (h / 192) ** (1 / 24))
    torch.testing.assert_close(last.ffn.spatial_mix_r.flatten(), (h / 192) ** (1 / 12))
    assert 0.019 < last.ffn.key.weight.std() < 0.021
    assert not model.pos_embed.any()
    assert not model.head.bias.any()
    assert (create_model("vrwkv_base_patch16_224", depth=1).layers[0].gamma2 == 1e-5).all()


def test_zeros_fill_the_last_patches() -> None:
    model = filled(TINY).eval()
    padded = torch.nn.functional.pad(IMAGES, (0, 6, 0, 14))
    assert torch.equal(model(IMAGES), model(padded))
    with torch.device("meta"):
        for height, width in ((1, 1), (97, 250), (224, 1000)):
            assert small(TINY)(torch.empty(2, 3, height, width)).shape == (2, 7)


@pytest.mark.slow
@norms
@pytest.mark.parametrize("training", [False, True])
def test_torch_compile_takes_it_whole(name: str, training: bool) -> None:
    torch._dynamo.reset()
    model = filled(name).train(training)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    found, expected = compiled(IMAGES), model(IMAGES)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    if training:
        parameters = list(model.parameters())
        pairs = (torch.autograd.grad(y.square().sum(), parameters) for y in (found, expected))
        for x, y in zip(*pairs, strict=True):
            torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-4)


@norms
@pytest.mark.parametrize("checkpointing", [False, True])
def test_every_parameter_gets_a_gradient(name: str, checkpointing: bool) -> None:
    model = filled(name)
    model.set_grad_checkpointing(checkpointing)
    model(IMAGES).square().sum().backward()
    for key, p in model.named_parameters():
        assert p.grad is not None, key
        assert torch.isfinite(p.grad).all(), key
        assert p.grad.any(), key


def test_settings_act_and_bad_ones_are_refused() -> None:
    torch.manual_seed(0)
    model = filled(SMALL, drop_path_rate=0.5, drop_rate=0.5)
    assert not torch.equal(model(IMAGES), model(IMAGES))
    assert torch.equal(model.eval()(IMAGES), model(IMAGES))
    model.set_implementation("reference")
    assert model.layers[1].att.implementation == "reference"
    with pytest.raises(ValueError, match="unknown implementation of biwkv 'torch_scans'"):
        create_model(TINY, implementation="torch_scans", depth=1)
    with pytest.raises(ValueError, match="multiple of 4"):
        small(TINY, embed_dim=30)
