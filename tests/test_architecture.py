"""Imports go one way, and importing the package stays cheap."""

import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

from tests import house

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def python(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=True, cwd=ROOT).stdout


def test_no_import_runs_backwards() -> None:
    code = "import sys; from importlinter.cli import lint_imports_command as c; sys.exit(c(['--no-cache']))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, cwd=ROOT, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_importing_vigbench_imports_neither_torch_nor_timm() -> None:
    assert python("import sys, vigbench; print({'torch', 'timm', 'pandas'} & set(sys.modules))").strip() == "set()"


def test_what_a_report_reads_of_operators_imports_no_torch() -> None:
    code = "import sys, vigbench.report.names, vigbench.report.style; print({'torch', 'timm'} & set(sys.modules))"
    assert python(code).strip() == "set()"


@pytest.mark.slow
def test_models_are_in_timm_whichever_is_imported_first() -> None:
    for order in ("import vigbench, timm", "import timm, vigbench", "import vigbench, timm.layers, timm"):
        assert python(f"{order}; print(timm.is_model('vig_tiny_patch16_224'))").strip() == "True"


def test_triton_is_not_imported_before_it_is_used() -> None:
    blocked = "import sys; sys.modules['triton'] = None; "
    code = "import vigbench; m = vigbench.create_model('vig_tiny_patch16_224'); print(m.num_classes)"
    assert python(blocked + code).strip() == "1000"


@pytest.mark.slow
def test_the_fork_server_preloads_everything_heavy_and_starts_no_thread() -> None:
    # a driver that was initialised before the fork is unusable after it, so even asking for a device count is too much
    code = """
import gc, os, sys, torch
def touched(*arguments): raise SystemExit("CUDA was touched")
torch._C._cuda_getDeviceCount = torch._C._cuda_init = touched
threads = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0
import vigbench.worker.preload
assert {"timm", "vigbench.models.vig", "vigbench.measure.cost"} <= set(sys.modules)
assert gc.get_freeze_count() > 100_000, "else each collection of a worker looks at all that is preloaded"
if "triton" in sys.modules:
    assert {"vigbench.ops.gla.triton_fused", "vigbench.ops.causal_conv.triton_fused"} <= set(sys.modules)
    vigbench.worker.preload.prepare_triton()  # as where there is a GPU's driver
    assert vigbench.worker.preload.triton_key().cache_info().currsize == 1
    from vigbench.ops.gla.kernels.outputs import chunk_outputs
    assert chunk_outputs.hash is not None, "of its source"
assert threads == 0 or len(os.listdir("/proc/self/task")) == threads
print("fine")
"""
    assert python(code).strip() == "fine"


def test_files_stay_small() -> None:
    sizes = house.lines()
    assert max(sizes.values()) <= 400
    assert median(sizes.values()) <= 110


def test_nothing_goes_in_circles() -> None:
    assert house.circles() == []


@pytest.mark.parametrize(("wing", "most_files", "most_floors"), [("runner", 20, 5), ("report", 8, 7), ("models", 8, 4)])
def test_a_wing_stays_a_place_to_live_in(wing: str, most_files: int, most_floors: int) -> None:
    assert len(house.flat_files(wing)) <= most_files
    assert house.floors_of(wing) <= most_floors


def test_a_name_means_one_class_but_for_the_parts_of_models() -> None:
    assert set(house.names_used_twice()) <= {"Block", "PatchEmbed", "SwiGLU"}  # as their papers call them


@pytest.mark.parametrize("axis", ["tf32", "cuda_graph", "memory_format"])
def test_an_axis_is_named_in_few_files(axis: str) -> None:
    # operators know torch's word alone
    named = [file for file in house.files_that_name(axis) if not file.startswith("ops/")]
    assert len(named) <= 10


PUBLIC = (
    "Cost DuelResult Effort GateResult Run Task check_claims compare count_claimed_models count_cost create_case "
    "create_model crossovers disturbances duel evaluate fit_scaling gate largest_resolution list_subjects list_suites "
    "load_results load_suite measure_claims plot_curves plot_profile plot_scatter profile_subject published_values run "
    "write_report"
)


def test_the_public_interface_is_frozen_and_has_no_name_of_a_subpackage() -> None:
    code = "import vigbench; print([n for n in vigbench.__all__ if not callable(getattr(vigbench, n))])"
    assert python(code).strip() == "[]"
    assert python("import vigbench; print(*vigbench.__all__)").strip() == PUBLIC
    assert {path.stem for path in (ROOT / "vigbench").iterdir()} & set(PUBLIC.split()) == set()


def test_every_public_function_says_what_it_takes_and_gives() -> None:
    code = """
import inspect, vigbench
public = [getattr(vigbench, name) for name in vigbench.__all__]
untyped = [one.__name__ for one in public if not inspect.getdoc(one) or not all(
    parameter.annotation is not parameter.empty for parameter in inspect.signature(one).parameters.values())]
print(untyped)
"""
    assert python(code).strip() == "[]"
