"""Every foreseeable failure becomes a status with a reason that a person can act on."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

from vigbench.measure.compilation import missing_compiler, not_compiled
from vigbench.measure.cuda_graph import NotCapturableError
from vigbench.measure.memory import is_out_of_memory
from vigbench.ops.attention.refusal import is_refusal
from vigbench.ops.registry import UnsupportedError
from vigbench.records.schema import Status
from vigbench.subjects.catalog import describe
from vigbench.subjects.factory import FactoryError, in_one_line
from vigbench.suites.case import Case
from vigbench.worker.check_subject import WrongResultError
from vigbench.worker.messages import Outcome

NO_BACKEND = (
    "{case.subject} has attention that {case.implementation} cannot compute (a mask, the precision, the shape of the "
    "heads, or this device): choose sdpa, which takes another backend where it has to, or eager."
)


def guarded(case: Case, work: Callable[[], Outcome]) -> Outcome:
    """The outcome of `work`, or of its failure."""
    try:
        return work()
    except (UnsupportedError, NotCapturableError) as error:
        return _failure(case, Status.unsupported, str(error))
    except FactoryError as error:  # its message is complete
        return _failure(case, Status.error, str(error))
    except WrongResultError as error:
        path = error.path
        outcome = _failure(case, Status.wrong_result, str(error))
        return (
            outcome
            if path is None
            else outcome.model_copy(update={"operators": dict(path.operators), "kernels": dict(path.kernels)})
        )
    except ModuleNotFoundError as error:
        reason = f"{case.subject} needs the package {error.name}, which is not installed: pip install {error.name}"
        return _failure(case, Status.unsupported, reason)
    except SystemExit as error:
        return _failure(case, Status.error, f"The subject ended its process: SystemExit: {error}.")
    except Exception as error:
        if is_refusal(error):  # in a backward pass, or by a subject of a user's own
            return _failure(case, Status.unsupported, NO_BACKEND.format(case=case))
        if is_out_of_memory(error):
            size = f"batch {case.batch_size}, {case.extent_text}"
            reason = f"{case.device} memory was used up at {size}: {_first_line(error)}"
            return _failure(case, Status.out_of_memory, reason)
        if not_compiled(error):
            reason = (
                missing_compiler() or "torch.compile found no compiler that works: install one (apt-get install g++)"
            )
            return _failure(case, Status.unsupported, f"{reason}. Or measure with --compile false.")
        traceback.print_exc()  # goes to the worker's last words
        return _failure(case, Status.error, f"{in_one_line(error)}{_where(error)}")


def _failure(case: Case, status: Status, reason: str) -> Outcome:
    try:
        operator = describe(case.subject, case.args).operator
    except Exception:  # the subject itself is what failed
        operator = None
    return Outcome(status=status, reason=reason, operator=operator)


def _where(error: BaseException) -> str:
    """The line that failed, where the error itself says nothing."""
    frames = traceback.extract_tb(error.__traceback__)
    if str(error).strip() or not frames:
        return ""
    return f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}: {frames[-1].line}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
