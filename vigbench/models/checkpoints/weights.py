"""The weights in a checkpoint: which of its entries they are."""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from vigbench.models.checkpoints.checkpoint_file import read_file
from vigbench.models.checkpoints.strict_loading import State, load_strictly, some, with_versions

# names of the entry with the weights, the likeliest first; the first two of each are timm's
AVERAGED = ("state_dict_ema", "model_ema", "ema")
PLAIN = ("state_dict", "model", "model_state_dict", "net", "network", "weights", "params")
_AVERAGES = {"averaged", "average", "ema", "swa"}
_WRAPPERS = 2  # entries inside of entries


def load_weights(model: nn.Module, checkpoint_path: str | os.PathLike[str]) -> None:
    """Load a checkpoint strictly: a state dict, one beside a training's other state, or .safetensors.

    Raises:
        FileNotFoundError: where there is no file.
        ValueError: where it cannot be read, holds pickled code or another model's weights.
    """
    path = Path(checkpoint_path)
    _, state = find_weights(path, read_file(path))
    try:
        load_strictly(model, state)
    except ValueError as error:
        raise ValueError(f"{path} does not fit this model; choose the model it was saved from. {error}") from error


def find_weights(path: Path, content: object, *, ema: bool = True) -> tuple[str, State]:
    """Which entry of a file's content holds the weights (empty: the content itself), and what it holds.

    Args:
        path: the file, for messages.
        content: what was read of it.
        ema: prefer a moving average of the weights, as timm does.

    Raises:
        ValueError: if there are none, or several of which none has a usual name; the message names the entries.
    """
    found = dict(_state_dicts(content))
    averaged = [name for name in found if _AVERAGES & set(re.split("[^a-z]+", name.lower()))]
    plain = [name for name in found if name not in averaged]
    for names, usual in ((averaged if ema else [], AVERAGED), (plain, PLAIN)):
        likeliest = _likeliest(names, usual)
        if len(likeliest) > 1:
            raise ValueError(
                f"{path} holds weights in {len(likeliest)} entries ({', '.join(likeliest)}): save the one that is "
                "meant with torch.save({'model': state_dict}, new_path)."
            )
        if likeliest:
            return likeliest[0], found[likeliest[0]]
    if averaged:
        raise ValueError(f"{path} holds averaged weights only ({', '.join(averaged)}): leave --no-ema out.")
    raise ValueError(
        f"{path} holds no state dict, a name and a tensor for each weight, but {_in_words(content)}; save it with "
        "torch.save({'model': model.state_dict()}, path)."
    )


def _state_dicts(content: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, State]]:
    """The tensors of each mapping in a content, by its entry; those of an optimiser have numbers for names."""
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        return
    if len(path) < _WRAPPERS:
        for name, value in content.items():
            if not name.endswith("_extra_state"):
                yield from _state_dicts(value, (*path, name))
    if any(isinstance(value, Tensor) for value in content.values()):
        kept = OrderedDict(
            (name, value)
            for name, value in content.items()
            if isinstance(value, Tensor) or name.endswith("_extra_state")
        )
        yield ".".join(path), with_versions(kept, content)


def _likeliest(names: Sequence[str], usual: Sequence[str]) -> list[str]:
    """The entries with the most usual name; the content itself only where there is no entry."""

    def rank(name: str) -> int:
        places = [usual.index(part) for part in name.split(".") if part in usual]
        return min(places, default=len(usual) + (not name))

    best = min(map(rank, names), default=None)
    return [name for name in names if rank(name) == best]


def _in_words(content: object) -> str:
    if not isinstance(content, Mapping):
        return f"one {type(content).__name__}"
    return f"the keys {some([str(key) for key in content], 8)}" if content else "nothing"
