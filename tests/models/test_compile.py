"""torch.compile takes every subject whole: one graph, no way back to Python in between."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vigbench.measure.compilation import Compilation, watch_compilation
from vigbench.measure.correctness import gradient_error, relative_error
from vigbench.models.layers.table import LAYERS
from vigbench.subjects.catalog import (
    DEFAULT,
    build_subject,
    fill_weights,
    list_subjects,
    resolve_implementations,
    task_of,
)
from vigbench.subjects.operators import OPERATORS
from vigbench.suites.case import Case

WHOLE = Compilation(graphs=1, graph_breaks=0)
# larger ones are the same code; ViG-S lacks activations that ViG-T has
LARGER = re.compile(r"_(base|large|xlarge)_|(vim|vrwkv|vig_h|deit)_small_|patch[48]$")
QUICK = ("vig_tiny_patch16_224", "deit_tiny_patch16_224")
OTHER_IMPLEMENTATIONS = [("vig_tiny_patch16_224", "reference"), ("deit_tiny_patch16_224", "eager")]
SUBJECTS = [
    *((name, DEFAULT) for name in QUICK),
    *(
        pytest.param(name, DEFAULT, marks=pytest.mark.slow)
        for name in list_subjects()
        if name not in (*QUICK, *OPERATORS, *LAYERS)
        and not LARGER.search(name)
        and task_of(name).dimensions == 2  # GLIMS: volumes/
    ),
    *(pytest.param(*one, marks=pytest.mark.slow) for one in OTHER_IMPLEMENTATIONS),
]


def build(subject: str, implementation: str, *, training: bool) -> tuple[nn.Module, tuple[Any, ...]]:
    torch._dynamo.reset()  # what an earlier test compiled is compiled again
    (chosen,) = resolve_implementations(subject, [implementation], "cpu")
    model = build_subject(subject, chosen, 64)
    fill_weights(model, seed=0)
    task = task_of(subject)
    inputs = task.make_inputs(Case(subject=subject, resolution=64, batch_size=2))
    return model.train(training), task.arguments(inputs)[0]


def gradients(model: nn.Module, run: Callable[..., Tensor], given: tuple[Any, ...]) -> dict[str, Tensor]:
    """Of the mean square of `run`'s output; with the same seed each time, for stochastic depth (Swin)."""
    model.zero_grad(set_to_none=True)
    torch.manual_seed(0)
    run(*given).square().mean().backward()
    return {name: one.grad for name, one in model.named_parameters() if one.grad is not None}


@pytest.mark.parametrize(("subject", "implementation"), SUBJECTS)
def test_inference_is_one_graph_and_computes_the_same(subject: str, implementation: str) -> None:
    model, given = build(subject, implementation, training=False)
    with torch.inference_mode():
        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
        output, compilation = watch_compilation(lambda: compiled(*given))
        assert compilation == WHOLE
        assert relative_error(output, model(*given)) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(("subject", "implementation"), SUBJECTS)
def test_training_is_one_graph_and_computes_the_same(subject: str, implementation: str) -> None:
    model, given = build(subject, implementation, training=True)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    found, compilation = watch_compilation(lambda: gradients(model, compiled, given))
    assert compilation == WHOLE
    error, _ = gradient_error(found, gradients(model, model, given))
    assert error < 1e-3


@pytest.mark.slow
def test_another_resolution_compiles_anew_and_whole() -> None:
    model, given = build("vig_tiny_patch16_224", DEFAULT, training=False)
    with torch.inference_mode():
        compiled = torch.compile(model, backend="eager", fullgraph=True)
        compiled(*given)
        larger = torch.randn(2, 3, 96, 96)
        output, compilation = watch_compilation(lambda: compiled(larger))
        assert compilation == WHOLE
        assert relative_error(output, model(larger)) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("subject", QUICK)
def test_the_real_compiler_takes_it_whole_too(subject: str) -> None:
    model, given = build(subject, DEFAULT, training=True)
    compiled = torch.compile(model, fullgraph=True)
    output, compilation = watch_compilation(lambda: compiled(*given).detach())
    assert compilation == WHOLE
    assert relative_error(output, model(*given).detach()) < 1e-4
    error, _ = gradient_error(gradients(model, compiled, given), gradients(model, model, given))
    assert error < 1e-3
