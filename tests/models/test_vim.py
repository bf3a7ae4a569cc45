"""Vim is the released one: parameters, keys, logits and cost; and it computes the same by every implementation."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

import vigbench
from tests.models.conftest import load_recipe, recipe_image, recipe_state, splitmix
from vigbench.models.vim import BidirectionalMamba, Vim
from vigbench.ops.registry import list_implementations

GOLDEN = Path(__file__).parents[1] / "golden"
NAMES = {"vim_tiny_patch16_224": "vim_t", "vim_small_patch16_224": "vim_s", "vim_base_patch16_224": "vim_b"}
FACTS: dict[str, dict[str, Any]] = json.loads((GOLDEN / "vim-models.json").read_text())
TINY = "vim_tiny_patch16_224"
IMAGES = torch.linspace(-1, 1, 2 * 3 * 64 * 96).view(2, 3, 64, 96).sin()


def recipe(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The reference's weights for a key, which need no random number generator."""
    u, fan_in = splitmix(key, int(np.prod(shape))).reshape(shape), int(np.prod(shape[1:]))
    if key.endswith((".A_log", ".A_b_log")):
        u = np.log(np.arange(1, shape[-1] + 1)) + 0.25 * u
    elif key.endswith((".D", ".D_b")):
        u = 1 + 0.25 * u
    elif key.endswith((".dt_proj.bias", ".dt_proj_b.bias")):
        u = -4.58 + 2.32 * u
    elif ".x_proj" in key:
        u = 2 * np.sqrt(3 / fan_in) * u
    elif key.endswith((".dt_proj.weight", ".dt_proj_b.weight")):
        u = np.sqrt(1 / fan_in) * u
    elif len(shape) == 1:
        u = 1 + 0.25 * u if key.endswith(".weight") else 0.1 * u
    else:
        u = (0.5 if key in ("pos_embed", "cls_token") else np.sqrt(3 / fan_in)) * u
    return u.astype("<f4")  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def tiny() -> nn.Module:
    model = vigbench.create_model(TINY)
    assert load_recipe(model, recipe) == FACTS["vim_t"]["recipe_weights_sha256"]
    return model.eval()


@pytest.mark.parametrize("name", NAMES)
def test_parameters_and_state_dict(name: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name)
    facts = FACTS[NAMES[name]]
    assert sum(p.numel() for p in model.parameters()) == facts["params_total"]
    assert {key: list(x.shape) for key, x in model.state_dict().items()} == facts["state_dict"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vim_small_patch16_224", "vim_base_patch16_224"])
def test_recipe_weights(name: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name)
    assert load_recipe(model.to_empty(device="cpu"), recipe) == FACTS[NAMES[name]]["recipe_weights_sha256"]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
@pytest.mark.parametrize(
    ("key", "shape"), [("logits", (2, 3, 224, 224)), ("logits_320x256_interp_midcls", (1, 3, 320, 256))]
)
def test_golden_logits(tiny: nn.Module, key: str, shape: tuple[int, ...], dtype: torch.dtype, tolerance: float) -> None:
    golden = torch.from_numpy(np.load(GOLDEN / "golden-vim_t.npz")[key])
    try:
        with torch.inference_mode():
            logits = tiny.to(dtype)(recipe_image(*shape).to(dtype))
    finally:
        tiny.float()
    assert logits.dtype == dtype
    assert (logits.double() - golden).abs().max() <= tolerance


def test_position_embeddings_are_resized_around_the_class_token(tiny: nn.Module) -> None:
    assert isinstance(tiny, Vim)
    golden = torch.from_numpy(np.load(GOLDEN / "golden-vim_t.npz")["pos_embed_20x16_midcls"])
    resized = tiny.resized_pos_embed(20, 16)[0]
    assert (resized - golden).abs().max() <= 1e-6
    assert torch.equal(resized[20 * 16 // 2], tiny.pos_embed[0, 98])


@pytest.mark.parametrize(
    ("name", "resolution", "gmacs"),
    [
        (TINY, 224, 1.532370432),
        ("vim_small_patch16_224", 224, 5.33054976),
        ("vim_base_patch16_224", 224, 19.724335104),
        (TINY, 512, 7.972806144),
        (TINY, 1024, 31.867756032),
        (TINY, 1248, 47.331024384),
    ],
)
def test_macs(name: str, resolution: int, gmacs: float) -> None:
    with torch.device("meta"):
        model = timm.create_model(name)
    cost = vigbench.count_cost(model, (1, 3, resolution, resolution))
    assert cost.macs / 1e9 == pytest.approx(gmacs, rel=1e-9)
    assert cost.coverage == 1


@pytest.mark.parametrize("implementation", [one.name for one in list_implementations("scan")])
def test_macs_are_those_of_the_model_by_every_implementation(implementation: str) -> None:
    with torch.device("meta"):
        model = vigbench.create_model(TINY, depth=1)
    model.set_implementation(implementation)  # type: ignore[operator]
    if implementation == "triton_fused":
        pytest.importorskip("triton")
    counted = vigbench.count_cost(model, (1, 3, 64, 64))
    model.set_implementation("torch_chunk")  # type: ignore[operator]
    assert counted.by_operator["scan"] == vigbench.count_cost(model, (1, 3, 64, 64)).by_operator["scan"]
    assert counted.macs == vigbench.count_cost(model, (1, 3, 64, 64)).macs


def small(**kwargs: Any) -> nn.Module:
    torch.manual_seed(0)
    return vigbench.create_model(TINY, depth=2, embed_dim=32, num_classes=7, **kwargs)


@pytest.mark.parametrize("training", [False, True])
def test_implementations_agree(training: bool) -> None:
    model = small().double().train(training)
    found = []
    for implementation in ("reference", "torch_chunk"):
        model.set_implementation(implementation)  # type: ignore[operator]
        model.zero_grad()
        out = model(IMAGES.double())
        out.square().sum().backward()
        found.append([out.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
    assert len(found[0]) == 1 + len(list(model.parameters()))
    for x, y in zip(*found, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-12)


def test_the_layout_for_mamba_ssm_changes_memory_and_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    mixer = BidirectionalMamba(16).double()
    mixer.init_weights(24)
    x = torch.randn(2, 9, 16, dtype=torch.float64)
    expected = mixer(x)
    seen: list[Tensor] = []
    from vigbench.models import vim

    scan, conv = vim.bidirectional_selective_scan, vim.bidirectional_causal_conv

    def look(u: Tensor, delta: Tensor, *args: Any, implementation: str, **kwargs: Any) -> Tensor:
        seen.extend([u, delta, args[4]])
        assert implementation == "mamba_ssm"
        return scan(u, delta, *args, implementation="torch_chunk", **kwargs)

    monkeypatch.setattr(vim, "selected_implementation", lambda *_: "mamba_ssm")
    monkeypatch.setattr(vim, "bidirectional_selective_scan", look)
    monkeypatch.setattr(vim, "bidirectional_causal_conv", lambda *args, fused, **kw: conv(*args, fused=False, **kw))
    torch.testing.assert_close(mixer(x), expected)
    assert [x.stride(-2) for x in seen] == [1, 1, 1], "tokens lie beside each other, as its kernel wants them"


def test_the_residual_stream_stays_in_float32() -> None:
    model = small().bfloat16().eval()
    streams: list[torch.dtype] = []
    for layer in model.layers:  # type: ignore[union-attr]
        layer.norm.register_forward_pre_hook(lambda _, inputs: streams.append(inputs[0].dtype))
    out = model(IMAGES.bfloat16())
    assert out.dtype == torch.bfloat16
    assert streams == [torch.float32, torch.float32]


def test_the_released_initialisation() -> None:
    mixer = small().layers[0].mixer  # type: ignore[index, union-attr]
    for direction in ("", "_b"):
        torch.testing.assert_close(getattr(mixer, f"A{direction}_log").exp(), torch.arange(1.0, 17).expand(64, 16))
        assert getattr(mixer, f"D{direction}").eq(1).all()
    steps = torch.nn.functional.softplus(mixer.dt_proj.bias)
    assert 1e-3 <= steps.min() < steps.max() <= 1e-1
    assert mixer.dt_proj_b.bias.eq(0).all(), "the backward direction starts with steps of 0.69, as released"
    bound = (64 * 2) ** -0.5  # depth 2
    assert 0.9 * bound < mixer.out_proj.weight.abs().max() <= bound


def test_a_released_checkpoint_loads_strictly(tmp_path: Path, recipe_file: Callable[[Path], Path]) -> None:
    path = recipe_file(tmp_path)
    for model in (
        timm.create_model(TINY, checkpoint_path=str(path)),
        vigbench.create_model(TINY, checkpoint_path=path),
    ):
        assert all(np.array_equal(x.numpy(), recipe(key, tuple(x.shape))) for key, x in model.state_dict().items())


@pytest.fixture
def recipe_file() -> Callable[[Path], Path]:
    """Writes a checkpoint as released: the weights beside a training state."""

    def write(folder: Path) -> Path:
        state_dict, _ = recipe_state(FACTS["vim_t"]["state_dict"], recipe)
        torch.save({"model": state_dict, "epoch": 299}, folder / "vim.pth")
        return folder / "vim.pth"

    return write
