"""GLIMS is the released one: parameters, keys, weights, logits of every size, and what tells it from its paper."""

import itertools
from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import vigbench
from tests.models.conftest import splitmix
from tests.models.volumes.conftest import FACTS, load_recipe, recipe_volume
from vigbench.models.volumes import convolution, windows
from vigbench.models.volumes.glims import GLIMS
from vigbench.subjects.building import build_on_meta
from vigbench.subjects.catalog import create_model

Build = Callable[..., GLIMS]
Golden = Mapping[str, np.ndarray]
SIZES = list(FACTS["goldens"])
LONG = pytest.mark.slow


def sides(size: str) -> list[int]:
    return [int(side) for side in size.split("x")]


def all_logits(model: GLIMS, size: str) -> list[Tensor]:
    """Those of the reference's volume, in the model's dtype."""
    x = recipe_volume(1, 4, *sides(size)).to(next(model.parameters()).dtype)
    with torch.inference_mode():
        found = model.train()(x)
    model.eval()
    assert isinstance(found, list)
    return found


def sampled(logits: Tensor, size: str, number: int) -> Tensor:
    """What of them the reference keeps."""
    s = max(1, FACTS["goldens"][size]["step"] >> (number - 1))
    return logits[..., ::s, ::s, ::s].double()


def worst(found: list[Tensor], golden: Golden, size: str) -> float:
    """The largest error of any logits, as a share of the largest value."""
    errors = []
    for number, logits in enumerate(found, 1):
        expected = torch.from_numpy(golden[f"{size}/logits{number}"])
        part = sampled(logits, size, number)
        assert part.shape == expected.shape
        errors.append(float((part - expected).abs().max()) / golden[f"{size}/logits{number}/stat"][2])
    return max(errors)


def test_parameters_and_state_dict() -> None:
    model = build_on_meta(lambda: create_model("glims"))
    assert sum(p.numel() for p in model.parameters()) == FACTS["params_total"] == 47_163_349
    found = {key: list(x.shape) for key, x in model.state_dict().items()}
    assert found == FACTS["state_dict"]
    parts: dict[str, int] = {}
    for key, p in model.named_parameters():
        parts[key.partition(".")[0]] = parts.get(key.partition(".")[0], 0) + p.numel()
    assert parts == FACTS["params_by_part"]
    index = model.t3.layer["blocks"][0].attn.relative_position_index  # type: ignore[index, union-attr]
    assert index.dtype == torch.int64


def test_other_channels_and_classes() -> None:
    model = build_on_meta(lambda: create_model("glims", in_chans=1, num_classes=14))
    assert sum(p.numel() for p in model.parameters()) == 47_167_281
    larger = build_on_meta(lambda: create_model("glims", img_size=128))
    assert sum(p.numel() for p in larger.parameters()) == 48_328_405


@pytest.mark.parametrize("size", SIZES)
def test_recipe_weights(size: str) -> None:
    model = create_model("glims", img_size=sides(size))
    assert load_recipe(model) == FACTS["goldens"][size]["weights_sha256"]
    assert sum(p.numel() for p in model.parameters()) == FACTS["goldens"][size]["params"]


@pytest.mark.parametrize("size", [size if size == "32x32x32" else pytest.param(size, marks=LONG) for size in SIZES])
def test_golden_logits(size: str, golden: Golden, with_recipe: Build) -> None:
    found = all_logits(with_recipe(*sides(size)), size)
    assert [tuple(x.shape) for x in found] == [(1, 3, *(side // 2**n for side in sides(size))) for n in range(4)], (
        "at 1, 1/2, 1/4 and 1/8 of the size"
    )
    assert worst(found, golden, size) <= 1e-8
    for number, logits in enumerate(found, 1):
        flat = logits.flatten().numpy()
        probed = (flat * splitmix(f"probe:logits{number}", flat.size)).sum()
        stats = np.array([flat.mean(), flat.std(), abs(flat).max(), probed])
        expected = golden[f"{size}/logits{number}/stat"]
        assert np.abs(stats - expected).max() <= 1e-8 * np.abs(expected).max()


@pytest.mark.parametrize("size", [pytest.param(size, marks=LONG) if size == "96x96x96" else size for size in SIZES])
def test_golden_logits_in_float32(size: str, golden: Golden, with_recipe: Build) -> None:
    found = all_logits(with_recipe(*sides(size)).float(), size)
    assert found[0].dtype == torch.float32
    assert 1e-6 < worst(found, golden, size) <= 5e-3, "it amplifies rounding"


@pytest.mark.parametrize("implementation", ["eager", "sdpa_math"])
def test_a_golden_by_every_portable_code(implementation: str, golden: Golden, with_recipe: Build) -> None:
    model = with_recipe(32, 32, 32, implementation=implementation, spatial_gate="released")
    assert worst(all_logits(model, "32x32x32"), golden, "32x32x32") <= 1e-8


def its_own_places(table: Tensor, released: Tensor, tokens: int, seams: Tensor | None, count: int) -> Tensor:
    """The bias by the places of a smaller cube, as Swin defines it."""
    side = round(tokens ** (1 / 3))
    assert side**3 == tokens
    places = torch.tensor(list(itertools.product(range(side), repeat=3)))
    apart = places[:, None] - places[None] + 6
    index = (apart[..., 0] * 13 + apart[..., 1]) * 13 + apart[..., 2]
    return table[index].permute(2, 0, 1)[None]


def alive(gate: convolution.SpatialGate, x: Tensor) -> Tensor:
    """The gate without the norm that leaves its bias alone."""
    pooled = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
    return gate.spatial["prelu"](gate.spatial["conv"](pooled)).sigmoid()  # type: ignore[no-any-return]


def in_grid_order(expansion: windows.TokenExpansion, x: Tensor) -> Tensor:
    b, d, h, w, dim = x.shape
    x = expansion.expand(x).view(b, d, h, w, 2, 2, 2, dim // 2).permute(0, 1, 4, 2, 5, 3, 6, 7)
    return expansion.norm_layer(x.reshape(b, 2 * d, 2 * h, 2 * w, dim // 2))  # type: ignore[no-any-return]


class Gelu(torch.nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(x)


OTHERWISE: dict[str, tuple[str, object, str, object]] = {
    "the corrected corners": ("32x32x32", windows, "CORNERS", tuple(itertools.product((0, 1), repeat=3))),
    "no shift": ("64x32x96", windows, "SHIFT", 0),
    "no mask at the seams": ("64x32x96", windows.WindowLayout, "seams", lambda layout, like: None),
    "a bias of the window's own places": ("32x32x32", windows, "score_bias", its_own_places),
    "parts in the grid's order": ("32x32x32", windows.TokenExpansion, "forward", in_grid_order),
    "an alive spatial gate": ("32x32x32", convolution.SpatialGate, "forward", alive),
    "no spatial gate": ("32x32x32", convolution.SpatialGate, "forward", lambda gate, x: 1),
    "another eps": ("32x32x32", convolution, "NORM_EPS", 1e-6),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=LONG) if size == "64x32x96" else name for name, (size, *_) in OTHERWISE.items()]
)
def test_the_goldens_tell_what_is_released_from(
    name: str, golden: Golden, with_recipe: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, where, attribute, instead = OTHERWISE[name]
    model = with_recipe(*sides(size))
    monkeypatch.setattr(where, attribute, instead)
    assert worst(all_logits(model, size), golden, size) > (1e-5 if name == "another eps" else 0.05)


def test_gelu_in_the_windows_is_no_glims(golden: Golden, with_recipe: Build) -> None:
    model = with_recipe(32, 32, 32)
    for module in model.modules():
        if isinstance(module, windows.WindowMlp):
            module.fn = Gelu()  # type: ignore[assignment]
    assert worst(all_logits(model, "32x32x32"), golden, "32x32x32") > 0.05


@pytest.mark.parametrize("side", [96, 128])
def test_multiply_adds_are_the_reference_s(side: int) -> None:
    model = build_on_meta(lambda: create_model("glims", img_size=side)).eval()
    assert vigbench.count_cost(model, (1, 4, side, side, side)).macs == FACTS[f"macs_{side}_4to3"]["total"]
