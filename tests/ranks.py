"""A function on several ranks: a process each, over gloo on this machine."""

from __future__ import annotations

import multiprocessing
import pickle
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed import ProcessGroup


def run_ranks(function: Callable[..., Any], size: int, folder: Path, *args: Any, timeout_s: float = 240) -> list[Any]:
    """What `function(*args)` returns on each of `size` ranks; AssertionError with what went wrong on one of them.

    The function has to be importable; torch.distributed is initialised for it. All processes end with the first that
    fails, or after `timeout_s`.
    """
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_rank, args=(rank, size, folder, function, args)) for rank in range(size)]
    try:
        for process in processes:
            process.start()
        deadline = time.monotonic() + timeout_s
        while any(process.is_alive() for process in processes) and time.monotonic() < deadline:
            if any(process.exitcode for process in processes):
                break
            processes[0].join(0.05)
            time.sleep(0.05)
    finally:
        left = [process for process in processes if process.is_alive()]
        for process in left:
            process.kill()
        for process in processes:
            process.join()
    errors = [path.read_text() for path in sorted(folder.glob("*.error"))]
    assert not errors, "\n".join(errors)
    assert not left, f"{len(left)} of {size} ranks were still at work after {timeout_s} s"
    return [pickle.loads((folder / f"{rank}.result").read_bytes()) for rank in range(size)]


def first_ranks(size: int) -> ProcessGroup:
    """A group of the first ranks; every rank calls this, in the same order."""
    return dist.new_group(list(range(size)))


def _rank(rank: int, size: int, folder: Path, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        torch.set_num_threads(1)
        dist.init_process_group(
            "gloo", f"file://{folder / 'store'}", timedelta(seconds=120), rank=rank, world_size=size
        )
        (folder / f"{rank}.result").write_bytes(pickle.dumps(function(*args)))
        dist.barrier()  # one that left early would end the others' connections
        dist.destroy_process_group()
    except BaseException:
        (folder / f"{rank}.error").write_text(f"rank {rank}: {traceback.format_exc()}")
        raise
