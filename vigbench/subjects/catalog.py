"""Subjects by name: vigbench's own models, any timm model, operators, and the user's own (see `own.py`)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from math import sqrt
from typing import Any

import timm
import torch
from torch import nn

from vigbench.models.checkpoints.weights import load_weights
from vigbench.models.diffusion import dig, dit
from vigbench.models.layers.table import LAYERS
from vigbench.models.model import Model
from vigbench.models.volumes.networks import NETWORKS
from vigbench.nearest import nearest, one_of
from vigbench.ops.attention import attention_modules
from vigbench.ops.registry import UnsupportedError, get_implementation, list_implementations, select_implementation
from vigbench.subjects.building import build_on_meta
from vigbench.subjects.diffusion import DiffusionTask
from vigbench.subjects.factory import as_module, in_one_line, load_factory
from vigbench.subjects.family import family_of
from vigbench.subjects.image import ImageTask
from vigbench.subjects.implementations import use_implementation
from vigbench.subjects.layer import LayerTask
from vigbench.subjects.operators import OPERATORS
from vigbench.subjects.own import build_own, is_own, own_target, own_task, subject_plugins
from vigbench.subjects.own import require_buildable as require_own
from vigbench.subjects.plugins import plugins
from vigbench.subjects.sequence import SEQUENCES
from vigbench.subjects.task import Task
from vigbench.subjects.volume import VolumeTask
from vigbench.suites.arguments import args_of, read_args, with_args
from vigbench.suites.case import Case
from vigbench.suites.resolution import Resolution, read_resolution, sides_of

IMAGES = ImageTask()
TASKS: Mapping[str, Task] = {
    **SEQUENCES,
    **dict.fromkeys(LAYERS, LayerTask()),
    **{name: DiffusionTask(config.patch_size) for name, config in {**dig.CONFIGS, **dit.CONFIGS}.items()},
    **dict.fromkeys(("glims", *NETWORKS), VolumeTask()),
}
DEFAULT = "default"  # the implementation of a subject that offers no choice
OF_WEIGHTS = ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path")  # arguments of timm's
BASELINES = (
    "deit_tiny_patch16_224",
    "deit_small_patch16_224",
    "deit_base_patch16_224",
    "swin_tiny_patch4_window7_224",
    "convnext_tiny",
    "resnet50",
)


@dataclass(frozen=True)
class Subject:
    """A subject, and the operator whose implementations can be chosen (None: no choice).

    `fuses_blocks` says whether implementations that are a model's whole block are among them.
    """

    name: str
    family: str
    operator: str | None
    fuses_blocks: bool = False


def create_model(
    name: str,
    *,
    implementation: str = "auto",
    checkpoint_path: str | os.PathLike[str] | None = None,
    **timm_kwargs: Any,
) -> nn.Module:
    """Build a model by its timm name; `timm_kwargs` are timm's (num_classes, in_chans, drop_path_rate, ...).

    `implementation` says which code computes the model's own operator. A checkpoint is loaded strictly and never runs
    pickled code (nor does timm's own `create_model` since 1.0.26).
    ValueError for an unknown name, an implementation the model does not have, or a checkpoint that cannot be loaded.
    """
    if name not in NETWORKS and not timm.is_model(name):
        if (plugin := plugins().get(name)) is not None and not plugin.problem:
            if implementation != "auto" or checkpoint_path is not None:
                raise ValueError(f"{name} is a plug-in: it takes neither an implementation nor a checkpoint_path")
            return as_module(load_factory(plugin.target)(**timm_kwargs), plugin.target)
        if name in LAYERS:
            raise ValueError(f"{name} is a layer, built of heads: use vigbench.models.layers.table.create_layer")
        names = [*timm.list_models(), *NETWORKS]
        matches = [each for each in names if name in each][:3] or nearest(name, names, most=3)
        advice = f"did you mean {' or '.join(matches)}?" if matches else "see vigbench list subjects for the names"
        raise ValueError(f"unknown model {name!r}: {advice}")
    create = partial(timm.create_model, name) if (network := NETWORKS.get(name)) is None else network.create
    model: nn.Module = create(**timm_kwargs)
    if checkpoint_path is not None:
        load_weights(model, checkpoint_path)
    set_implementation = getattr(model, "set_implementation", None)
    if set_implementation is not None:
        set_implementation(implementation)
    elif implementation != "auto":
        raise ValueError(f"{name} has no implementations to choose from: leave implementation at 'auto'")
    return model


def list_subjects(pattern: str = "*") -> list[str]:
    """vigbench's models, its baselines, operators and plug-ins that match a glob; with none, matching timm models."""
    own = [
        *timm.list_models(["vig_*", "vim_*", "vrwkv_*", "dig_*", "dit_*", "glims"]),
        *NETWORKS,
        *BASELINES,
        *OPERATORS,
        *LAYERS,
    ]
    own += [name for name, plugin in subject_plugins().items() if not plugin.problem]
    found = [name for name in own if fnmatchcase(name, pattern)]
    return found or [name for name in timm.list_models() if fnmatchcase(name, pattern)]


def describe(name: str, args: str = "") -> Subject:
    """What a subject is, with these arguments of its constructor (as a `Case` has them), without building its weights.

    Raises:
        ValueError: if there is no such subject; the message names the nearest ones.
    """
    if own_target(name) is not None:  # first: packages come and go with the folders that are searched
        return Subject(name, "other", None)
    if name in OPERATORS:
        return Subject(name, family_of(name), OPERATORS[name].operator)
    if name in LAYERS:
        return Subject(name, family_of(name), LAYERS[name].operator)
    if name in NETWORKS:  # without its package, which need not be there
        return Subject(name, family_of(name), NETWORKS[name].operator)
    return _describe_model(name, args)


@lru_cache(maxsize=256)
def _describe_model(name: str, args: str) -> Subject:
    try:
        model = build_on_meta(lambda: create_model(name, **args_of(args)))
    except Exception:
        if not args:
            raise
        return _describe_model(name, "")  # building the case will say what is wrong with its arguments
    if isinstance(model, Model):
        return Subject(name, family_of(name), model.operator, model.fuses_blocks)
    return Subject(name, family_of(name), "attention" if attention_modules(model) else None)


def resolve_implementations(name: str, requested: Sequence[str], device: str, args: str = "") -> list[str]:
    """The implementations to measure: those requested, else the one that users get by default.

    Raises:
        ValueError: if the subject or an implementation is unknown, or the subject offers no choice.
    """
    subject = describe(name, args)
    wanted = [choice for choice in requested if choice != DEFAULT]
    if subject.operator is None:
        if wanted:
            raise ValueError(f"{name} offers no choice of implementation; remove {', '.join(wanted)}.")
        return [DEFAULT]
    for choice in wanted:
        if choice != "auto" and get_implementation(subject.operator, choice).whole_block and not subject.fuses_blocks:
            raise ValueError(
                f"{choice} is a model's whole block around {subject.operator}, which {name} has no kernels for: "
                f"measure it with {one_of(offered_by(subject))}."
            )
    auto = _auto(subject.operator, str(device))
    return list(dict.fromkeys(auto if choice == "auto" else choice for choice in wanted)) or [auto]


def matching_implementations(name: str, patterns: Sequence[str], device: str, args: str = "") -> list[str]:
    """Those that a subject offers and a name or glob matches; `auto` is the one that users get by default."""
    subject = describe(name, args)
    default = resolve_implementations(name, [], device, args)
    offered = [DEFAULT] if subject.operator is None else offered_by(subject)
    matching = [choice for choice in offered if any(fnmatchcase(choice, pattern) for pattern in patterns)]
    return list(dict.fromkeys([*(default if "auto" in patterns else []), *matching]))


def offered_by(subject: Subject) -> list[str]:
    """The implementations that a subject with an operator can be computed by."""
    every = list_implementations(subject.operator)
    return [choice.name for choice in every if subject.fuses_blocks or not choice.whole_block]


def require_offered(subjects: Sequence[tuple[str, str]], patterns: Sequence[str], device: str) -> None:
    """Raise ValueError, naming what there is, if no subject (name, args) offers what is asked for."""
    if any(matching_implementations(name, patterns, device, args) for name, args in subjects):
        return
    every = (matching_implementations(name, ["*"], device, args) for name, args in subjects)
    offered = dict.fromkeys(choice for one in every for choice in one)
    raise ValueError(f"No subject here has the implementation {one_of(patterns)}. They have: {one_of(offered)}.")


def task_of(name: str) -> Task:
    """What a subject takes and gives.

    Raises:
        ValueError: if it is a factory that is not there, or names no task where it says so.
    """
    if name in TASKS:
        return TASKS[name]
    target = own_target(name)
    return (own_task(name, target) if target is not None else None) or IMAGES


def usual_resolution_of(name: str) -> int:
    """The size at which a subject is looked at where nobody says one; of a factory of the user's that of images."""
    return TASKS.get(name, IMAGES).usual_resolution


def _auto(operator: str, device: str) -> str:
    try:
        return select_implementation(operator, "auto", device).name
    except ValueError:  # planning for a device that this machine lacks
        return next(choice.name for choice in list_implementations(operator) if not choice.devices)


def require_supported(
    subject: Subject, implementation: str, device: str, training: bool, dtype: torch.dtype | None = None
) -> None:
    """Raise UnsupportedError, with the reason, if the implementation cannot run on the device, or not in this way."""
    if subject.operator is not None:
        try:
            select_implementation(subject.operator, implementation, device, training, dtype)
        except ValueError as error:
            raise UnsupportedError(str(error)) from error


def build_case(case: Case) -> nn.Module:
    """The model of a case, a layer, or an operator as a network without weights, on the current default device.

    Raises:
        UnsupportedError: if it does not take this size or implementation.
        ValueError: if the subject is unknown.
    """
    if (built := task_of(case.subject).build(case)) is not None:
        return built
    assert case.built_for is not None
    return build_subject(case.subject, case.implementation, case.built_for, args_of(case.args))


def build_subject(
    name: str, implementation: str, resolution: Resolution, args: Mapping[str, Any] | None = None
) -> nn.Module:
    """Build a model for inputs of `resolution` px, on the current default device.

    Args:
        name: the subject.
        implementation: of its operator.
        resolution: of its inputs, in px.
        args: further arguments of timm's `create_model`, or of the factory.

    Raises:
        UnsupportedError: if it does not take this resolution or implementation.
        ValueError: if the subject is unknown.
    """
    if target := own_target(name):
        return build_own(name, target, resolution, args)
    operator = describe(name, read_args(args or {})).operator
    model = _build_timm(name, resolution, args or {})
    if operator is not None:
        use_implementation(model, operator, implementation)
    return model


def _build_timm(name: str, resolution: Resolution, args: Mapping[str, Any]) -> nn.Module:
    side = resolution if isinstance(resolution, int) else sides_of(resolution, task_of(name).dimensions)
    try:
        return create_model(name, img_size=side, **args)
    except TypeError as error:
        if "img_size" not in str(error):
            raise
    except UnsupportedError:  # it says by itself what is wrong
        raise
    except (AssertionError, RuntimeError, ValueError) as error:
        raise UnsupportedError(
            f"{name} cannot be built for {resolution} px: {error}. Leave this resolution out."
        ) from error
    model = create_model(name, **args)  # models of any size take no img_size
    config: dict[str, Any] = getattr(model, "pretrained_cfg", {})
    size = read_resolution("x".join(map(str, config.get("input_size", (3, 224, 224))[1:])))
    if config.get("fixed_input_size") and size != resolution:
        raise UnsupportedError(f"{name} takes {size} px only; leave {resolution} px out.")
    return model


def require_buildable(name: str, resolutions: Sequence[Resolution], args: Mapping[str, Any] | None = None) -> None:
    """Raise ValueError, with advice, if a `package.module:factory` gives no model, or a model does not take `args`.

    So a mistyped name or argument ends before anything is measured.
    """
    if is_own(name):
        require_own(name, resolutions, args)
        return
    if not args:
        return
    called = with_args(name, read_args(args))
    if weights := [one for one in OF_WEIGHTS if one in args]:
        raise ValueError(f"{called}: every model is measured with seeded weights; leave {one_of(weights)} out.")
    (usual,) = resolve_implementations(name, [], "cpu", read_args(args))
    try:
        build_on_meta(lambda: build_subject(name, usual, resolutions[0], args))
    except (UnsupportedError, MemoryError, torch.OutOfMemoryError):
        return  # results, which the case's worker will find too
    except Exception as error:
        why = in_one_line(error).rstrip(".")
        raise ValueError(
            f"{called} cannot be built: {why}. Give args that timm.create_model({name!r}) takes."
        ) from error


@torch.no_grad()
def fill_weights(model: nn.Module, seed: int) -> None:
    """Fill every trained parameter with seeded values that keep activations near 1, so that each branch takes part.

    At the released initialisation ViG's GLA branch is below its norm's epsilon: a wrong operator would go unnoticed.
    Matrices get uniform values of variance 1 / fan_in, norms 1 +- 0.25, other vectors +- 0.1.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:  # a table that is what it is
            continue
        noise = torch.rand(parameter.shape, generator=generator, dtype=torch.float32) * 2 - 1
        if parameter.ndim >= 2:
            noise *= sqrt(3 / max(1, parameter[0].numel()))
        elif name.endswith("weight"):
            noise = 1 + 0.25 * noise
        else:
            noise *= 0.1
        parameter.copy_(noise)
    if isinstance(model, Model):
        model.settle_weights()
