"""Softmax attention, on its own and inside timm's models: which code computes it."""

from typing import TYPE_CHECKING

from vigbench.ops.declaration import (
    DASH_DOT_DOT,
    DASHED,
    DOTTED,
    KEYS,
    SHORT_DASHED,
    VALUES,
    Implementation,
    Input,
    Limit,
    OperatorInfo,
    OperatorSubject,
)
from vigbench.ops.lazy import lazy_attributes
from vigbench.ops.registry import register_operator

if TYPE_CHECKING:
    from vigbench.ops.attention.sequence_parallel import sequence_parallel_attention
    from vigbench.ops.attention.timm_switch import attention_modules, set_attention

_MATERIALISED = ("aten::bmm", "aten::_softmax")
_SDPA = ("aten::_scaled_dot_product_*", "aten::scaled_dot_product_attention")
# zeros change no product, and fused attention takes equal dims only
_OVER_RANKS = "vigbench.ops.attention.sequence_parallel:sequence_parallel_attention"
_EQUAL_DIMS = (Input("q", KEYS, filled="value_dim"), Input("k", KEYS, filled="value_dim"), Input("v", VALUES))

register_operator(
    OperatorInfo(
        name="attention",
        title="Attention",
        implementations=(
            Implementation(
                name="sdpa",
                description="torch's scaled_dot_product_attention: fused, the score matrix never reaches memory",
                target="vigbench.ops.attention.softmax:sdpa",
                repeatable=False,
                must_run=("aten::_scaled_dot_product_*attention*",),
            ),
            Implementation(
                name="eager",
                description="two matrix products and a softmax; the score matrix is materialised",
                target="vigbench.ops.attention.softmax:eager",
                materialises=True,
                must_run=("aten::bmm",),
                must_not_run=_SDPA,
                dash=DASHED,
            ),
            Implementation(
                name="sdpa_flash",
                description="the same, by its FlashAttention-2 backend (on a CPU by the flash kernel for CPUs)",
                target="vigbench.ops.attention.softmax:sdpa_flash",
                repeatable=False,
                half_only=("cuda",),
                must_run=("aten::_scaled_dot_product_flash_attention*",),
                dash=DOTTED,
            ),
            Implementation(
                name="sdpa_efficient",
                description="the same, by its memory-efficient backend (CUTLASS)",
                target="vigbench.ops.attention.softmax:sdpa_efficient",
                repeatable=False,
                devices=("cuda",),
                must_run=("aten::_scaled_dot_product_efficient_attention",),
                dash=DASH_DOT_DOT,
            ),
            Implementation(
                name="sdpa_cudnn",
                description="the same, by cuDNN: the strongest of torch's own on Hopper",
                target="vigbench.ops.attention.softmax:sdpa_cudnn",
                repeatable=False,
                devices=("cuda",),
                half_only=("cuda",),
                must_run=("aten::_scaled_dot_product_cudnn_attention",),
                dash=(6, 1.2),
            ),
            Implementation(
                name="sdpa_math",
                description="the same, by its plain backend: materialises the score matrix",
                target="vigbench.ops.attention.softmax:sdpa_math",
                repeatable=False,
                materialises=True,
                must_run=("aten::_scaled_dot_product_attention_math",),
                dash=(4, 1.2, 1.2, 1.2),
            ),
            Implementation(
                name="blockwise",
                description="plain products with blocks of keys, one after another: what a rank does of a cut sequence",
                target="vigbench.ops.attention.sequence_parallel:blockwise",
                materialises=True,
                must_run=("aten::bmm",),
                must_not_run=_SDPA,
                dash=(1.2, 2.4),
            ),
            Implementation(
                name="flex",
                description="torch's flex_attention, compiled: Triton on CUDA; on a CPU C++, with the scores in memory",
                target="vigbench.ops.attention.flex:flex",
                float64=False,
                repeatable=False,
                inference_only=("cpu",),
                must_run_on_cuda=("*flex_attention*",),
                must_not_run=(*_MATERIALISED, *_SDPA),
                dash=DASH_DOT_DOT,
            ),
            Implementation(
                name="flash_attn",
                description="FlashAttention-2 by the flash-attn package",
                target="vigbench.ops.attention.external:flash_attn",
                repeatable=False,
                requires=("flash_attn", "flash_attn_2_cuda"),
                devices=("cuda",),
                half_only=("cuda",),
                must_run=("*flash_fwd*",),
                must_not_run=(*_MATERIALISED, *_SDPA),
                dash=SHORT_DASHED,
            ),
            Implementation(
                name="flash_attn_4",
                description="FlashAttention-4 by the flash-attn-4 package",
                target="vigbench.ops.attention.external:flash_attn_4",
                repeatable=False,
                requires=("flash_attn.cute",),
                devices=("cuda",),
                half_only=("cuda",),
                must_run=("*FlashAttentionForward*",),
                must_not_run=(*_MATERIALISED, *_SDPA),
                dash=(2.4, 1.2, 1.2, 1.2),
            ),
        ),
        reference="eager",
        reference_dtype="float32",
        # eager rounds its scores to that precision
        tolerance={"float32": 1e-5, "bfloat16": 3e-2, "float16": 4e-3, "float64": 1e-10},
        samples="vigbench.ops.attention.samples:samples",
        longest=Limit(4096, 4096),  # its reference holds all scores in memory
        subjects=(
            OperatorSubject(
                "attention",
                title="Attention",
                family="deit",
                directions=0,
                description="softmax attention of every token with every other",
                inputs=_EQUAL_DIMS,
                over_ranks=_OVER_RANKS,
                over_ranks_by="blockwise",
            ),
            OperatorSubject(
                "causal_attention",
                title="Causal attention",
                family="deit",
                directions=0,
                description="softmax attention of every token with those before it",
                inputs=_EQUAL_DIMS,
                causal=True,
                over_ranks=_OVER_RANKS,
                over_ranks_by="blockwise",
            ),
        ),
    )
)

__all__ = ["attention_modules", "sequence_parallel_attention", "set_attention"]
__getattr__ = lazy_attributes(__name__, "timm_switch", __all__, {"sequence_parallel_attention": "sequence_parallel"})
