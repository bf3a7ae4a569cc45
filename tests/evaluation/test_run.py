"""What is computed is kept, whatever happens."""

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import vigbench.evaluation.folder as folder_module
import vigbench.evaluation.loading as loading_module
import vigbench.evaluation.run as run_module
from tests.evaluation.pictures import compute, prepare, settings
from vigbench.evaluation.folder import EvaluationFolder
from vigbench.evaluation.model import logits_of
from vigbench.evaluation.progress import EvaluationProgress
from vigbench.evaluation.run import compute_missing
from vigbench.interrupt import StopRequest
from vigbench.records.accuracy import read_accuracy, read_predictions
from vigbench.records.lock import lock
from vigbench.suites.axes import Device
from vigbench.suites.case import Case


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_named_and_a_good_copy_completes_the_same_files(
    data: Path, checkpoint: Path, tmp_path: Path, workers: int
) -> None:
    evaluation = prepare(settings(), checkpoint, data)
    whole = EvaluationFolder.create(tmp_path / "whole", evaluation.info)
    compute(evaluation, whole)
    spoilt = data / "cat" / "1.png"
    good = spoilt.read_bytes()
    spoilt.write_bytes(good[: len(good) // 2])
    folder = EvaluationFolder.create(tmp_path / "results", evaluation.info)
    with pytest.raises(ValueError, match=r"cat/1.png cannot be read: OSError.*continue with --resume") as refused:
        compute_missing(
            evaluation, folder, EvaluationProgress(), StopRequest(), batch_size=4, workers=workers, command_line=[]
        )
    assert "\n" not in str(refused.value)
    assert len(read_predictions(folder.folder, 160)) == 4
    spoilt.write_bytes(good)
    again = EvaluationFolder.reopen(folder.folder, prepare(settings(), checkpoint, data).info)
    assert compute(evaluation, again) is not None
    for name in ("predictions-160.csv", "accuracy.csv"):
        assert (folder.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_a_reading_process_that_ends_is_one_line(
    data: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation = prepare(settings(), checkpoint, data)
    folder = EvaluationFolder.create(tmp_path, evaluation.info)
    monkeypatch.setattr(loading_module, "read_image", lambda path, mode: os._exit(7))
    with pytest.raises(ValueError, match=r"One of 1 processes that read images ended.*use --workers 0\. What was"):
        compute_missing(
            evaluation, folder, EvaluationProgress(), StopRequest(), batch_size=4, workers=1, command_line=[]
        )


def test_what_does_not_fit_into_memory_can_be_continued_with_smaller_batches(
    data: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation = prepare(settings(), checkpoint, data)
    folder = EvaluationFolder.create(tmp_path, evaluation.info)

    def limited(model: nn.Module, images: Tensor, case: Case) -> Tensor:
        if len(images) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return logits_of(model, images, case)

    monkeypatch.setattr(run_module, "logits_of", limited)
    with pytest.raises(ValueError, match=r"used up by 4 images of 160 px: choose a smaller --batch-size\. What was"):
        compute(evaluation, folder, 4)
    assert compute(evaluation, EvaluationFolder.reopen(folder.folder, evaluation.info), 3) is not None
    assert [one["batch_size"] for one in read_accuracy(folder.folder).info["sessions"]] == [4, 3]


def test_a_full_disk_is_one_line_and_nothing_is_lost(
    data: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation = prepare(settings(), checkpoint, data)
    folder = EvaluationFolder.create(tmp_path, evaluation.info)
    append, calls = folder_module.append_text, []

    def full(path: Path, text: str, *, sync: bool) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise OSError(28, "No space left on device", str(path))
        append(path, text, sync=sync)

    with monkeypatch.context() as patch:
        patch.setattr(folder_module, "append_text", full)
        with pytest.raises(ValueError, match=r"predictions-160.csv: No space left on device\. What was.*--resume"):
            compute(evaluation, folder)
    assert len(read_predictions(folder.folder, 160)) == 8
    assert compute(evaluation, EvaluationFolder.reopen(folder.folder, evaluation.info)) is not None


def test_only_one_process_writes_to_a_folder(data: Path, checkpoint: Path, tmp_path: Path) -> None:
    evaluation = prepare(settings(), checkpoint, data)
    folder = EvaluationFolder.create(tmp_path, evaluation.info)
    with lock(folder.folder / "lock"), pytest.raises(ValueError, match="Another vigbench process is writing to"):
        compute(evaluation, folder)
    (folder.folder / "lock").mkdir()
    with pytest.raises(ValueError, match=r"lock: Is a directory.*continue with --resume"):
        compute(evaluation, folder)


@pytest.mark.parametrize("damage", [b"", b"ant/0.png", b"ant/0.png,0,1,2,3,4,5\nbee/9.png,1,0,2,3,4,5\n", b"\0" * 64])
def test_a_damaged_file_is_kept_as_far_as_it_is_right(
    data: Path, checkpoint: Path, tmp_path: Path, damage: bytes
) -> None:
    evaluation = prepare(settings(), checkpoint, data)
    folder = EvaluationFolder.create(tmp_path, evaluation.info)
    compute(evaluation, folder)
    file = folder.folder / "predictions-160.csv"
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    for kept in (0, 1, 6):
        file.write_bytes(b"".join(lines[:kept]) + damage)
        assert compute(evaluation, folder) is not None
        assert file.read_bytes() == whole


def test_a_folder_is_named_by_subject_and_device(data: Path, checkpoint: Path, tmp_path: Path) -> None:
    info = prepare(settings(), checkpoint, data).info
    assert EvaluationFolder.create(tmp_path, info).folder.name.startswith("accuracy-test_vit-cpu-2")
    info["settings"] = {**info["settings"], "subject": "my_pkg.models:make_net"}
    info |= {"device": Device.cuda, "device_name": "NVIDIA H200"}
    name = EvaluationFolder.create(tmp_path, info).folder.name
    assert name.startswith("accuracy-my_pkg.models-make_net-nvidia-h200-2")
