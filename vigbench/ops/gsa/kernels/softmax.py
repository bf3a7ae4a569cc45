"""Through the softmax over the slots: gradients of logits from those of probabilities."""

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["tokens"])
def through_softmax(p, dp, out, tokens, slots: tl.constexpr, block: tl.constexpr, rows: tl.constexpr):
    """p (dp - sum of p dp), all of them (tokens, slots), contiguous, float32. Grid: (blocks of tokens,).

    The sum is taken off twice: p sums to 1 but for rounding, and the keys of the slots, which gradients of logits meet,
    are much alike.
    """
    row, column = tl.program_id(0).to(tl.int64) * rows + tl.arange(0, rows), tl.arange(0, block)
    at = row[:, None] * slots + column[None, :]
    mask = (row < tokens)[:, None] & (column < slots)[None, :]
    weights, grad = tl.load(p + at, mask=mask, other=0.0), tl.load(dp + at, mask=mask, other=0.0)
    for _ in tl.static_range(2):
        grad -= tl.sum(weights * grad, 1)[:, None]
    tl.store(out + at, weights * grad, mask=mask)
