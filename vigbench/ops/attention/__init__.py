"""Softmax attention, on its own and inside timm's models: which code computes it."""

from vigbench.ops.attention.timm_switch import attention_modules, set_attention
from vigbench.ops.registry import Implementation, register

_MATERIALISED = ("aten::bmm", "aten::_softmax")
_SDPA = ("aten::_scaled_dot_product_*", "aten::scaled_dot_product_attention")

register(
    Implementation(
        operator="attention",
        name="sdpa",
        repeatable=False,
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
        must_not_run=_SDPA,
    )
)
register(
    Implementation(
        operator="attention",
        name="sdpa_flash",
        repeatable=False,
        description="the same, by its FlashAttention-2 backend (on a CPU by the flash kernel for CPUs)",
        target="vigbench.ops.attention.softmax:sdpa_flash",
        half_only=("cuda",),
        must_run=("aten::_scaled_dot_product_flash_attention*",),
    )
)
register(
    Implementation(
        operator="attention",
        name="sdpa_efficient",
        repeatable=False,
        description="the same, by its memory-efficient backend (CUTLASS)",
        target="vigbench.ops.attention.softmax:sdpa_efficient",
        devices=("cuda",),
        must_run=("aten::_scaled_dot_product_efficient_attention",),
    )
)
register(
    Implementation(
        operator="attention",
        name="sdpa_cudnn",
        repeatable=False,
        description="the same, by cuDNN: the strongest of torch's own on Hopper",
        target="vigbench.ops.attention.softmax:sdpa_cudnn",
        devices=("cuda",),
        half_only=("cuda",),
        must_run=("aten::_scaled_dot_product_cudnn_attention",),
    )
)
register(
    Implementation(
        operator="attention",
        name="sdpa_math",
        repeatable=False,
        description="the same, by its plain backend: materialises the score matrix",
        target="vigbench.ops.attention.softmax:sdpa_math",
        must_run=("aten::_scaled_dot_product_attention_math",),
    )
)
register(
    Implementation(
        operator="attention",
        name="flex",
        float64=False,
        repeatable=False,
        description="torch's flex_attention, compiled: Triton on CUDA; on a CPU C++, with the scores in memory",
        target="vigbench.ops.attention.flex:flex",
        inference_only=("cpu",),
        must_run_on_cuda=("*flex_attention*",),
        must_not_run=(*_MATERIALISED, *_SDPA),
    )
)
register(
    Implementation(
        operator="attention",
        name="flash_attn",
        repeatable=False,
        description="FlashAttention-2 by the flash-attn package",
        target="vigbench.ops.attention.external:flash_attn",
        requires=("flash_attn", "flash_attn_2_cuda"),
        devices=("cuda",),
        half_only=("cuda",),
        must_run=("*flash_fwd*",),
        must_not_run=(*_MATERIALISED, *_SDPA),
    )
)
register(
    Implementation(
        operator="attention",
        name="flash_attn_4",
        repeatable=False,
        description="FlashAttention-4 by the flash-attn-4 package",
        target="vigbench.ops.attention.external:flash_attn_4",
        requires=("flash_attn.cute",),
        devices=("cuda",),
        half_only=("cuda",),
        must_run=("*FlashAttentionForward*",),
        must_not_run=(*_MATERIALISED, *_SDPA),
    )
)

__all__ = ["attention_modules", "set_attention"]
