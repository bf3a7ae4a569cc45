"""What holds for every layer: it is what its paper says, causal, and trains in all its parts."""

import copy

import pytest
import torch
from torch import Tensor

from tests.models.layers.restated import RESTATED
from vigbench.measure.compilation import Compilation, watch_compilation
from vigbench.measure.correctness import gradient_error, relative_error
from vigbench.models.layers.layer import Layer
from vigbench.models.layers.table import LAYERS, USUAL_HEADS, Heads
from vigbench.ops.registry import get_operator
from vigbench.subjects.catalog import fill_weights

SMALL: dict[str, Heads] = {
    "gla_layer": (2, 6, 10),
    "llama_layer": (3, 6, 6),
    "retnet_layer": (3, 6, 10),
    "mamba2_layer": (4, 6, 5),
    "gsa_layer": (2, 6, 10),
}
PARAMETERS = {  # at both widths
    "gla_layer": (4_219_648, 16_827_904),  # 4 d^2 + 24.5 d + d / 4
    "llama_layer": (4 * 1024**2, 4 * 2048**2),
    "retnet_layer": (8 * 1024**2, 8 * 2048**2),
    "mamba2_layer": (6_600_032, 25_847_232),  # 6 d^2 + d (2 N + H) + 5 (2 d + 2 N) + 2 d + 3 H
    "gsa_layer": (4 * 1024**2 + 1024 * 257, 4 * 2048**2 + 2048 * 257),  # slots' gates and the norm
}
HALF_PRECISION = {torch.bfloat16: 6e-2, torch.float16: 1e-2}
EVERY = pytest.mark.parametrize("name", LAYERS)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def small(name: str) -> Layer:
    """With weights under which gates differ from token to token."""
    layer = LAYERS[name](*SMALL[name]).double()
    with torch.no_grad():
        for number, parameter in enumerate(layer.parameters()):
            parameter.copy_(drawn(*parameter.shape, seed=number + 1) / 2)
    return layer


@EVERY
@pytest.mark.parametrize("implementation", ["auto", "reference"])
def test_it_is_what_its_paper_says(name: str, implementation: str) -> None:
    layer = small(name)
    declared = get_operator(layer.operator)
    layer.set_implementation(declared.reference if implementation == "reference" else implementation)
    x = drawn(2, 21, layer.dim)
    with torch.no_grad():
        expected = torch.stack([RESTATED[name](one, layer.state_dict(), SMALL[name]) for one in x])
        assert relative_error(layer(x), expected) < 1e-10


@EVERY
def test_no_token_sees_a_later_one(name: str) -> None:
    layer = small(name)
    x = drawn(1, 40, layer.dim)
    other = x.clone()
    other[:, 25:] = drawn(1, 15, layer.dim, seed=9)
    with torch.no_grad():
        y, changed = layer(x), layer(other)
    torch.testing.assert_close(changed[:, :25], y[:, :25], rtol=1e-12, atol=1e-12)
    assert ((changed - y)[:, 25:].abs().amax(-1) > 1e-6).all(), "and every one sees itself"


@EVERY
def test_gradients_reach_every_weight_and_the_input(name: str) -> None:
    layer = small(name)
    x = drawn(2, 20, layer.dim).requires_grad_()
    layer(x).square().mean().backward()
    for part, gradient in [("x", x.grad), *((key, p.grad) for key, p in layer.named_parameters())]:
        assert gradient is not None, part
        assert (gradient != 0).all(), part


@EVERY
@pytest.mark.parametrize("dtype", HALF_PRECISION)
def test_half_precision_comes_close(name: str, dtype: torch.dtype) -> None:
    layer = LAYERS[name](*SMALL[name])
    fill_weights(layer, seed=0)
    x = drawn(2, 48, layer.dim).to(dtype)
    rounded = copy.deepcopy(layer).to(dtype)
    y = rounded(x)
    y.sum().backward()
    assert y.dtype == dtype
    assert relative_error(y.detach(), layer(x.float()).detach()) < HALF_PRECISION[dtype]


@EVERY
def test_autocast_computes_in_half_precision(name: str) -> None:
    layer = LAYERS[name](*SMALL[name])
    fill_weights(layer, seed=0)
    x = drawn(2, 48, layer.dim).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    assert relative_error(y.detach(), layer(x).detach()) < HALF_PRECISION[torch.bfloat16]


@EVERY
def test_parameters_are_as_many_as_papers_say(name: str) -> None:
    with torch.device("meta"):
        layers = {width: LAYERS[name](*heads) for width, heads in USUAL_HEADS[name].items()}
    assert {layer.dim for layer in layers.values()} == {*layers} == {1024, 2048}
    counts = tuple(sum(p.numel() for p in layer.parameters()) for layer in layers.values())
    assert counts == PARAMETERS[name]


@EVERY
def test_what_a_layer_does_not_take_is_a_value_error(name: str) -> None:
    layer = small(name)
    for x in (drawn(2, 5, layer.dim + 1), drawn(5, layer.dim)):
        with pytest.raises(ValueError, match=rf"takes \(batch, length, {layer.dim}\), not"):
            layer(x)
    with pytest.raises(ValueError, match="give one of each or more"):
        LAYERS[name](0, 8, 8)


@pytest.mark.parametrize(
    ("name", "heads", "advice"),
    [
        ("llama_layer", (2, 8, 16), "choose 2x16x16"),
        ("llama_layer", (2, 7, 7), "choose 2x8x8"),
        ("retnet_layer", (2, 7, 14), "choose an even number"),
        ("mamba2_layer", (3, 8, 5), "choose an even number"),
    ],
)
def test_heads_that_a_layer_does_not_have_are_a_value_error(name: str, heads: Heads, advice: str) -> None:
    with pytest.raises(ValueError, match=advice):
        LAYERS[name](*heads)


@EVERY
def test_an_implementation_is_chosen_by_name(name: str) -> None:
    layer = small(name)
    reference = get_operator(layer.operator).reference
    layer.set_implementation(reference)
    assert layer.implementation == reference
    with pytest.raises(ValueError, match="unknown implementation"):
        layer.set_implementation("fastest")


@pytest.mark.parametrize("implementation", ["sdpa", "sdpa_math", "sdpa_flash"])
def test_attention_by_every_code_is_the_same(implementation: str) -> None:
    layer = small("llama_layer")
    x = drawn(1, 30, layer.dim)
    y = layer(x)
    layer.set_implementation(implementation)
    assert relative_error(layer(x).detach(), y.detach()) < 1e-12


@pytest.mark.slow
@EVERY
def test_torch_compile_takes_it_whole(name: str) -> None:
    torch._dynamo.reset()
    layer = small(name)
    x = drawn(1, 20, layer.dim)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)

    def gradients(run: Layer) -> dict[str, Tensor]:
        layer.zero_grad(set_to_none=True)
        run(x).square().mean().backward()
        return {key: p.grad for key, p in layer.named_parameters() if p.grad is not None}

    found, compilation = watch_compilation(lambda: gradients(compiled))
    assert compilation == Compilation(graphs=1, graph_breaks=0)
    error, _ = gradient_error(found, gradients(layer))
    assert error < 1e-10
