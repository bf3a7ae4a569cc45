"""Operators that the rule counts as zero are known, in every form; what multiplies is not among them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from tests.measure.counted import flops_of
from vigbench.measure.counting_rule import FORMULAS, formula_of, is_zero_by_rule

FREE: dict[str, Callable[[Tensor], Any]] = {
    "scans": lambda x: (x.cumsum(-1), x.cumprod(-1), x.logcumsumexp(-1), x.cummax(-1), x.cummin(-1)),
    "tags that torch 2.9 lacks": lambda x: (F.leaky_relu(x), F.leaky_relu(x, inplace=True), x.any(), x.nansum()),
    "reductions": lambda x: (x.prod(), x.median(), x.norm(), x.logsumexp(0), torch.aminmax(x), x.trace()),
    "in place": lambda x: (F.mish(x, inplace=True), x.zero_(), x.abs_(), torch.ops.aten.gelu_(x), x.floor_divide_(2)),
    "into a tensor": lambda x: torch.add(x, x, out=torch.empty_like(x)),
    "lists": lambda x: torch._foreach_add([x, x], [x, x]),
    "gathering": lambda x: (x.scatter_add(0, torch.zeros_like(x).long(), x), x.index_add(0, torch.tensor([0]), x[:1])),
    "copies of views": lambda x: torch.ops.aten.permute_copy(x, [1, 0]),
    "padding": lambda x: [
        F.pad(x[None], (1, 1), mode=mode) for mode in ("constant", "reflect", "replicate", "circular")
    ],
    "order": lambda x: (x.unique(), x.nonzero(), torch.bucketize(x, x[0]), x.kthvalue(1), x[x > 0]),
    "embedding": lambda x: F.embedding_bag(torch.zeros(2, 2, dtype=torch.long), x),
    "weight norm": lambda x: nn.utils.parametrizations.weight_norm(nn.Linear(4, 4, bias=False)).weight,
    "outer products": lambda x: (
        torch.outer(x[0], x[0]),
        torch.addr(x, x[0], x[0]),
        torch.linalg.cross(x[:3].T, x[:3].T),
    ),
    "questions": lambda x: (x.sum().item(), torch.equal(x, x), torch._assert_async(x.isfinite().all())),
    "boxes": lambda x: (
        torchvision.ops.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1), 0.5),
        torchvision.ops.roi_align(x[None, None], [torch.tensor([[0.0, 0.0, 2.0, 2.0]])], 2),
    ),
    "fake quantisation": lambda x: torch.fake_quantize_per_tensor_affine(x, 0.1, 0, 0, 255),
    "random": lambda x: (torch.randperm(4), x.exponential_(), torch.multinomial(x.abs(), 2), F.dropout(x)),
    "losses": lambda x: F.ctc_loss(x[:, None].log_softmax(-1), torch.ones(1, 2, dtype=torch.long), (4,), (2,)),
    "steps of optimizers": lambda x: _step(x),
}
MULTIPLIES = """
    mm bmm matmul linear linear_backward einsum convolution _trilinear _sparse_sparse_matmul
    _fft_r2c linalg_inv_ex linalg_solve_triangular linalg_qr _linalg_svd linalg_matrix_exp
"""


def _step(x: Tensor) -> None:
    weight = nn.Parameter(torch.ones_like(x))
    (weight * x).sum().backward()
    for options in ({"fused": True}, {"foreach": True}):
        torch.optim.AdamW([weight], **options).step()  # type: ignore[arg-type, unused-ignore]


@pytest.mark.parametrize("kind", FREE)
def test_what_the_rule_counts_as_zero_is_known(kind: str) -> None:
    assert flops_of(FREE[kind], torch.randn(4, 4)) == {}


@pytest.mark.parametrize("name", MULTIPLIES.split())
def test_what_multiplies_is_not_free(name: str) -> None:
    packet = getattr(torch.ops.aten, name)
    assert not any(is_zero_by_rule(getattr(packet, overload)) for overload in packet.overloads())


def test_no_operator_is_both_free_and_counted() -> None:
    for packet in FORMULAS:
        assert formula_of(packet) is not None
        assert not any(is_zero_by_rule(getattr(packet, overload)) for overload in packet.overloads()), packet


def test_an_operator_of_a_stranger_is_not_free_whatever_its_name() -> None:
    library = torch.library.Library("vigbench_test", "FRAGMENT")
    library.define("softmax(Tensor x) -> Tensor")
    assert not is_zero_by_rule(torch.ops.vigbench_test.softmax.default)
