"""What references computed, kept on the disk for those cases of a run that share it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TypeVar

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from vigbench.records.fingerprint import code_hash
from vigbench.subjects.task import Result

MOST_BYTES = 2**30  # of all results of a run
WORTH_KEEPING_S = 0.1  # what is computed faster costs less than the disk
OUTPUT, GRADIENT = "output/", "gradient/"

T = TypeVar("T")


@dataclass
class References:
    """The references' results of one run.

    Attributes:
        folder: where they are kept; None: each is computed.
        seconds: spent in computing them until now; None where none was asked for.
    """

    folder: Path | None = None
    seconds: float | None = None

    def judged(
        self,
        tensors: Sequence[Tensor],
        what: Mapping[str, object],
        compute: Callable[[], Result],
        judge: Callable[[Result], T],
    ) -> T:
        """What `judge` says of the reference's result: of a kept one, or of one that is computed now.

        A kept result can acquit, not condemn: what `judge` refuses is judged by a fresh one, and a result is kept only
        when it has been passed. So no case suffers from what another one, whose kernels write where they must not, made
        of its reference.

        Args:
            tensors: all that the result depends on: weights, buffers and inputs, on their device.
            what: which computation it is, in plain values.
            compute: runs the reference.
            judge: compares with its result; raises if that is too far away.
        """
        file = self._file(tensors, what)
        self.seconds = self.seconds or 0.0
        if file is not None and file.exists():
            with suppress(Exception):  # whatever is wrong with it, or with the case, a fresh one decides
                return judge(_read(file, tensors[0].device))
        wait_for(tensors[0].device)
        begin = perf_counter()
        result = compute()
        wait_for(tensors[0].device)
        took_s = perf_counter() - begin
        self.seconds += took_s
        verdict = judge(result)
        if file is not None and took_s >= WORTH_KEEPING_S:
            with suppress(OSError):  # a full disk costs time only
                _write(file, result)
        return verdict

    def _file(self, tensors: Sequence[Tensor], what: Mapping[str, object]) -> Path | None:
        if self.folder is None:
            return None
        device = torch.cuda.get_device_name() if tensors[0].is_cuda else "cpu"
        known = {**what, "torch": torch.__version__, "code": code_hash(), "device": device}
        digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode())
        for tensor in tensors:
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)} {tensor.stride()}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return self.folder / f"{digest.hexdigest()}.safetensors"


def wait_for(device: torch.device) -> None:
    """Return when the device has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _read(file: Path, device: torch.device) -> Result:
    kept = load_file(file, device=str(device))
    outputs, gradients = (
        {name.removeprefix(kind): tensor for name, tensor in kept.items() if name.startswith(kind)}
        for kind in (OUTPUT, GRADIENT)
    )
    return outputs, gradients


def _write(file: Path, result: Result) -> None:
    named = zip((OUTPUT, GRADIENT), result, strict=True)
    tensors = {f"{kind}{name}": tensor for kind, part in named for name, tensor in part.items()}
    content = save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()})
    if len(content) + sum(path.stat().st_size for path in file.parent.iterdir()) > MOST_BYTES:
        return
    write_whole(file, content)


def write_whole(file: Path, content: bytes) -> None:
    """Write a file as a whole or not at all, since a worker may be killed at any moment. OSError if that fails."""
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_bytes(content)
    unfinished.replace(file)
