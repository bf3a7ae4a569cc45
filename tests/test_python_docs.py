"""docs/python.md runs as it stands, at sizes that take seconds."""

import re
import shutil
from pathlib import Path

import pytest
import timm
import torch

import vigbench
from tests.evaluation.pictures import write_image
from vigbench.worker.profile_case import profile_here

PAGE = Path(__file__).parents[1] / "docs" / "python.md"
SMALLER = {
    "(1, 3, 224, 224)": "(1, 3, 32, 32)",
    "resolution=224": "resolution=32",
    "resolutions=[224, 288]": "resolutions=[32, 64]",
    "processes=6, blocks=30": "processes=1, blocks=2",
    "iterations=5": "iterations=1",
    "budget_s=600": "budget_s=0.001",
}
COMMANDS = ("count_cost", "run", "write_report", "duel", "gate", "measure_claims", "profile_subject", "evaluate")


@pytest.mark.slow
def test_every_block_of_the_page_runs(
    short_sampling: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    text = "\n".join(blocks)
    assert [name for name in COMMANDS if f"vigbench.{name}(" not in text] == []
    for large, small in SMALLER.items():
        assert large in text
        text = text.replace(large, small)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "vigbench.runner.profile.run_in_worker",
        lambda job, timeout_s, on_stage: profile_here(job.case, job.argument, on_stage),
    )
    monkeypatch.setattr("vigbench.worker.profile_case.WARMUP_BUDGET_S", 0.1)
    monkeypatch.setattr("vigbench.worker.profile_case.SAMPLING_BUDGET_S", 0.1)
    for name in ("ant", "bee"):
        write_image(tmp_path / "val" / name / "0.png", seed=len(name))
    torch.save(timm.create_model("resnet18", num_classes=2).state_dict(), "weights.pt")
    earlier = vigbench.run("smoke", subject="deit_tiny_patch16_224", resolution=32, device="cpu").folder
    shutil.copytree(earlier, "results/earlier")
    threads = torch.get_num_threads()
    names: dict[str, object] = {}
    try:
        exec(compile(text, str(PAGE), "exec"), names)
    finally:
        torch.set_num_threads(threads)
    (folder,) = Path("reports").iterdir()
    assert (folder / "report.html").is_file()
    assert "ViG-T takes" in capsys.readouterr().out
    assert {"page", "result", "found", "counts", "frame", "profile", "accuracy", "more"} <= set(names)
