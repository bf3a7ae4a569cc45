"""The exact command that measures a claim's number again."""

from __future__ import annotations

import shlex

from vigbench.analysis.claims.schema import Claim, ClaimPoint, ClaimSide, Quantity
from vigbench.suites.axes import Device, Phase


def command(claim: Claim, point: ClaimPoint) -> str:
    """One line for a shell: a count, a run over ranks, or on a GPU a duel, a run, or an evaluation of both checkpoints.

    Empty for a claim that vigbench cannot measure.
    """
    if claim.lacks:
        return ""
    if claim.quantity.is_of_model:
        return shlex.join(["vigbench", "claims", "--claim", claim.id])
    if claim.quantity is Quantity.top1_percent:
        return " && ".join(_evaluate(side, claim) for side in (claim.ours, claim.theirs) if side)
    assert claim.theirs is not None
    settings = [*_size(claim, point), *_setting(claim, point)]
    if claim.quantity is Quantity.latency_ms:
        return shlex.join(["vigbench", "duel", claim.ours.name, claim.theirs.name, *settings])
    subjects = ",".join(dict.fromkeys(side.subject for side in (claim.ours, claim.theirs)))
    chosen = ",".join(dict.fromkeys(side.implementation or "auto" for side in (claim.ours, claim.theirs)))
    return shlex.join(["vigbench", "run", "--subject", subjects, "--implementation", chosen, *settings])


def _size(claim: Claim, point: ClaimPoint) -> list[str]:
    if point.length is None:
        return ["--resolution", str(point.resolution)]
    return ["--length", str(point.length), "--shape", str(claim.shape_at(point))]


def _setting(claim: Claim, point: ClaimPoint) -> list[str]:
    words = ["--batch-size", str(claim.batch_size_at(point)), "--precision", claim.precision.value]
    words += ["--phase", claim.phase.value] if claim.phase is not Phase.inference else []
    if claim.ranks > 1:
        exchanges = dict.fromkeys(side.exchange.value for side in (claim.ours, claim.theirs) if side and side.exchange)
        words += ["--ranks", str(claim.ranks), "--exchange", ",".join(exchanges)]
    return [*words, "--device", Device.cuda.value] if claim.quantity.needs_gpu else words


def _evaluate(side: ClaimSide, claim: Claim) -> str:
    sizes = ",".join(str(point.resolution) for point in claim.points)
    words = ["vigbench", "evaluate", "--subject", side.subject, "--checkpoint", "FILE", "--data", "IMAGENET/val"]
    return shlex.join([*words, "--resolution", sizes])
