"""Ranks that were given what does not fit together find out before they wait for each other."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from vigbench.nearest import did_you_mean, one_of
from vigbench.ops.communication.ranks import Ranks
from vigbench.ops.communication.traffic import count_check

DESCRIPTION_BYTES = 2048
LONGEST_ERROR = DESCRIPTION_BYTES // 8  # a character takes up to 6 bytes in JSON


def agree(describe: Callable[[], Mapping[str, Any]], ranks: Ranks, own: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Exchange one short description of each rank's inputs, and refuse, on all ranks, what does not fit together.

    One all-gather of 2 KiB a rank, at every call: whether a rank's inputs have changed only that rank knows. On a GPU
    it waits for the device.

    Args:
        describe: what this rank was given, of at most 2 KiB in JSON. Its ValueError is raised on all ranks.
        own: names whose values may differ between ranks.

    Returns:
        The description of each rank.

    Raises:
        ValueError: the same on every rank, if one rank's inputs are wrong or descriptions differ.
    """
    try:
        mine = dict(describe())
    except ValueError as error:
        if ranks.size == 1:
            raise
        mine = {"error": str(error)[:LONGEST_ERROR]}
    described = _gathered(mine, ranks)
    for rank, one in enumerate(described):
        if "error" in one:
            raise ValueError(f"rank {rank} of {ranks.size} was given wrong inputs: {one['error']}")
    for rank, one in enumerate(described):
        for name in sorted(described[0].keys() | one.keys()):
            first, other = described[0].get(name), one.get(name)
            if name not in own and first != other:
                raise ValueError(
                    f"{name} is {first} on rank 0 but {other} on rank {rank}: give all {ranks.size} ranks the same"
                )
    return described


def differentiated(**inputs: Tensor) -> list[str]:
    """Names of the inputs that a gradient is asked of: in the backward, ranks that disagree would wait for ever."""
    return [name for name, x in inputs.items() if torch.is_grad_enabled() and x.requires_grad]


def check_exchange(exchange: str, known: Collection[str]) -> None:
    """ValueError for a name that is not known."""
    if exchange not in known:
        raise ValueError(f"unknown exchange {exchange!r}: choose from {one_of(known)}{did_you_mean(exchange, known)}")


def _gathered(mine: dict[str, Any], ranks: Ranks) -> list[dict[str, Any]]:
    if ranks.size == 1:
        return [mine]
    text = json.dumps(mine).encode()
    assert len(text) <= DESCRIPTION_BYTES, text
    device = torch.device("cuda" if dist.get_backend(ranks.group) == "nccl" else "cpu")
    sent = torch.frombuffer(bytearray(text.ljust(DESCRIPTION_BYTES)), dtype=torch.uint8).to(device)
    received = [torch.empty_like(sent) for _ in range(ranks.size)]
    dist.all_gather(received, sent, ranks.group)
    count_check((ranks.size - 1) * DESCRIPTION_BYTES)
    return [json.loads(bytes(one.tolist())) for one in received]
