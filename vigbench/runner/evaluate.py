"""An evaluation from the outside: the user's model computes in a worker, which is stopped, or ended where it hangs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from time import monotonic

from vigbench.evaluation.prepare import EvaluationSettings
from vigbench.evaluation.progress import EvaluationProgress
from vigbench.evaluation.run import EvaluationRequest
from vigbench.interrupt import StopRequest
from vigbench.records.accuracy import Accuracy, read_accuracy
from vigbench.records.schema import Status
from vigbench.runner.fork_server import waiting_of
from vigbench.runner.process import Worker, WorkerEndedError
from vigbench.suites.axes import PRECISION_ALIASES, Device, Precision
from vigbench.suites.duration import format_duration
from vigbench.worker.describe import choose_device
from vigbench.worker.evaluate import REQUEST, tell
from vigbench.worker.messages import BlockRequest, Errand, EvaluationReport, Job, Outcome

WORKERS = {Device.cpu: 0, Device.cuda: 4}  # processes that read images, by default
LOOK_S = 0.1  # between two looks at whether a stop was requested


def evaluate(
    subject: str,
    checkpoint: str | Path,
    data: str | Path,
    *,
    resolutions: Sequence[int] = (224,),
    implementation: str = "",
    device: str = "auto",
    precision: str = "float32",
    tf32: bool = False,
    threads: int = 0,
    crop_pct: float | None = None,
    interpolation: str | None = None,
    class_map: str | Path | None = None,
    ema: bool = True,
    batch_size: int = 64,
    batch_timeout_s: float = 1800.0,
    workers: int | None = None,
    out: str | Path = "results",
    resume: str | Path | None = None,
    command_line: Sequence[str] = (),
    progress: EvaluationProgress | None = None,
    stop: StopRequest | None = None,
) -> Accuracy:
    """Top-1 and top-5 accuracy of a checkpoint on a folder of images, over resolutions, with timm's transforms.

    It computes in a process of its own.

    Args:
        subject: a model's name, or `package.module:factory`.
        checkpoint: its weights: a PyTorch checkpoint of plain tensors, or .safetensors.
        data: folder with a folder of images for each class, as ImageNet's val.
        resolutions: sides of the images in px.
        implementation: of the subject's operator; empty: the one that users get by default.
        device: auto, cpu or cuda.
        precision: float32, bfloat16 or float16.
        tf32: allow TF32 for float32 matrix products on CUDA.
        threads: CPU threads; 0 = one per physical core.
        crop_pct: side of the crop over the shorter side of the resized image; None: the model's own.
        interpolation: of the resizing; None: the model's own.
        class_map: text file with a class name a line, in the order of the model's outputs.
        ema: prefer the moving average of the weights where the checkpoint has one.
        batch_size: images that the model is given at once.
        batch_timeout_s: seconds for one batch, or for trying one resolution; what takes longer is ended.
        workers: processes that read images ahead; None: 4 on CUDA, else none.
        out: gets the folder `accuracy-<subject>-<device>-<time>`.
        resume: continue this folder instead, with otherwise the same settings; batch size and workers may differ.
        command_line: for the record, what was typed.
        progress: told how it goes on.
        stop: entered while it computes; a stop that is requested ends it after the current batch.

    Returns:
        What the folder holds; `finished` unless a stop was requested.

    Raises:
        ValueError: if anything is wrong; the message says what, and what to do. All batches before are kept.
    """
    name = PRECISION_ALIASES.get(precision, precision)
    if name not in Precision.__members__:
        raise ValueError(f"Precision {precision!r} is not allowed; choose from {', '.join(Precision)}.")
    if not resolutions:
        raise ValueError("Name at least one resolution, for example 224.")
    if batch_size < 1 or (workers or 0) < 0:
        raise ValueError(
            f"{batch_size} images at once and {workers} processes: the former starts at 1, the latter at 0."
        )
    if not batch_timeout_s > 0:
        raise ValueError(f"--batch-timeout: {batch_timeout_s:g} s are not above 0.")
    settings = EvaluationSettings(
        subject=subject,
        resolutions=tuple(resolutions),
        implementation=implementation,
        device=choose_device(device),
        precision=Precision(name),
        tf32=tf32,
        threads=threads,
        crop_pct=crop_pct,
        interpolation=interpolation,
        ema=ema,
    )
    request = EvaluationRequest(
        settings,
        Path(checkpoint),
        Path(data),
        class_map=None if class_map is None else Path(class_map),
        out=Path(out),
        resume=None if resume is None else Path(resume),
        batch_size=batch_size,
        workers=WORKERS[settings.device] if workers is None else workers,
        command_line=tuple(command_line),
    )
    return read_accuracy(_in_worker(request, batch_timeout_s, progress or EvaluationProgress(), stop))


def _in_worker(
    request: EvaluationRequest, timeout_s: float, progress: EvaluationProgress, stop: StopRequest | None
) -> Path:
    """The folder, as complete as it could be made. `stop` is entered as soon as there is something to keep."""
    case = request.settings.case(max(request.settings.resolutions), request.batch_size)
    job = Job(case=case, errand=Errand.evaluate, argument=REQUEST.dump_json(request).decode())
    folder: Path | None = None
    asked_to_stop = False
    with ExitStack() as stack:
        worker = stack.enter_context(Worker(job, waiting=waiting_of(case)))
        deadline = monotonic() + timeout_s
        while True:
            try:
                if stop is not None and stop.requested and not asked_to_stop:
                    asked_to_stop = True
                    with suppress(WorkerEndedError):  # it may have just finished: its last message is still to be read
                        worker.send(BlockRequest(calls=0))
                message = worker.receive(min(deadline, monotonic() + LOOK_S))
            except TimeoutError:
                if monotonic() < deadline:
                    continue
                limit = format_duration(timeout_s)
                raise _ended(
                    f"{case.subject} was stopped: one batch took more than {limit}. Raise --batch-timeout, or choose a "
                    "smaller --batch-size.",
                    folder,
                ) from None
            except WorkerEndedError as end:
                raise _ended(f"{case.subject}: {str(end).rstrip('.')}.", folder) from None
            deadline = monotonic() + timeout_s
            match message:
                case EvaluationReport():
                    tell(progress, message)
                    if message.event == "evaluation_started":
                        folder = Path(message.told[0])
                        stack.enter_context(stop or nullcontext())
                case Outcome(status=Status.ok):
                    assert folder is not None
                    worker.let_end()
                    return folder
                case Outcome():
                    raise ValueError(message.reason)


def _ended(what: str, folder: Path | None) -> ValueError:
    return ValueError(what if folder is None else f"{what} What was computed is kept; continue with --resume {folder}.")
