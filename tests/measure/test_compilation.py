"""What torch.compile made of a model is counted, not believed."""

import sysconfig
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch._inductor import config

from vigbench.measure.compilation import (
    Compilation,
    already_compiled,
    missing_compiler,
    watch_compilation,
    watch_kernels,
)


class Whole(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x + 1).sin()


class Broken(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x = x + 1
        torch._dynamo.graph_break()
        return x.sin()


class Excluded(nn.Module):
    @torch.compiler.disable
    def forward(self, x: Tensor) -> Tensor:
        return (x + 1).sin()


@pytest.mark.parametrize(
    ("model", "expected"),
    [(Whole(), Compilation(1, 0)), (Broken(), Compilation(2, 1)), (Excluded(), Compilation(0, 1))],
)
def test_graphs_and_their_breaks(model: nn.Module, expected: Compilation) -> None:
    torch._dynamo.reset()
    call = torch.compile(model, backend="eager")
    output, compilation = watch_compilation(lambda: call(torch.zeros(3)))
    assert torch.equal(output, torch.ones(3).sin())
    assert compilation == expected
    assert watch_compilation(lambda: call(torch.zeros(3)))[1] == Compilation(0, 0), "compiled once"


def test_triton_kernels_are_timed_while_they_compile() -> None:
    pytest.importorskip("triton")
    from tests.ops.gla.compiling import Variant, compile_pass

    with watch_kernels() as seconds:
        assert seconds == []
        kernels = compile_pass(Variant("forward", 16, 16, "float16", "log_decay", 90))
    assert len(seconds) == len(kernels)
    assert all(one > 0 for one in seconds)
    compile_pass(Variant("forward", 16, 16, "float16", "log_decay", 80))
    assert len(seconds) == len(kernels), "what follows is not counted"


@pytest.mark.parametrize("cxx", ["no_such_compiler", (None, "no_such_compiler"), (None, "false"), (None, "'unclosed")])
def test_without_a_compiler_that_runs_it_says_what_installs_one(
    cxx: str | tuple[None, str],
) -> None:
    with config.patch({"cpp.cxx": cxx}):
        assert "apt-get install g++" in missing_compiler()


def test_a_compiler_may_be_a_command_with_arguments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "Python.h").touch()
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with config.patch({"cpp.cxx": (None, "env true")}):
        assert missing_compiler() == ""
        (tmp_path / "Python.h").unlink()
        assert "apt-get install python3-dev" in missing_compiler()


def compiled_in_place(model: nn.Module) -> nn.Module:
    model.compile(backend="eager")
    return model


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_a_model_that_is_compiled_says_so() -> None:
    assert already_compiled(Whole()) == already_compiled(nn.Sequential(Whole())) == ""
    for model in (torch.compile(Whole(), backend="eager"), compiled_in_place(Whole())):
        assert already_compiled(model).startswith("it is compiled already. Return the plain model")
        assert already_compiled(nn.Sequential(model)).startswith("its module 0 is compiled already")
    assert "it is TorchScript already" in already_compiled(torch.jit.script(Whole()))
    assert "it is TorchScript already" in already_compiled(torch.jit.trace(Whole(), torch.zeros(3)))
