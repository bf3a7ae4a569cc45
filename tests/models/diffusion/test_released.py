"""DiG and DiT are the released ones: parameters, keys, weights, outputs, what their blocks give, gradients, cost."""

from collections.abc import Callable

import pytest
import timm
import torch
from torch import Tensor, nn

import vigbench
from tests.models.conftest import splitmix
from tests.models.diffusion.conftest import CASES, FACTS, FACTS_OF, GOLDENS, inputs_of, load_recipe
from vigbench.analysis.claims import load_claims
from vigbench.models.diffusion.dig import DiG, DiGBlock

Golden = Callable[[str], dict[str, Tensor]]
Build = Callable[..., nn.Module]
# float32 turns a head's sign at the first tokens of a scan: rms (the largest error is some 30 times as large)
FLOAT32 = {"dig_small_patch2": 1e-4, "dit_small_patch2": 1e-5}


def without_weights(name: str, **kwargs: object) -> nn.Module:
    with torch.device("meta"):
        return timm.create_model(name, **kwargs)


@pytest.mark.parametrize("name", FACTS_OF)
def test_parameters_and_state_dict(name: str) -> None:
    model, facts = without_weights(name), FACTS[FACTS_OF[name]]
    assert sum(p.numel() for p in model.parameters()) == facts["params_total"]
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == facts["params_trainable"]
    depth = facts["settings"]["depth"]
    expected = {
        key.replace("{i}", str(i)): shape
        for key, shape in facts["state_dict"].items()
        for i in range(depth if "{i}" in key else 1)
    }
    assert {key: list(x.shape) for key, x in model.state_dict().items()} == expected
    assert len(expected) == facts["n_keys"]


@pytest.mark.parametrize(
    "name",
    [name if "small" in name else pytest.param(name, marks=pytest.mark.slow) for name in FACTS_OF],
)
def test_recipe_weights(name: str) -> None:
    model = without_weights(name).to_empty(device="cpu")
    assert load_recipe(model) == FACTS[FACTS_OF[name]]["sha256_recipe_weights"]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", GOLDENS)
def test_golden_outputs_and_what_the_blocks_give(name: str, case: str, golden: Golden, with_recipe: Build) -> None:
    expected = golden(name)
    model, found = with_recipe(name), {}

    def keep(key: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: object, output: Tensor) -> None:
            found[key] = output

        return hook

    first = model.get_submodule("blocks.0")
    first.register_forward_pre_hook(lambda _, args: found.update(x_embedder=args[0]))  # patches with their places
    for i, block in enumerate(model.get_submodule("blocks").children()):
        for part in ("attn", "mlp"):
            block.get_submodule(part).register_forward_hook(keep(f"blocks.{i}.{part}"))
        block.register_forward_hook(keep(f"blocks.{i}"))
    model.get_submodule("t_embedder").register_forward_hook(keep("t"))
    model.get_submodule("y_embedder").register_forward_hook(keep("y"))
    x, t, y = inputs_of(expected, case)
    with torch.inference_mode():
        out = model(x, t, y)
    assert (out - expected[f"out_{case}"]).abs().max() <= 1e-9
    found["condition"] = found.pop("t") + found.pop("y")
    grid = (x.shape[2] // 2, x.shape[3] // 2)
    names = [key.partition("/")[2] for key in expected if key.startswith(f"stat_{case}/")]
    assert set(names) == set(found)
    for key in names:
        tokens = in_raster_order(found[key], key, model, grid)
        flat = tokens.flatten().numpy()
        stats = [flat.mean(), flat.std(), abs(flat).max(), (flat * splitmix(f"probe:{key}", flat.size)).sum()]
        wanted = expected[f"stat_{case}/{key}"]
        assert (torch.tensor(stats) - wanted).abs().max() <= 1e-9 * max(1, float(wanted.abs().max())), key


def in_raster_order(x: Tensor, key: str, model: nn.Module, grid: tuple[int, int]) -> Tensor:
    """What a DiG block gives in its own order, (batch, tokens, channels) in raster order; all else as it is."""
    if key == "condition":
        return x
    if not isinstance(model, DiG) or not key.startswith("blocks."):
        return x.reshape(len(x), -1, x.shape[-1])
    layer = int(key.split(".")[1]) % 4
    tokens = x.reshape(len(x), -1, x.shape[-1])
    tokens = tokens.flip(1) if layer % 2 else tokens
    rows, columns = grid
    return tokens.view(len(x), columns, rows, -1).transpose(1, 2).flatten(1, 2) if layer >= 2 else tokens


@pytest.mark.parametrize("name", GOLDENS)
def test_golden_gradients(name: str, golden: Golden, with_recipe: Build) -> None:
    expected, model = golden(name), with_recipe(name)
    out = model(*inputs_of(expected, "2x16x16"))
    loss = (out.flatten() * torch.from_numpy(splitmix("loss", out.numel()))).sum()
    assert abs(loss.detach() - expected["grad_2x16x16/loss"]) <= 1e-9 * abs(expected["grad_2x16x16/loss"])
    loss.backward()
    trained = {key: p for key, p in model.named_parameters() if p.requires_grad}
    assert {f"grad_2x16x16/{key}" for key in trained} | {"grad_2x16x16/loss"} == {
        key for key in expected if key.startswith("grad_")
    }
    for key, parameter in trained.items():
        assert parameter.grad is not None
        flat = parameter.grad.flatten()
        norm, probe = expected[f"grad_2x16x16/{key}"]
        assert abs(flat.norm() - norm) <= 1e-9 * norm, key
        assert abs((flat * torch.from_numpy(splitmix(f"gprobe:{key}", flat.numel()))).sum() - probe) <= 1e-9 * norm, key


@pytest.mark.parametrize("name", GOLDENS)
def test_golden_outputs_in_float32(name: str, golden: Golden, with_recipe: Build) -> None:
    expected = golden(name)
    x, t, y = inputs_of(expected, "2x16x16")
    with torch.inference_mode():
        out = with_recipe(name).float()(x.float(), t, y)
    assert out.dtype == torch.float32
    # with the released, rounded sinusoid; another library's exp may differ in the last digit
    error = (out - expected["out_2x16x16_f32t"]).square().mean().sqrt()
    assert error <= FLOAT32[name]


@pytest.mark.parametrize("case", CASES)
def test_both_scan_orders_compute_the_same(case: str, golden: Golden, with_recipe: Build) -> None:
    expected = golden("dig_small_patch2")
    x, t, y = inputs_of(expected, case)
    found = []
    for order in ("released", "raster"):
        model = with_recipe("dig_small_patch2", scan_order=order)
        out = model(x, t, y)
        out.square().sum().backward()
        found.append([out.detach(), *(p.grad for p in model.parameters() if p.grad is not None)])
    assert len(found[0]) == len(list(model.parameters())), "the output, and all parameters but the table"
    for one, other in zip(*found, strict=True):
        assert (one - other).abs().max() <= 1e-12 * max(1, float(one.abs().max()))


def test_only_the_released_order_copies_tokens_between_blocks(with_recipe: Build) -> None:
    for order, flips in (("released", 12), ("raster", 0)):
        model = with_recipe("dig_small_patch2", scan_order=order)
        with torch.profiler.profile() as profile, torch.inference_mode():
            model(torch.randn(1, 4, 8, 8).double(), torch.tensor([3]), torch.tensor([5]))
        tokens = [event for event in profile.events() if event.name == "aten::flip" and event.cpu_parent is None]
        kernels = 0 if order == "released" else 6  # every second block turns its kernel
        assert len(tokens) == flips + kernels


@pytest.mark.parametrize("implementation", ["torch_chunk", "reference"])
def test_a_golden_by_every_portable_code(implementation: str, golden: Golden, with_recipe: Build) -> None:
    expected, model = golden("dig_small_patch2"), with_recipe("dig_small_patch2", implementation=implementation)
    with torch.inference_mode():
        out = model(*inputs_of(expected, "1x16x24"))
    assert (out - expected["out_1x16x24"]).abs().max() <= 1e-9


@pytest.mark.parametrize("implementation", ["eager", "sdpa", "sdpa_math"])
def test_dit_by_every_attention(implementation: str, golden: Golden, with_recipe: Build) -> None:
    expected, model = golden("dit_small_patch2"), with_recipe("dit_small_patch2", implementation=implementation)
    with torch.inference_mode():
        out = model(*inputs_of(expected, "1x16x24"))
    assert (out - expected["out_1x16x24"]).abs().max() <= 1e-9


def sizes_of(name: str) -> list[tuple[str, str]]:
    return [(name, px) for px in FACTS[FACTS_OF[name]]["macs"]]


@pytest.mark.parametrize(("name", "px"), [pair for name in FACTS_OF for pair in sizes_of(name)])
def test_both_counters_give_the_reference_to_the_last_digit(name: str, px: str) -> None:
    from vigbench.measure.closed_form import closed_form_macs

    facts = FACTS[FACTS_OF[name]]["macs"][px]
    side = int(px) // 8
    latents = torch.empty(1, 4, side, side, device="meta")
    one = torch.empty(1, dtype=torch.int64, device="meta")
    cost = vigbench.count_cost(without_weights(name), (latents, one, one))
    assert cost.macs == facts["total"] == closed_form_macs(name, int(px))
    assert cost.coverage == 1
    mixed = {"gla", "attention", "aten.bmm"}
    mixing = sum(macs for operator, macs in cost.by_operator.items() if operator in mixed or "attention" in operator)
    assert cost.macs - mixing == facts["matmul_and_conv"]


# DiCo (arXiv 2505.11196), table 1: without the MLP's down projection, and without GLA
@pytest.mark.parametrize(("size", "printed"), [("small", 4.30), ("base", 17.07), ("large", 61.66), ("xlarge", 89.40)])
def test_the_published_way_of_counting_gives_the_published_number(size: str, printed: float) -> None:
    facts = FACTS[FACTS_OF[f"dig_{size}_patch2"]]
    counted = facts["macs"]["256"]["matmul_and_conv"] - facts["macs_components_256"]["mlp_down"]
    assert counted / 1e9 == pytest.approx(printed, rel=0.005), "norms and the like are the rest"
    (claim,) = (claim for claim in load_claims() if claim.id == f"dig-{FACTS_OF[f'dig_{size}_patch2'][4:]}-flops")
    assert claim.points[0].published == printed
    assert claim.counted_share is not None
    assert claim.counted_share.ours == pytest.approx(counted / facts["macs"]["256"]["total"], abs=5e-4)


def test_a_block_of_dig_has_the_kernel_as_released(with_recipe: Build) -> None:
    model = with_recipe("dig_small_patch2", scan_order="raster")
    for i, block in enumerate(model.get_submodule("blocks").children()):
        assert isinstance(block, DiGBlock)
        turned = block.turned_weight()
        if i % 4 == 0:
            assert torch.equal(turned, block.dw_conv.weight)
        assert turned.shape == block.dw_conv.weight.shape
