"""What is known of an operator and of its implementations, said once. Nothing here imports torch: reports read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.util import find_spec
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch

DISTRIBUTIONS = {  # what to install, where it is not called like the module
    "fla": "flash-linear-attention",
    "flash_attn_2_cuda": "flash-attn",
    "flash_attn.cute": "--pre flash-attn-4",
    "selective_scan_cuda": "mamba-ssm",
    "flash_bla": "git+https://github.com/fla-org/flash-bidirectional-linear-attention",
}
DASHED, SHORT_DASHED, DOTTED = (4, 2), (2.4, 1.2), (1.2, 1.6)
LONG_DASHED = (8, 1.6)
DASH_DOT, DASH_DOT_DOT = (6, 1.6, 1.2, 1.6), (3, 1.4, 1.2, 1.4, 1.2, 1.4)

Target = str | Callable[..., Any]
"""A function, or "package.module:function", which is imported on first use."""


class Limit(NamedTuple):
    """The largest size at which something takes seconds, without and with gradients."""

    inference: int
    training: int

    def of(self, trains: bool) -> int:
        """The one that holds."""
        return self.training if trains else self.inference


class Promise(NamedTuple):
    """Glob patterns of torch operators (`aten::bmm`) and CUDA kernels that a profile has to show, or must not show."""

    must_run: tuple[str, ...]
    must_not_run: tuple[str, ...]


@dataclass(frozen=True)
class Implementation:
    """Code that computes an operator, what it needs to run, and how it shows.

    Attributes:
        operator: filled in by the operator's declaration.
        target: what computes it; a name is imported on first use, so that listing needs no optional package.
        own: whether it runs as torch operator `vigbench::<operator>_<name>`, and in no other's place.
        variants: of an own one: forms of its inputs F that it computes as `vigbench::<operator>_<name>_<F>`.
        fused_blocks: whether the blocks around the operator in a model (causal_conv, gated norms) run in Triton, too.
        whole_block: whether a model's block around the operator is fused, too, its norms, convolution, MLP and sums: it
            is a way to compute a model, and no other way to compute the operator.
        devices: torch device types; empty: any.
        half_only: devices on which it takes float16 and bfloat16 only.
        training, inference_only: whether it has a backward; devices on which it has none.
        float64: whether it takes double precision.
        infinite_decay: whether log-decays of -inf (a state is forgotten) are among its inputs, where there are decays.
        repeatable: whether the same inputs give the same bits again, gradients included.
        tf32: whether its float32 products go through TF32, whatever is asked for.
        materialises: whether it computes every score, also those above a causal diagonal.
        check: says why an installed package cannot run here, or None.
        must_run, must_not_run: of its promise what is not derived: kernels, and operators that are not vigbench's.
        must_run_on_cuda: more of the first kind.
        dash: of its curves, lengths of ink and gap in points; empty: a solid line.
    """

    name: str
    description: str
    target: Target
    requires: tuple[str, ...] = ()
    own: bool = False
    variants: tuple[str, ...] = ()
    fused_blocks: bool = False
    whole_block: bool = False
    devices: tuple[str, ...] = ()
    half_only: tuple[str, ...] = ()
    training: bool = True
    inference_only: tuple[str, ...] = ()
    float64: bool = True
    infinite_decay: bool = True
    repeatable: bool = True
    tf32: bool = False
    materialises: bool = False
    check: Target | None = None
    must_run: tuple[str, ...] = ()
    must_run_on_cuda: tuple[str, ...] = ()
    must_not_run: tuple[str, ...] = ()
    dash: tuple[float, ...] = ()
    operator: str = ""

    def unsupported_reason(self, device: str | torch.device, dtype: torch.dtype | None = None) -> str | None:
        """Why it cannot run on this device, in words a person can act on; None where it can. "meta" always can.

        `dtype` is that of the inputs; None: any that it takes.
        """
        kind = device_type(device)
        if kind == "meta":
            return None
        if missing := [package for package in self.requires if not _is_installed(package)]:
            names = " ".join(dict.fromkeys(DISTRIBUTIONS.get(name, name.replace("_", "-")) for name in missing))
            verb = "is" if len(missing) == 1 else "are"
            return f"{', '.join(missing)} {verb} not installed: pip install {names}"
        if self.devices and kind not in self.devices:
            return (
                f"{self.name} runs on {', '.join(self.devices)}, not on {kind}: choose another device or implementation"
            )
        return self._refused_by(kind, dtype)

    def _refused_by(self, kind: str, dtype: torch.dtype | None) -> str | None:
        import torch

        if kind == "cuda" and not torch.cuda.is_available():
            tool, variable = ("rocm-smi", "HIP") if torch.version.hip else ("nvidia-smi", "CUDA")
            return f"no CUDA device is visible: check {tool} and {variable}_VISIBLE_DEVICES"
        if dtype == torch.float64 and not self.float64:
            return f"{self.name} takes no float64: choose an implementation that does"
        if kind in self.half_only and dtype not in (None, torch.float16, torch.bfloat16):
            return f"{self.name} takes half precision only on {kind}: choose bfloat16 or float16"
        return None if self.check is None else str(reason) if (reason := load_target(self.check)()) else None

    def own_operators(self) -> Iterator[str]:
        """The torch operators that run where it does, and only there; none of a package's own code."""
        for variant in ("", *self.variants) if self.own else ():
            name = "_".join(filter(None, (self.operator, self.name, variant)))
            yield from (f"vigbench::{name}", f"vigbench::{name}_backward")

    def load(self) -> Callable[..., Any]:
        """The function itself, imported now."""
        return load_target(self.target)


class Input(NamedTuple):
    """An input of an operator that is measured on its own.

    Attributes:
        name: of it.
        dims: its sizes after batch and length: names of `Shape`'s sizes, or numbers.
        drawn: what standard normal numbers become, a function; empty: they are it. See `draws.py`.
        per_token: whether tokens have their own; else `dims` are all that there are.
        filled: with zeros, up to as many channels, where there are fewer: a name of a size; empty: not at all.
    """

    name: str
    dims: tuple[str | int, ...]
    drawn: Target = ""
    per_token: bool = True
    filled: str = ""

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Its sizes after batch and length."""
        return tuple(sizes[dim] if isinstance(dim, str) else dim for dim in self.dims)


KEYS, VALUES = ("heads", "key_dim"), ("heads", "value_dim")
QKV = (Input("q", KEYS), Input("k", KEYS), Input("v", VALUES))


@dataclass(frozen=True)
class OperatorSubject:
    """A way to call an operator that is measured on its own, beside models.

    Attributes:
        title: its name in pictures and tables.
        family: of models, whose token mixer it is: its colour.
        directions: in which the sequence is scanned; 0: every token sees every other.
        inputs: of the call, in order. The output is (batch, length, heads, value_dim).
        call: a function of them and `implementation`; empty: the implementation itself is called with them, the scale
            of the scores and whether they are causal.
        token_macs: multiply-adds of a token and direction (directions 0: of all tokens together), forward, by the
            counting rule of docs/measurement.md, from heads, key_dim and value_dim; None: softmax attention's, of every
            pair of tokens that see one another.
        memory: tokens after which nothing is left of what one has written, whatever is drawn; None: something may be.
        causal: of attention: whether a token sees only itself and those before it.
        over_ranks: the same call of this rank's tokens, a function of the inputs, `scale`, `group` and `exchange`, and
            of `implementation` (where there is a `call`) or `causal`; empty: it is not cut over ranks.
        over_ranks_by: the implementation that this is; empty: the one that it is given.
        operator: filled in by the operator's declaration.
    """

    name: str
    title: str
    family: str
    directions: int
    description: str
    inputs: tuple[Input, ...]
    call: Target = ""
    token_macs: Callable[[int, int, int], int] | None = None
    memory: int | None = None
    causal: bool = False
    over_ranks: Target = ""
    over_ranks_by: str = ""
    operator: str = ""

    def macs(self, length: int, heads: int, key_dim: int, value_dim: int) -> int:
        """Multiply-adds of one sequence, forward, by the counting rule of docs/measurement.md."""
        if self.token_macs is None:
            pairs = length * (length + 1) // 2 if self.causal else length * length
            return heads * pairs * (key_dim + value_dim)
        return max(1, self.directions) * length * self.token_macs(heads, key_dim, value_dim)

    def input_elements(self, heads: int, key_dim: int, value_dim: int) -> int:
        """Numbers in the inputs of one token."""
        sizes = {"heads": heads, "key_dim": key_dim, "value_dim": value_dim}
        return sum(prod(each.shape(sizes)) for each in self.inputs if each.per_token)


@dataclass(frozen=True)
class OperatorInfo:
    """An operator, everything that is known of it but its code.

    Attributes:
        title: its name in pictures.
        implementations: in order of preference: "auto" is the first that is supported.
        reference: the implementation that models and calls are compared with before they are timed.
        tolerance: by precision: largest difference / largest value of the reference, of output and each gradient.
        samples: what it is checked on: (device, dtype) -> Samples.
        reference_dtype: what the reference computes an operator on its own in; a model's computes in float32.
        check_reference: what its implementations are compared with in float64 on `samples`; default: `reference`.
        largest_px: of images on which a model is compared with the reference; None: whatever fits in memory.
        longest: sequences on which the operator on its own is compared with the reference.
        subjects: its calls that are measured on their own.
    """

    name: str
    title: str
    implementations: tuple[Implementation, ...]
    reference: str
    tolerance: Mapping[str, float] = field(hash=False)
    samples: Target
    reference_dtype: str = "float64"
    check_reference: str = ""
    largest_px: Limit | None = None
    longest: Limit | None = None
    subjects: tuple[OperatorSubject, ...] = ()

    def __post_init__(self) -> None:
        def ours(parts: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(replace(part, operator=self.name) for part in parts)

        object.__setattr__(self, "implementations", ours(self.implementations))
        object.__setattr__(self, "subjects", ours(self.subjects))
        object.__setattr__(self, "check_reference", self.check_reference or self.reference)
        names = self.names
        assert len(set(names)) == len(names), f"{self.name} declares an implementation twice"
        assert "auto" not in names, "'auto' is a choice among implementations, not one of them"
        assert {self.reference, self.check_reference} <= {*names}, f"{self.name} has a reference that is not declared"

    @property
    def names(self) -> tuple[str, ...]:
        """Of its implementations."""
        return tuple(implementation.name for implementation in self.implementations)

    def promise(self, name: str, device: str) -> Promise:
        """What a profile of an implementation has to show and must not show: the proof that the label is what ran.

        vigbench's own code runs as torch operators named after it, so that none of the others' may run.
        """
        label = self.implementations[self.names.index(name)]
        mine = (f"vigbench::{self.name}_{name}{'*' if label.variants else ''}",) if label.own else ()
        others = tuple(ran for other in self.implementations if other is not label for ran in other.own_operators())
        on_cuda = label.must_run_on_cuda if device_type(device) == "cuda" else ()
        return Promise((*mine, *label.must_run, *on_cuda), (*others, *label.must_not_run))


def device_type(device: str | torch.device) -> str:
    """`cuda` of `cuda:0`."""
    return str(device).partition(":")[0]


def load_target(target: Target) -> Callable[..., Any]:
    """The function that is meant, imported now."""
    if not isinstance(target, str):
        return target
    module, _, function = target.partition(":")
    loaded: Callable[..., Any] = getattr(import_module(module), function)
    return loaded


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of a part of a package that is not there at all
        return False
