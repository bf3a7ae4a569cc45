"""An operator on its own, as a module that an iteration, the gate and the memory pass can handle."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigbench.measure.cost import Cost, count_cost
from vigbench.measure.settings import DTYPES, SEED
from vigbench.ops.declaration import OperatorInfo, OperatorSubject
from vigbench.ops.gla import bidirectional_gla, bidirectional_gla_from_logits, gla
from vigbench.ops.registry import get_implementation, get_operator
from vigbench.subjects.operators import OPERATORS
from vigbench.suites.case import Case

DECAY_DIVISOR = 16.0  # of ViG's log-decays: logsigmoid(x) / 16


class Operator(nn.Module):
    """An operator and the tensors that it is applied to, which are its parameters: a network without weights.

    Each is (batch, length, heads, dim): q, k, v and a log-decay, or its logit, for each direction.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    g: Tensor
    g_fwd: Tensor
    g_bwd: Tensor

    def __init__(self, subject: OperatorSubject, implementation: str, scale: float, tensors: list[Tensor]) -> None:
        super().__init__()
        self.subject, self.implementation, self.scale = subject, implementation, scale
        # found here: a look-up in a call would break torch.compile's graph
        self.attend = (
            get_implementation("attention", implementation).load() if subject.operator == "attention" else None
        )
        names = ("q", "k", "v", "g") if subject.directions == 1 else ("q", "k", "v", "g_fwd", "g_bwd")
        for name, tensor in zip(names, tensors, strict=False):
            self.register_parameter(name, nn.Parameter(tensor))

    @property
    def declared(self) -> OperatorInfo:
        """What is known of it."""
        return get_operator(self.subject.operator)

    def forward(self, _: Tensor) -> Tensor:
        """(batch, length, heads, value_dim), in the dtype of v."""
        if self.attend is not None:
            out: Tensor = self.attend(self.q, self.k, self.v, self.scale, self.subject.causal)
            return out
        if self.subject.directions == 1:
            return gla(self.q, self.k, self.v, self.g, self.scale, implementation=self.implementation)
        inputs = (self.q, self.k, self.v, self.g_fwd, self.g_bwd)
        if self.subject.logits:
            return bidirectional_gla_from_logits(*inputs, DECAY_DIVISOR, self.scale, self.implementation)
        return bidirectional_gla(*inputs, self.scale, self.implementation)

    def cut(self, sequence: int, first: int, end: int) -> Operator:
        """The same on the tokens `first` to `end` of one sequence."""
        tensors = [x.detach()[sequence : sequence + 1, first:end].clone() for x in self.parameters()]
        return Operator(self.subject, self.implementation, self.scale, tensors).train(self.training)

    def reference(self) -> Operator:
        """The same by the reference implementation on the same values, in the reference's dtype."""
        tensors = [x.detach().to(getattr(torch, self.declared.reference_dtype)) for x in self.parameters()]
        return Operator(self.subject, self.declared.reference, self.scale, tensors)


def build_operator(case: Case) -> Operator:
    """The case's operator on seeded tensors, in its dtype, on its device.

    q, k, v are standard normal, log-decays logsigmoid(normal) / 16, as ViG's are before training. Fused attention takes
    equal dims only: there the narrower ones are filled up with zeros, which change no product.
    """
    shape, length = case.shape, case.length
    assert shape is not None
    assert length is not None
    subject = OPERATORS[case.subject]
    device = case.device.value  # drawn there: a long batch would take a CPU many seconds
    generator = torch.Generator(device).manual_seed(SEED)

    def normal(dim: int) -> Tensor:
        return torch.randn(case.batch_size, length, shape.heads, dim, generator=generator, device=device)

    tensors = [normal(dim) for dim in (shape.key_dim, shape.key_dim, shape.value_dim)]
    logits = [normal(shape.key_dim) for _ in range(subject.directions)]
    tensors += logits if subject.logits else [F.logsigmoid(x) / DECAY_DIVISOR for x in logits]
    if subject.operator == "attention" and shape.key_dim < shape.value_dim:
        tensors[:2] = [F.pad(x, (0, shape.value_dim - shape.key_dim)) for x in tensors[:2]]
    operator = Operator(subject, case.implementation, shape.key_dim**-0.5, tensors)
    return operator.to(dtype=DTYPES[case.precision]).train(case.phase.trains)


def make_output_gradient(case: Case) -> Tensor:
    """Where the backward pass starts, normal random, (batch, length, heads, value_dim); in inference of no token."""
    shape, length = case.shape, case.length
    assert shape is not None
    assert length is not None
    tokens = length if case.phase.trains else 0
    size = (case.batch_size, tokens, shape.heads, shape.value_dim)
    device = case.device.value
    gradient = torch.randn(size, generator=torch.Generator(device).manual_seed(SEED + 1), device=device)
    return gradient.to(DTYPES[case.precision])


def operator_cost(operator: Operator, case: Case) -> Cost:
    """What one sequence costs, forward, by definition and as the implementation does it; there are no weights."""
    shape, length = case.shape, case.length
    assert shape is not None
    assert length is not None
    macs = operator.subject.macs(length, *shape)
    cost = count_cost(operator.cut(0, 0, length), (0,))
    # torch's formula of fused attention knows no mask; what lies above the diagonal is skipped, but for part of a block
    materialises = get_implementation(operator.subject.operator, case.implementation).materialises
    skips = operator.subject.causal and not materialises
    executed = macs if skips else cost.executed_macs
    return replace(cost, macs=macs, executed_macs=executed, params=0, by_operator={operator.subject.operator: macs})
