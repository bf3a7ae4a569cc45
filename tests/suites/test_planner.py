from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigbench.runner.run import plan_suite
from vigbench.runner.survey import estimated_s
from vigbench.suites.axes import Device
from vigbench.suites.case import Case
from vigbench.suites.loader import load_suite
from vigbench.suites.planner import Overrides, ends_first, estimate_s, places, plan
from vigbench.suites.schema import DeviceSection, Suite
from vigbench.suites.shape import Shape

SUITE = load_suite("resolution-scaling")


def resolve(subject: str, requested: Sequence[str], device: Device, args: str) -> list[str]:
    return list(requested) or ["default"]


def test_cases_run_by_resolution_and_never_twice() -> None:
    planned = plan(SUITE, Device.cuda, resolve)
    resolutions = [case.resolution for case in planned.cases]
    assert resolutions == sorted(resolutions)
    assert len({case.case_id for case in planned.cases}) == len(planned.cases) == 7 * (2 * 2 + 1) * 10


def test_one_image_is_measured_as_a_cuda_graph_too_where_launching_can_matter() -> None:
    graphs = {(case.batch_size, case.precision) for case in plan(SUITE, Device.cuda, resolve).cases if case.cuda_graph}
    assert graphs == {(1, "bfloat16")}
    plain = {case for case in plan(SUITE, Device.cuda, resolve).cases if not case.cuda_graph}
    for case in plan(SUITE, Device.cuda, resolve).cases:
        assert not case.cuda_graph or case.model_copy(update={"cuda_graph": False}) in plain, "to compare with"


def section_with(exclude: object, **axes: object) -> DeviceSection:
    settings = {"resolution": [32, 64], "batch_size": [1, 2], "cuda_graph": [False, True], "budget": 60}
    return DeviceSection.model_validate({**settings, **axes, "exclude": exclude})


def suite_with(exclude: object, **axes: object) -> Suite:
    return Suite(name="one", question="?", subjects=["a"], devices={Device.cpu: section_with(exclude, **axes)})


def left(suite: Suite, **overrides: object) -> set[tuple[int | None, int, bool]]:
    cases = plan(suite, Device.cpu, resolve, Overrides(**overrides)).cases
    return {(case.resolution, case.batch_size, case.cuda_graph) for case in cases}


def test_an_exclusion_leaves_out_what_has_one_of_the_values_on_every_axis_that_it_names() -> None:
    everything = left(suite_with([]))
    assert len(everything) == 8
    assert left(suite_with([{"cuda_graph": True, "batch_size": 2}])) == {
        one for one in everything if one[1:] != (2, True)
    }
    assert left(suite_with([{"resolution": [32, 64], "cuda_graph": True}, {"batch_size": 2}])) == {
        (32, 1, False),
        (64, 1, False),
    }
    with pytest.raises(ValueError, match="leave no case"):
        left(suite_with([{"batch_size": [1, 2]}]))


def test_what_the_command_line_asks_for_is_not_excluded() -> None:
    suite = suite_with([{"cuda_graph": True, "batch_size": 2}])
    assert left(suite, batch_size=[2]) == {(32, 2, False), (64, 2, False)}
    assert left(suite, cuda_graph=[True]) == {(32, 1, True), (64, 1, True)}
    assert left(suite, batch_size=[2], cuda_graph=[True], resolution=[32]) == {(32, 2, True)}


def test_exclusions_survive_the_run_s_own_file() -> None:
    suite = suite_with([{"cuda_graph": True, "batch_size": 2}, {"shape": "3x32x64@4096"}])
    again = Suite.model_validate(suite.model_dump(mode="json"))
    assert again == suite
    assert left(again) == left(suite)


def test_every_axis_can_be_overridden() -> None:
    overrides = Overrides(
        subject=["deit*"],
        implementation=["eager"],
        resolution=[320, 96],
        batch_size=[2],
        precision=["float16"],
        phase=["training"],
        compile=[True],
        memory_format=["channels_last"],
        tf32=[True],
        threads=1,
        budget=5.0,
        case_timeout=2.0,
    )
    planned = plan(SUITE, Device.cpu, resolve, overrides)
    expected = Case(
        subject="deit_tiny_patch16_224",
        implementation="eager",
        resolution=96,
        batch_size=2,
        precision="float16",
        phase="training",
        compile=True,
        memory_format="channels_last",
        tf32=True,
        threads=1,
    )
    assert planned.cases == (expected, expected.model_copy(update={"resolution": 320}))
    assert (planned.budget_s, planned.case_timeout_s) == (5.0, 2.0)


def test_an_exact_name_outside_the_suite_is_added_and_a_glob_without_match_is_refused() -> None:
    planned = plan(SUITE, Device.cpu, resolve, Overrides(subject=["resnet18"], resolution=[64]))
    assert [case.subject for case in planned.cases] == ["resnet18"]
    with pytest.raises(ValueError, match="matches 'diet"):
        plan(SUITE, Device.cpu, resolve, Overrides(subject=["diet*"]))


def test_an_implementation_that_nobody_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="They have: default, sdpa, eager"):
        plan(SUITE, Device.cpu, resolve, Overrides(implementation=["flash"]))


@given(st.integers(1, 4096), st.integers(1, 64))
def test_case_id_is_a_function_of_the_content(resolution: int, batch_size: int) -> None:
    case = Case(subject="resnet50", resolution=resolution, batch_size=batch_size)
    same = Case.model_validate_json(case.model_dump_json())
    assert (case.case_id, hash(case)) == (same.case_id, hash(same))
    assert case.case_id != Case(subject="resnet50", resolution=resolution + 1, batch_size=batch_size).case_id


def test_operators_run_by_length_with_every_shape_and_the_section_s_implementations() -> None:
    suite = load_suite("kernels-gla")
    overrides = Overrides(length=[64, 16], shape=["6x8x8", "3x8x16"], phase=["inference"])
    cases = plan(suite, Device.cpu, resolve, overrides).cases
    assert [case.length for case in cases] == sorted(case.extent for case in cases)
    assert {str(case.shape) for case in cases} == {"6x8x8", "3x8x16"}
    assert len(cases) == 2 * 2 * 5
    assert {case.implementation for case in cases} == {"reference", "torch_chunk", "sdpa"}
    asked = plan(suite, Device.cpu, resolve, Overrides(implementation=["eager"], length=[16])).cases
    assert {case.implementation for case in asked} == {"eager"}, "the command line's choice replaces the section's"


def test_the_operator_s_suite_holds_the_lengths_and_shapes_that_it_promises() -> None:
    cuda = load_suite("kernels-gla").section(Device.cuda)
    sizes = [(extent.pop("length"), str(Shape(**extent))) for extent in cuda.extents()]
    assert [length for length, shape in sizes if shape == "3x32x64"] == [196, 1024, 4096, 16384, 65536]
    assert [size for size in sizes if size[1] != "3x32x64"] == [(4096, "12x32x64"), (4096, "6x16x32")]


def test_a_shape_for_one_length_is_left_out_of_others_and_the_command_line_s_is_for_all() -> None:
    suite = load_suite("kernels-gla")
    short = plan(suite, Device.cuda, resolve, Overrides(length=[64])).cases
    assert {str(case.shape) for case in short} == {"3x32x64"}
    asked = plan(suite, Device.cuda, resolve, Overrides(shape=["12x32x64"])).cases
    assert len({case.length for case in asked}) == 5
    with pytest.raises(ValueError, match="every shape is for another length"):
        plan(suite, Device.cuda, resolve, Overrides(length=[64], shape=["12x32x64@4096"]))


def _suite_of_shapes(section: dict[str, Any], **b: Any) -> Suite:
    subjects = [{"name": "a", "shape": ["4x2x8", "4x4x8@32"]}, {"name": "b", **b}]
    cpu = {"length": [32, 16], "budget": 60, **section}
    return Suite.model_validate({"name": "x", "question": "?", "subjects": subjects, "devices": {"cpu": cpu}})


def test_a_subject_with_a_shape_of_its_own_is_measured_at_that_one() -> None:
    suite = _suite_of_shapes({"shape": "1x8x8"})
    found = [(case.length, case.subject, str(case.shape)) for case in plan(suite, Device.cpu, resolve).cases]
    short = [(16, "b", "1x8x8"), (16, "a", "4x2x8")]
    assert found == [*short, (32, "b", "1x8x8"), (32, "a", "4x2x8"), (32, "a", "4x4x8")]
    asked = plan(suite, Device.cpu, resolve, Overrides(shape=["2x2x2"])).cases
    assert {str(case.shape) for case in asked} == {"2x2x2"}, "the command line's choice is for all"


def test_every_subject_has_a_shape() -> None:
    assert len(plan(_suite_of_shapes({}, shape="1x8x8"), Device.cpu, resolve).cases) == 5
    with pytest.raises(
        ValueError, match=r"devices\.cpu: name a resolution .* no shape for b, in the section or beside"
    ):
        _suite_of_shapes({})


@pytest.mark.parametrize(
    ("name", "minutes"), [("kernels-gla", 25), pytest.param("training-step", 15, marks=pytest.mark.slow)]
)
def test_a_suite_s_estimate_for_a_gpu_is_within_its_budget(name: str, minutes: int) -> None:
    planned = plan_suite(name, "cuda")
    assert sum(map(estimated_s, planned.cases)) <= planned.budget_s == 60 * minutes


def test_the_reference_is_expected_to_take_time_for_every_token() -> None:
    settings = {"subject": "gla", "length": 4096, "heads": 3, "key_dim": 32, "value_dim": 64}
    quick, slow = (Case.model_validate({**settings, "implementation": one}) for one in ("torch_chunk", "reference"))
    assert estimate_s(slow, 0.1, 2) > estimate_s(quick, 0.1, 2)


def test_estimate_grows_with_work_and_shrinks_with_threads() -> None:
    case = Case(subject="resnet50", resolution=224)
    assert estimate_s(case, 100, 2) > estimate_s(case, 10, 2) > estimate_s(case, 10, 4) > 0
    training = Case(subject="resnet50", resolution=224, phase="training")
    assert estimate_s(training, 100, 2) > estimate_s(case, 100, 2)


@pytest.mark.parametrize(
    ("phase", "expected", "label"),
    [
        ("inference", "cc8d4b873f8e", "deit_tiny_patch16_224 [sdpa] 512px b8 bfloat16"),
        ("training", "9aeb4a1e67c1", "deit_tiny_patch16_224 [sdpa] 512px b8 bfloat16 training"),
        ("training_step", "ff23fa482191", "deit_tiny_patch16_224 [sdpa] 512px b8 bfloat16 training step"),
    ],
)
def test_a_case_keeps_its_id_from_version_to_version(phase: str, expected: str, label: str) -> None:
    settings = {"implementation": "sdpa", "resolution": 512, "batch_size": 8, "precision": "bfloat16"}
    case = Case.model_validate({"subject": "deit_tiny_patch16_224", "phase": phase, "device": "cuda", **settings})
    assert case.case_id == expected
    assert case.label() == label


def test_the_ends_of_a_range_come_first_then_the_middles_of_its_gaps() -> None:
    assert ends_first([224, 384, 512, 768, 1024]) == [224, 1024, 512, 384, 768]
    assert ends_first([1]) == [1]
    assert ends_first([1, 2]) == [1, 2]
    assert sorted(ends_first(range(17))) == list(range(17))


def test_with_little_time_the_main_subjects_at_1024_px_come_before_a_fifth_at_384() -> None:
    cases = plan_suite("resolution-scaling", "cpu").cases
    place = {(case.subject, case.implementation, case.resolution): at for case, at in places(cases).items()}
    largest = [
        place["vig_tiny_patch16_224", "torch_chunk", 1024],
        place["deit_tiny_patch16_224", "sdpa", 1024],
    ]
    order = list(dict.fromkeys((case.subject, case.implementation) for case in cases))
    assert max(largest) < min(place[*subject, 384] for subject in order[4:])
