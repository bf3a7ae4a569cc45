from pathlib import Path

import pytest

from vigbench.suites.axes import Device
from vigbench.suites.loader import list_suites, load_suite, suite_files

SMOKE = suite_files()["smoke"].read_text()


@pytest.mark.parametrize("name", list_suites())
def test_shipped_suites_load_under_their_own_name_with_a_cpu_and_a_cuda_section(name: str) -> None:
    suite = load_suite(name)
    assert suite.name == name
    assert set(suite.devices) == {Device.cpu, Device.cuda}


def test_main_suite_holds_the_sweep_that_it_promises() -> None:
    suite = load_suite("resolution-scaling")
    cpu, cuda = suite.section(Device.cpu), suite.section(Device.cuda)
    assert cpu.batch_size == [1]
    assert cpu.precision == ["float32"]
    assert (min(cpu.resolution), max(cpu.resolution)) == (224, 1024)
    assert cpu.budget <= 600
    assert cuda.batch_size == [1, 64]
    assert set(cuda.precision) == {"bfloat16", "float32"}
    assert cuda.cuda_graph == [False, True]
    assert (min(cuda.resolution), max(cuda.resolution)) == (224, 2048)
    implementations = {entry.name: entry.implementation or [] for entry in suite.subjects}
    assert implementations == {
        "vig_tiny_patch16_224": [],
        "deit_tiny_patch16_224": ["sdpa", "eager", "sdpa_flash", "flash_attn"],
        "vim_tiny_patch16_224": ["triton_fused", "torch_chunk", "mamba_ssm"],
        "vrwkv_tiny_patch16_224": [],
        "swin_tiny_patch4_window7_224": [],
        "convnext_tiny": [],
    }


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "resolution:",
            "resolutoin:",
            ["devices.cpu.resolutoin", "did you mean 'resolution'", "Allowed here: resolution"],
        ),
        (
            "bfloat16",
            "bfloat61",
            ["devices.cuda.precision.1", "'bfloat61'", "did you mean 'bfloat16'", "float32, bfloat16"],
        ),
        ("[64, 128]", "[64, -1]", ["devices.cpu.resolution.1", "'-1' is not a whole number above 0"]),
        ("[64, 128]", "[64, 1.5]", ["devices.cpu.resolution.1", "'1.5' is not a whole number above 0"]),
        ("[64, 128]", "[]", ["devices.cpu.resolution", "empty"]),
        (
            "threads: 1",
            "exclude: [{cuda_graf: true}]\n    threads: 1",
            ["devices.cpu.exclude.0.cuda_graf", "did you mean 'cuda_graph'"],
        ),
        ("threads: 1", "exclude: [{}]\n    threads: 1", ["devices.cpu.exclude.0", "name the axes"]),
        ("[eager, sdpa]", "[]", ["subjects.1.implementation", "empty"]),
        ("implementation: [eager, sdpa]", "attention: []", ["subjects.1.attention", "empty"]),
        (
            "implementation: [eager, sdpa]",
            "implementatoin: sdpa",
            ["subjects.1.implementatoin", "did you mean 'implementation'", "here: name, implementation, args, shape."],
        ),
        ("resolution: [64, 128]", "length: 64", ["devices.cpu", "name a resolution for models, or length and shape"]),
        ("[64, 128]", "[64, 128]\n    shape: 3x32x64", ["devices.cpu", "give one kind"]),
        ("resolution: [64, 128]", "length: 64\n    shape: 3x32x64@128", ["cpu", "every shape is for another length"]),
        ("resolution: [64, 128]", "length: 64\n    shape: 3x32", ["cpu.shape.0", "write for example 3x32x64"]),
        ("cpu:", "gpu:", ["devices.gpu", "Allowed: cpu, cuda"]),
        ("question:", "qestion:", ["qestion: unknown key", "did you mean 'question'"]),
        ("budget: 40s", "budget: soon", ["devices.cpu.budget", "'soon'", "90s, 3m or 1h30m"]),
        ("budget: 40s", "budget: yes", ["devices.cpu.budget", "90s, 3m or 1h30m"]),
        ("budget: 40s", "budget: 0s", ["devices.cpu.budget", "positive"]),
        ("name: smoke", "name: Smo ke", ["name: ", "Smo ke"]),
        ("subjects:", "subjects: 3\nx:", ["subjects", "list"]),
        (
            "[eager, sdpa]",
            "[eager, sdpa]\n    gla: torch_chunk",
            ["subjects.1", "with one key, not with implementation, gla"],
        ),
        ("name: smoke", "name: [", ["not valid YAML"]),
    ],
)
def test_a_mistake_is_named_with_file_key_and_what_is_allowed(
    tmp_path: Path, old: str, new: str, expected: list[str]
) -> None:
    assert old in SMOKE
    path = tmp_path / "mine.yaml"
    path.write_text(SMOKE.replace(old, new))
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the parts of the message are checked below
        load_suite(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    for part in expected:
        assert part in message


@pytest.mark.parametrize("key", ["attention", "gla", "scan", "biwkv"])
def test_files_that_name_the_operator_say_the_same(tmp_path: Path, key: str) -> None:
    path = tmp_path / "smoke.yaml"
    path.write_text(SMOKE.replace("implementation: [eager", f"{key}: [eager"))
    assert path.read_text() != SMOKE
    assert load_suite(path) == load_suite("smoke")


def test_unknown_suite_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'smoke'"):
        load_suite("smoek")
    with pytest.raises(ValueError, match="no suite file"):
        load_suite("there/is/none.yaml")


def test_scalars_stand_for_lists_of_one_and_aliases_for_dtypes(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: mine\nquestion: Does it load?\nsubjects: [resnet50]\n"
        "devices: {cpu: {resolution: 64, precision: bf16, budget: 90}}\n"
    )
    section = load_suite(path).section(Device.cpu)
    assert section.resolution == [64]
    assert section.precision == ["bfloat16"]
    assert section.budget == 90
    with pytest.raises(ValueError, match="nothing on cuda"):
        load_suite(path).section(Device.cuda)
