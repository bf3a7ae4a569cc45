"""Softmax attention, on its own and inside timm's models: which code computes it."""

from vigbench.ops.attention.timm_switch import attention_modules, set_attention
from vigbench.ops.registry import Implementation, register

register(
    Implementation(
        operator="attention",
        name="sdpa",
        description="torch's scaled_dot_product_attention: fused, the score matrix never reaches memory",
        target="vigbench.ops.attention.softmax:sdpa",
        must_run=("aten::_scaled_dot_product_*attention*",),
    )
)
register(
    Implementation(
        operator="attention",
        name="eager",
        description="two matrix products and a softmax; the score matrix is materialised",
        target="vigbench.ops.attention.softmax:eager",
        must_run=("aten::bmm",),
        must_not_run=("aten::_scaled_dot_product_*", "aten::scaled_dot_product_attention"),
    )
)

__all__ = ["attention_modules", "set_attention"]
