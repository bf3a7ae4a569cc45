"""The largest costs in words: what it is, where it is, and what bounds it. Made from the numbers alone."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from vigbench.measure.ceilings import Ceilings
from vigbench.measure.profile.costs import OperatorCost
from vigbench.measure.profile.places import BACKWARD, OUTSIDE
from vigbench.measure.profile.times import OUTSIDE_OPERATORS

BOUNDED_FROM = 0.5  # of a ceiling: from here on an operator counts as bounded by it
FAR_BELOW, ABOVE = 0.25, 1.1  # of a ceiling
MOST_OWN = 0.7  # of an operator's time, beyond which those inside it explain nothing
LEAST_INSIDE = 0.05  # of an operator's time, to be named
SHORT_CALL_S = 20e-6  # a call this short is about as long as its start
_KINDS = {  # by name without namespace and outer underscores, "_backward" included: what people call it
    "addmm|mm|bmm|baddbmm|addmv|mv|matmul|linear|*_linear": "matrix products",
    "*convolution*|conv1d|conv2d|conv3d": "convolutions",
    "causal_conv*|conv_torch*|conv_triton*|conv_external*": "causal convolutions",
    "*scaled_dot_product*|*flash_attention*|*efficient_attention*": "softmax attention",
    "gla_*": "gated linear attention",
    "scalar_gla_*": "linear attention with scalar decays",
    "gsa_*": "gated slot attention",
    "regla_*": "ReGLA",
    "linear_attention_*|causal_linear_attention_*": "linear attention",
    "gated_delta_*": "gated delta rules",
    "scan_*": "selective scans",
    "biwkv_*": "Bi-WKV",
    "dilated_convs_*": "dilated convolutions",
    "*layer_norm*|*batch_norm*|*group_norm*|*rms_norm*|gated_norm*|norm_swish_gate*": "norms",
    "*softmax*": "softmax",
    "*pool*|*upsample*": "pooling and resampling",
    "gelu*|silu*|relu*|sigmoid*|log_sigmoid*|softplus*|tanh*|hard*|mish*|elu*|leaky_relu*": "activation functions",
    "copy|clone|to_copy|contiguous|cat|stack|constant_pad_nd|roll|flip|index*|gather|scatter*": "copying of data",
    "exp|exp2|expm1|log|log1p|log2|pow|sqrt|rsqrt|reciprocal|sin|cos|erf": "elementwise functions",
    "add|sub|rsub|mul|div|neg|abs|where|clamp*|maximum|minimum|masked_fill|lerp|addcmul|addcdiv|threshold_backward": (
        "elementwise arithmetic"
    ),
    "sum|mean|cumsum|amax|amin|max|min|argmax|var|var_mean|std|linalg_vector_norm": "reductions",
    "fill|zero|zeros*|ones*|full*|arange": "filling of memory",
}


def kind_of(operator: str) -> str:
    """What people call the work of an operator; its own name where that is not known."""
    name = operator.rpartition("::")[2].strip("_")
    for patterns, kind in _KINDS.items():
        if any(fnmatchcase(name, pattern) for pattern in patterns.split("|")):
            return kind
    return operator


def largest_costs(
    costs: Sequence[OperatorCost], ceilings: Ceilings, precision: str, *, on_cuda: bool, most: int = 5
) -> list[str]:
    """A sentence for each of the largest costs.

    Args:
        costs: largest first.
        ceilings: of this device.
        precision: whose matrix rate is the ceiling, as `Case.arithmetic` names it.
        on_cuda: whether times are those of kernels.
    """
    trains = any(cost.backward for cost in costs)
    of_what = "kernel time" if on_cuda else "time"
    return [
        f"{percent(cost.share)} of the {of_what} "
        f"{_operator(cost, ceilings, precision) if cost.is_operator else _between(cost, trains, on_cuda)}."
        for cost in costs[:most]
    ]


def _operator(cost: OperatorCost, ceilings: Ceilings, precision: str) -> str:
    kind, where = kind_of(cost.operator), where_in_words(cost.group)
    backward = "backward, " if cost.backward else ""
    calls = f"{backward}{cost.calls:,.0f} call{'s' * (round(cost.calls) != 1)}"
    what = f"{kind} ({where}, {calls})" if kind == cost.operator else f"{kind} ({cost.operator} {where}, {calls})"
    unknown = "" if cost.known else "; no formula gives its multiply-adds, which count as 0"
    return f"goes to {what}, {_bound(cost, ceilings, precision)}{unknown}"


def where_in_words(group: str) -> str:
    """`in blocks.*.attn`; what has no module, and the model itself, have words of their own."""
    if group in (OUTSIDE, BACKWARD):
        return "outside the model" if group == OUTSIDE else "in the backward pass, of no module"
    return f"in {group}" if group else "in the model itself"


def _between(cost: OperatorCost, trains: bool, on_cuda: bool) -> str:
    outside = cost.operator == OUTSIDE_OPERATORS
    if on_cuda:
        what = "goes to kernels that " + (
            "no operator launched" if outside else "operators launched on the way to others"
        )
    elif outside:
        parts = ["in Python between them", *(["in autograd's engine"] if trains else []), "in what the profiler adds"]
        what = f"passes outside operators: {', '.join(parts[:-1])} and {parts[-1]}"
    else:
        what = "passes in composite operators, on the way to the operators that they call"
    if cost.group_share > 0.5:
        what += f"; {percent(cost.group_share)} of it {where_in_words(cost.group)}"
    return what


def _bound(cost: OperatorCost, ceilings: Ceilings, precision: str) -> str:
    if not cost.counted:
        return "which ran otherwise when FLOPs and bytes were counted, so that its rates are unknown"
    if not cost.moved and not cost.flops:
        return "which computes and moves nothing: all of it is the overhead of calls"
    arithmetic, memory = shares_of_ceilings(cost, ceilings, precision)
    rate = f"at {percent(arithmetic)} of this device's {precision} matrix rate"
    copy = f"{percent(memory)} of a copy's bandwidth"
    nearest = max(arithmetic, memory)
    if nearest < BOUNDED_FROM:
        how_far = "far from" if nearest < FAR_BELOW else "short of"
        return (f"{rate} and {copy}: {how_far} both" if cost.flops else f"at {copy}: {how_far} it") + _reason(cost)
    if arithmetic >= memory:
        if arithmetic > ABOVE:
            return f"{rate}: it executes fewer multiply-adds than counted, or others disturbed the measured rate"
        return f"{rate}: bounded by arithmetic"
    if memory > ABOVE:
        return f"at {copy}: more than memory gives, so that its data come from caches"
    return f"at {copy}: bounded by memory"


def _reason(cost: OperatorCost) -> str:
    """What the numbers say about an operator that is far from the ceilings."""
    own = 1 - sum(share for _, share in cost.inside)
    if own <= MOST_OWN or (cost.calls_inside and not cost.operator.startswith("aten::")):
        between = [("between them", own)] if not cost.operator.startswith("aten::") else []
        parts = sorted([*cost.inside, *between], key=lambda part: -part[1])
        large = ", ".join(f"{percent(share)} {name}" for name, share in parts[:3] if share >= LEAST_INSIDE)
        each = cost.seconds / cost.calls_inside
        most = f": {large}" if large else ""
        return f"; inside it are {cost.calls_inside:,.0f} operator calls, one every {_duration(each)}{most}"
    call_s = cost.seconds / cost.calls if cost.calls else 0.0
    if 0 < call_s < SHORT_CALL_S:
        return f", since a call takes {_duration(call_s)}, hardly more than its start"
    return ""


def shares_of_ceilings(cost: OperatorCost, ceilings: Ceilings, precision: str) -> tuple[float, float]:
    """Achieved FLOPs over the matrix rate in this precision, and achieved bytes over a copy's bandwidth."""
    return cost.tflop_per_s / ceilings.product_tflop_per_s[precision], cost.gb_per_s / ceilings.copy_gb_per_s


def _duration(seconds: float) -> str:
    return f"{1e6 * seconds:.2g} us" if seconds < 99.5e-6 else f"{1e3 * seconds:.2g} ms"


def percent(share: float) -> str:
    """`41%`; below 1 percent with one digit more."""
    return f"{100 * share:.0f}%" if share >= 0.0095 else f"{100 * share:.1f}%" if share >= 0.0005 else "under 0.1%"
