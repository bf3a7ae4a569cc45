"""Strict loading of a state dict: what torch's own `load_state_dict` takes, and what is wrapped in a prefix."""

from __future__ import annotations

import re
import sys
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

State = OrderedDict[str, Any]

_SHOWN = 2


def load_strictly(model: nn.Module, state: State, *, any_classes: bool = False) -> None:
    """Load what torch's own strict `load_state_dict` takes, with the prefixes of a wrapper taken off where need be.

    The model's module may map names and resize position embeddings in `checkpoint_filter_fn(state_dict, model)`, as
    timm has it.

    Args:
        model: gets the weights.
        state: by name.
        any_classes: give the model a head of the checkpoint's number of classes.

    Raises:
        ValueError: if they do not fit; the message says which names, shapes or values differ.
    """
    failures = []
    for reading in _readings(state, model):
        try:
            _load(model, reading, any_classes)
        except Exception as error:  # of a filter that expects another model's names, or torch's own
            failures.append((_misfits(reading, model), error))
        else:
            return
    found, cause = min(failures, key=lambda failure: sum(map(len, failure[0].values())))
    said = [f"{len(names)} {what} ({some(names)})" for what, names in found.items() if names]
    raise ValueError(", ".join(said) or str(cause).strip().splitlines()[0]) from cause


def left_out(model: nn.Module, state: State) -> list[str]:
    """Names in a state dict that are none of the model's: what stands beside it in a larger module."""
    prefix = next(iter(_prefixes(state, model)), "")
    return [name for name in state if not name.startswith(prefix) and name != "n_averaged"]


def _readings(state: State, model: nn.Module) -> Iterator[State]:
    """A state dict as it is, without what wraps every name, and without what wraps those of the model."""
    yield state
    compiled = OrderedDict((name.replace("_orig_mod.", ""), value) for name, value in state.items())
    if len(compiled) == len(state) and compiled.keys() != state.keys():
        yield (state := compiled)
    inner = state
    while all("." in name for name in inner) and len(first := {name.partition(".")[0] for name in inner}) == 1:
        yield (inner := _under(inner, f"{first.pop()}."))
    found = _prefixes(state, model)
    if len(found) > 1:
        raise ValueError(f"its names stand there {len(found)} times, below {some(found, 4)}: save those that are meant")
    if found and found[0]:
        yield _under(state, found[0])


def _prefixes(state: State, model: nn.Module) -> list[str]:
    """Prefixes under which a state dict has all names of the model; alone the empty one where that is one."""
    wanted = {name for name in model.state_dict() if not name.endswith("num_batches_tracked")}
    found = Counter(
        name[:end]
        for name in state
        for end in (0, *(match.end() for match in re.finditer(r"\.", name)))
        if name[end:] in wanted
    )
    complete = [prefix for prefix, count in found.items() if count == len(wanted)]
    return [""] if "" in complete else complete


def _under(state: State, prefix: str) -> State:
    """The entries under a prefix, without it."""
    part = OrderedDict((name.removeprefix(prefix), value) for name, value in state.items() if name.startswith(prefix))
    return with_versions(part, state, prefix)


def with_versions(state: State, source: object, prefix: str = "") -> State:
    """With the versions of modules that torch notes beside the weights in `source`, and looks at when it loads them."""
    versions = getattr(source, "_metadata", None)
    if isinstance(versions, Mapping):
        state._metadata = OrderedDict(  # type: ignore[attr-defined]
            (name[len(prefix) :], value) for name, value in versions.items() if f"{name}.".startswith(prefix)
        )
    return state


def _load(model: nn.Module, state: State, any_classes: bool) -> None:
    adapt = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    adapted = state if adapt is None else adapt(dict(state), model)
    classes = _head_outputs(model, adapted) if any_classes else None
    if classes is not None and classes != model.num_classes:
        model.reset_classifier(classes)  # type: ignore[operator]
    if any(_odd(adapted, model).values()):
        raise ValueError("torch would take other values for them")
    model.load_state_dict(adapted, strict=True)


def _head_outputs(model: nn.Module, state: Mapping[str, Tensor]) -> int | None:
    """Classes of the head in a state dict; None where the model does not say which of its layers that is."""
    config = getattr(model, "pretrained_cfg", None) or {}
    classifier = config.get("classifier") if isinstance(config, Mapping) else None
    name = classifier if isinstance(classifier, str) else next(iter(classifier or ()), "")
    weight = state.get(f"{name}.weight")
    changeable = hasattr(model, "reset_classifier") and hasattr(model, "num_classes")
    return weight.shape[0] if changeable and weight is not None and weight.ndim else None


def _misfits(state: Mapping[str, Any], model: nn.Module) -> dict[str, list[str]]:
    """Where a state dict does not fit: what is wrong -> names."""
    wanted = model.state_dict()
    return {
        "weights are missing": [name for name in wanted if name not in state],
        "weights are unknown": [name for name in state if name not in wanted],
        "have another shape": [
            f"{name} {tuple(one.shape)} for {tuple(own.shape)}"
            for name, one, own in _pairs(state, wanted)
            if one.shape != own.shape
        ],
        **_odd(state, model),
    }


def _odd(state: Mapping[str, Any], model: nn.Module) -> dict[str, list[str]]:
    """Tensors that torch would turn into other numbers without a word, or refuses in words of its own."""
    pairs = list(_pairs(state, model.state_dict()))
    return {
        "are of another kind": [
            f"{name} {_kind(one)} for {_kind(own)}" for name, one, own in pairs if _kind(one) != _kind(own)
        ],
        "hold NaN": [name for name, one, _ in pairs if _holds_nan(one)],
    }


def _kind(tensor: Tensor) -> str:
    if tensor.is_meta:
        return "without values"
    if tensor.is_quantized:
        return "quantised"
    if tensor.layout is not torch.strided or tensor.is_nested:
        return "sparse"
    return "complex" if tensor.is_complex() else "real" if tensor.is_floating_point() else "whole"


def _holds_nan(tensor: Tensor) -> bool:
    kind = _kind(tensor)
    if kind == "real":
        tensor = tensor.float()  # the shortest types have no test of their own
    return kind in ("real", "complex") and bool(tensor.isnan().any())


def _pairs(state: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Tensors of one name in both; a model without values takes any."""
    for name, own in wanted.items():
        if isinstance(own, Tensor) and not own.is_meta and isinstance(one := state.get(name), Tensor):
            yield name, one, own


def some(names: Sequence[str], most: int = _SHOWN) -> str:
    return ", ".join([*names[:most], *(["..."] if len(names) > most else [])])
