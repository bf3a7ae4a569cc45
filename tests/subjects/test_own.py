"""`package.module:factory`: what may be named, and what every mistake says."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vigbench.ops.registry import UnsupportedError
from vigbench.subjects.building import build_on_meta
from vigbench.subjects.catalog import build_subject, task_of
from vigbench.subjects.factory import load_factory, side_parameter
from vigbench.subjects.own import require_buildable

MODULE = """
from torch import nn


class Net(nn.Module):
    def __init__(self, side=None):
        super().__init__()
        self.side = side
        self.layer = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.layer(x).mean((2, 3))

    @staticmethod
    def made():
        return Net()


def make_net(): return Net()
def with_img_size(img_size): return Net(img_size)
def with_resolution(*, resolution=224, **kwargs): return Net(resolution)
def raises(): raise RuntimeError("no licence\\nfor this")
def exits(): raise SystemExit("goodbye")
def needs_arguments(dim, *, depth): return Net()
def returns_a_number(): return 3
def needs_a_package(): import no_such_package_of_ours
number = 3
net = Net()


def even_sides_only(img_size):
    assert img_size % 2 == 0
    return Net(img_size)


def computes_with_numpy():
    net = Net()
    return Net(float(net.layer.weight.detach().numpy().max()))
"""
OTHERS = {
    "own_raising.py": "raise RuntimeError('broken on purpose')",
    "own_exiting.py": "import sys; sys.exit('bye')",
    "own_lacking.py": "import no_such_package_of_ours",
    "own_package/__init__.py": "import own_package.gone",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with modules in it; it is not on sys.path."""
    (tmp_path / "own_package").mkdir()
    for name, text in {"own_models.py": MODULE, **OTHERS}.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one])
    yield tmp_path
    for name in [one for one in sys.modules if one.startswith("own_")]:
        del sys.modules[name]


def test_the_current_folder_is_searched(folder: Path) -> None:
    require_buildable("own_models:make_net", [64])
    assert type(build_subject("own_models:make_net", "default", 64)).__name__ == "Net"
    assert sys.path.count(str(folder)) == 1


@pytest.mark.parametrize(
    ("factory", "side"),
    [
        ("Net", None),
        ("Net.made", None),
        ("make_net", None),
        ("with_img_size", 96),
        ("with_resolution", 96),
        ("even_sides_only", 96),
    ],
)
def test_the_side_of_the_images_is_passed_where_it_is_asked_for(folder: Path, factory: str, side: int | None) -> None:
    assert build_subject(f"own_models:{factory}", "default", 96).side == side


def test_one_size_that_a_factory_refuses_is_unsupported_and_all_of_them_are_a_mistake(folder: Path) -> None:
    with pytest.raises(
        UnsupportedError, match=r"cannot be built for 65 px: AssertionError\. Leave this resolution out"
    ):
        build_subject("own_models:even_sides_only", "default", 65)
    require_buildable("own_models:even_sides_only", [65, 64])
    with pytest.raises(ValueError, match="for 65 px"):
        require_buildable("own_models:even_sides_only", [65, 67])


def test_a_constructor_that_needs_values_is_built_for_real(folder: Path) -> None:
    require_buildable("own_models:computes_with_numpy", [64])
    model = build_on_meta(lambda: build_subject("own_models:computes_with_numpy", "default", 64))
    assert next(model.parameters()).device.type == "cpu"


def test_code_without_a_signature_gets_no_argument() -> None:
    assert side_parameter(load_factory("builtins:dict"), "builtins:dict") is None


TASKS = """
from vigbench import Task
from own_models import Net

class Clips(Task):
    name = unit = "clip"
    def make_inputs(self, case): return {}

class Nameless(Clips):
    unit = None

class NeedsValues(Clips):
    def __init__(self, frames): self.frames = frames

class WithTask(Net):
    task = "classification"

class Raises:
    def __call__(self): return Net()
    @property
    def task(self): raise RuntimeError("not today")

def named(task):
    def made(): return Net()
    made.task = task
    return made

by_class, by_object = named(Clips), named(Clips())
nameless, needs_values, abstract = named(Nameless), named(NeedsValues), named(Task)
text, no_task, raises = named("clip"), named(Net), Raises()
"""


def test_a_factory_names_its_task(folder: Path) -> None:
    (folder / "own_tasks.py").write_text(TASKS)
    assert task_of("own_tasks:by_class").unit == task_of("own_tasks:by_object").unit == "clip"
    assert task_of("own_models:make_net") is task_of("resnet18")
    assert task_of("own_tasks:WithTask") is task_of("resnet18"), "a model's own attribute"


@pytest.mark.parametrize(
    ("factory", "expected"),
    [
        ("own_tasks:nameless", "its task Nameless lacks unit"),
        ("own_tasks:needs_values", "its task raised TypeError: .*frames.*. Its class has to be complete"),
        ("own_tasks:abstract", "its task raised TypeError: .*make_inputs"),
        ("own_tasks:raises", "its task raised RuntimeError: not today"),
        ("own_tasks:text", "its attribute task is of type str; name a vigbench.Task"),
        ("own_tasks:no_task", "its attribute task is of type type; name a vigbench.Task"),
        ("own_lacking:net", "needs the package no_such_package_of_ours, which is not installed: pip install"),
        ("own_models:mak_net", "did you mean 'make_net'"),
    ],
)
def test_what_is_no_task_says_what_to_do(folder: Path, factory: str, expected: str) -> None:
    (folder / "own_tasks.py").write_text(TASKS)
    with pytest.raises(ValueError, match=expected):
        task_of(factory)


def test_a_file_that_is_called_as_one_of_python_s_modules_says_so(folder: Path) -> None:
    """`types` is imported long before, and `this` never: both names are taken."""
    (folder / "types.py").write_text(MODULE)
    (folder / "this").mkdir()
    (folder / "this" / "__init__.py").write_text(MODULE)
    for module, name in (("types", "types.py"), ("this", "this")):
        with pytest.raises(ValueError, match=rf"{module} is Python's own module; rename {name}\.$"):
            require_buildable(f"{module}:Net", [64])


def test_a_file_that_is_called_as_an_imported_module_names_both(folder: Path) -> None:
    import timm

    (folder / "timm.py").write_text(MODULE)
    with pytest.raises(ValueError) as raised:  # noqa: PT011  the message follows
        require_buildable("timm:Net", [64])
    assert f"timm is imported from {timm.__file__} already" in str(raised.value)
    assert f"{folder / 'timm.py'}; rename timm.py." in str(raised.value)


def test_a_copy_of_an_imported_module_is_that_module(folder: Path, tmp_path: Path) -> None:
    require_buildable("own_models:make_net", [64])
    (tmp_path / "elsewhere").mkdir()
    os.chdir(tmp_path / "elsewhere")
    Path("own_models.py").write_text(MODULE)
    require_buildable("own_models:make_net", [64])
    Path("own_models.py").write_text(f"{MODULE}\nnumber = 4")
    with pytest.raises(ValueError, match=r"own_models is imported from .* already, and so cannot be from"):
        require_buildable("own_models:make_net", [64])


def test_modules_of_python_without_such_a_file_can_be_named(folder: Path) -> None:
    with pytest.raises(ValueError, match="types has no 'Net'"):
        require_buildable("types:Net", [64])


MISTAKES = [
    ("own_models:net", "own_models:net is a model, not a function that makes one: name the class, or write a func"),
    ("no_such_module_of_ours:net", "no module 'no_such_module_of_ours' is in the current folder"),
    ("own_models.deeper:net", "no module 'own_models.deeper'"),
    ("own_models.py:make_net", "Leave .py out"),
    ("own_package/models.py:net", "dots for folders"),
    ("own_models:", "write package.module:factory"),
    (":make_net", "write package.module:factory"),
    ("own_models:make_nett", "did you mean 'make_net'"),
    ("own_models:Net.gone", "has no 'gone'"),
    ("own_models:number", "is not callable but of type int"),
    ("own_models:raises", "its factory raised RuntimeError: no licence. Call it in Python"),
    ("own_models:exits", "its factory raised SystemExit: goodbye"),
    ("own_models:needs_arguments", "needs arguments (dim, depth)"),
    ("own_models:returns_a_number", "returned int; it must return a torch.nn.Module"),
    ("own_models:needs_a_package", "pip install no_such_package_of_ours"),
    ("own_raising:net", "importing own_raising raised RuntimeError: broken on purpose"),
    ("own_exiting:net", "importing own_exiting raised SystemExit: bye"),
    ("own_lacking:net", "pip install no_such_package_of_ours"),
    ("own_package.models:net", "importing own_package.models raised ModuleNotFoundError"),
]


@pytest.mark.parametrize(("name", "expected"), MISTAKES)
def test_every_mistake_says_what_to_do(folder: Path, name: str, expected: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011  the message follows
        require_buildable(name, [64])
    assert expected in str(error.value)
    assert str(error.value).endswith((".", "no_such_package_of_ours"))
    assert "\n" not in str(error.value)
