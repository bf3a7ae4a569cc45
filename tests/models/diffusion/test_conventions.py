"""DiG and DiT behave as their users expect: sizes, initialisation, labels, guidance, checkpoints, bad input."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

import vigbench
from vigbench.models.diffusion.process import guided
from vigbench.models.diffusion.transformer import Block, DiffusionTransformer, position_table
from vigbench.subjects.catalog import create_model, fill_weights

Build = Callable[..., nn.Module]
NARROW = {"embed_dim": 64, "depth": 4, "num_classes": 10}


@pytest.fixture(params=["dig_small_patch2", "dit_small_patch2"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def narrow(name: str, **kwargs: Any) -> DiffusionTransformer:
    """A small model in which every branch takes part, in eval mode."""
    heads = 1 if name.startswith("dig") else 2
    model = create_model(name, num_heads=heads, img_size=64, **{**NARROW, **kwargs}).eval()
    fill_weights(model, 0)
    assert isinstance(model, DiffusionTransformer)
    return model


def inputs(batch: int = 2, rows: int = 8, columns: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(batch, 4, rows, columns), torch.arange(batch) * 700, torch.arange(batch) % 10


def test_it_is_created_as_every_model(name: str) -> None:
    assert timm.is_model(name)
    assert name in vigbench.list_subjects("di*")
    model = timm.create_model(name, num_classes=10, img_size=(64, 96), depth=4)
    assert model.pos_embed.shape == (1, 4 * 6, 384)
    assert model.y_embedder.embedding_table.weight.shape == (11, 384)
    with pytest.raises(TypeError, match="unexpected keyword argument 'drop_rate'"):
        timm.create_model(name, drop_rate=0.1)


def test_a_fresh_model_gives_0_and_its_blocks_are_the_identity(name: str) -> None:
    model = create_model(name, num_heads=1, **NARROW)
    x, t, y = inputs()
    out = model(x, t, y)
    assert out.shape == (2, 8, 8, 8)
    assert (out == 0).all()
    tokens = torch.randn(1, 3, 5, 64)
    for block in model.get_submodule("blocks").children():
        assert torch.equal(block(tokens, torch.randn(1, 64)), tokens)
    out.sum().backward()
    found = {key for key, p in model.named_parameters() if p.grad is not None and (p.grad != 0).any()}
    assert found == {"final_layer.linear.weight", "final_layer.linear.bias"}


def test_one_model_serves_every_grid(name: str) -> None:
    model, larger = narrow(name), narrow(name, scan_order="raster") if name.startswith("dig") else narrow(name)
    built = create_model(name, num_heads=1 if name.startswith("dig") else 2, **{**NARROW, "img_size": (48, 96)}).eval()
    state = {**model.state_dict(), "pos_embed": built.state_dict()["pos_embed"]}
    built.load_state_dict(state, strict=True)
    with torch.inference_mode():
        expected = built(*inputs(2, 6, 12))
        for one in (model, larger):
            torch.testing.assert_close(one(*inputs(2, 6, 12)), expected, rtol=1e-4, atol=1e-4)


def test_the_table_is_the_column_first_and_stays_what_it_is() -> None:
    table = position_table(3, 5, 8).view(3, 5, 8)
    assert torch.equal(table[0, 0], torch.tensor([0.0, 0, 1, 1, 0, 0, 1, 1]))
    assert torch.equal(table[:, 2, :4], table[:1, 2, :4].expand(3, -1)), "half of it knows the column alone"
    assert torch.equal(table[1, :, 4:], table[1, :1, 4:].expand(5, -1)), "the other half the row"
    assert table[0, 2, 0] == torch.tensor(2.0).double().sin().float()
    model = narrow("dit_small_patch2")
    assert torch.equal(model.pos_embed, position_table(4, 4, 64)), "seeded weights leave it alone"
    assert not model.pos_embed.requires_grad


def test_labels_are_dropped_in_training_only(name: str) -> None:
    always, never = narrow(name, label_dropout=1.0), narrow(name, label_dropout=0.0)
    x, t, y = inputs(4)
    with torch.inference_mode():
        labelled, without = never(x, t, y), never(x, t, torch.full_like(y, 10))
        assert torch.equal(always(x, t, y), labelled)
        assert torch.equal(never.train()(x, t, y), labelled)
        assert torch.equal(always.train()(x, t, y), without)
        assert not torch.equal(labelled, without)
        half = narrow(name, label_dropout=0.5).train()
        y = torch.full((64,), 3)
        dropped = half.y_embedder(y)
    differ = (dropped != half.y_embedder.embedding_table.weight[3]).any(1).sum()
    assert 10 < differ < 54


def test_guidance_is_of_three_channels(name: str) -> None:
    model, (x, t, y) = narrow(name), inputs()
    none = torch.full_like(y, 10)
    with torch.inference_mode():
        labelled, without = model(x, t, y), model(x, t, none)
        out = guided(model, x, t, y, none, 4.0)
        released = model.forward_with_cfg(torch.cat([x, x]), torch.cat([t, t]), torch.cat([y, none]), 4.0)
    torch.testing.assert_close(out[:, :3], without[:, :3] + 4 * (labelled - without)[:, :3], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(out[:, 3:], labelled[:, 3:], rtol=1e-5, atol=1e-5)
    assert torch.equal(released, torch.cat([out, out]))


def test_gradient_checkpointing_changes_no_gradient(name: str) -> None:
    found = []
    for enable in (False, True):
        model = narrow(name).double()
        model.set_grad_checkpointing(enable)
        x, t, y = inputs()
        model(x.double(), t, y).square().sum().backward()
        found.append([p.grad for p in model.parameters() if p.grad is not None])
    assert len(found[0]) == len(list(model.parameters())) - 1
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


@pytest.mark.slow
def test_it_is_compiled_as_a_whole(name: str) -> None:
    model, given = narrow(name), inputs()
    with torch.inference_mode():
        compiled = torch.compile(model, fullgraph=True)
        torch.testing.assert_close(compiled(*given), model(*given), rtol=1e-4, atol=1e-4)


def test_a_checkpoint_is_loaded_strictly(name: str, tmp_path: Path) -> None:
    model, path = narrow(name), tmp_path / "weights.pth"
    torch.save({"ema": model.state_dict()}, path)
    settings = {**NARROW, "num_heads": 1 if name.startswith("dig") else 2}
    loaded = vigbench.create_model(name, checkpoint_path=path, img_size=64, **settings).eval()
    with torch.inference_mode():
        assert torch.equal(loaded(*inputs()), model(*inputs()))
    with pytest.raises(ValueError, match=r"pos_embed.*\(1, 16, 64\).*\(1, 64, 64\)") as larger:
        vigbench.create_model(name, checkpoint_path=path, img_size=128, **settings)
    other = "dit_small_patch2" if name.startswith("dig") else "dig_small_patch2"
    settings["num_heads"] = 1
    with pytest.raises(ValueError, match="does not fit this model") as family:
        vigbench.create_model(other, checkpoint_path=path, img_size=64, **settings)
    for error in (larger, family):
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"t": None}, r"is called as model\(x, t, y\)"),
        ({"y": None}, r"is called as model\(x, t, y\)"),
        ({"y": torch.tensor([3, 11])}, "labels from 0 to 9, and 10 for no label"),
        ({"y": torch.tensor([3, -1])}, "labels from 0 to 9"),
        ({"t": torch.tensor([3])}, r"a timestep for each latent: \(2,\) of them, not \(1,\)"),
        ({"y": torch.tensor([[3, 4]])}, "a label for each latent"),
        ({"x": torch.zeros(2, 4, 7, 8)}, "multiples of 16 px"),
        ({"x": torch.zeros(2, 4, 0, 8)}, "multiples of 16 px"),
        ({"x": torch.zeros(2, 3, 8, 8)}, r"takes latents \(batch, 4,"),
        ({"x": torch.zeros(4, 8, 8)}, r"takes latents \(batch, 4,"),
    ],
)
def test_bad_inputs_are_said_in_one_line(name: str, change: dict[str, Any], said: str) -> None:
    given = {**dict(zip(("x", "t", "y"), inputs(), strict=True)), **change}
    with pytest.raises(ValueError, match=said) as error:
        narrow(name)(**given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"img_size": 250}, "multiples of 16"),
        ({"img_size": (256, 0)}, "multiples of 16"),
        ({"patch_size": 4, "img_size": 272}, "multiples of 32"),
        ({"label_dropout": 1.5}, "from 0 to 1"),
    ],
)
def test_settings_that_make_no_model(name: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        create_model(name, **settings)


def test_settings_that_make_no_dig() -> None:
    with pytest.raises(ValueError, match="unknown scan_order 'rows': choose released, raster"):
        create_model("dig_small_patch2", scan_order="rows")
    with pytest.raises(ValueError, match="turns of 4"):
        create_model("dig_small_patch2", depth=6)
    with pytest.raises(ValueError, match="no kernels for whole blocks"):
        create_model("dig_small_patch2", implementation="triton_block")


def test_an_implementation_is_chosen_as_of_every_model() -> None:
    model = create_model("dit_small_patch2", implementation="eager", num_heads=1, **NARROW)
    assert {block.attn.fused_attn for block in model.blocks} == {False}  # type: ignore[union-attr, operator]
    model.set_implementation("auto")  # type: ignore[operator]
    assert {block.attn.fused_attn for block in model.blocks} == {True}  # type: ignore[union-attr, operator]
    with pytest.raises(ValueError, match="unknown implementation"):
        model.set_implementation("triton_fused")  # type: ignore[operator]


def test_every_block_is_conditioned(name: str) -> None:
    model = narrow(name)
    assert all(isinstance(block, Block) for block in model.blocks)
    x, t, y = inputs(1)
    with torch.inference_mode():
        assert not torch.equal(model(x, t, y), model(x, t + 1, y))
        assert torch.isfinite(model(x, t + 0.5, y)).all(), "fractions of a step are allowed"
