"""Operators that the counting rule of docs/measurement.md counts as zero: elementwise, norms, losses, data movement.

Most elementwise operators and reductions carry a tag, and views say so themselves; the rest is named here.
"""

from __future__ import annotations

from functools import cache

import torch
from torch._ops import OpOverload, OpOverloadPacket

_NAMESPACES = ("aten", "prims", "prim", "torchvision")

_ELEMENTWISE = """
    add_relu addr complex dequantize floor_divide fused_dropout glu glu_backward_jvp glu_jvp hardswish leaky_relu
    linalg_cross log_sigmoid masked_scale native_dropout polar prelu prelu_kernel quantize_per_channel
    quantize_per_tensor quantize_per_tensor_dynamic rrelu_with_noise rrelu_with_noise_functional
    transform_bias_rescale_qkv zero
"""
_REDUCTIONS_AND_SCANS = """
    all amax amin aminmax any argmax argmin count_nonzero dist hash_tensor kthvalue linalg_vector_norm logsumexp max
    mean median min mode nanmedian nansum norm prod segment_reduce std std_mean sum trace var var_mean
    cummax cummax_helper cummin cummin_helper cumprod cumsum logcumsumexp
"""
_LOSSES = """
    binary_cross_entropy binary_cross_entropy_with_logits ctc_loss cudnn_ctc_loss huber_loss mse_loss multi_margin_loss
    multilabel_margin_loss nll_loss nll_loss2d smooth_l1_loss soft_margin_loss
"""
_DATA_MOVEMENT = """
    as_strided block_diag cat chunk_cat clone coalesce contiguous copy detach diag_embed dropout embedding
    embedding_bag embedding_bag_dense embedding_bag_forward_only embedding_dense fill flip gather im2col col2im
    index index_add index_copy index_fill index_put index_put_impl index_reduce index_select lazy_clone lift
    lift_fresh lu_unpack masked_fill masked_scatter masked_select pack_padded_sequence pin_memory put repeat
    repeat_interleave reshape_alias resize roll rot90 scatter scatter_add scatter_reduce select set slice split
    split_with_sizes stack take to_copy to_dense to_padded_tensor to_sparse to_sparse_csr tril triu unfold
    unsafe_index unsafe_index_put unsafe_masked_index unsafe_masked_index_put_accumulate unsafe_split
    unsafe_split_with_sizes unsafe_view as_strided_scatter diagonal_scatter select_scatter slice_scatter
"""
_SORTING_AND_SEARCH = """
    bincount bucketize histc histogram isin nms nonzero nonzero_static qnms searchsorted sort topk unique unique2
    unique_consecutive unique_dim unique_dim_consecutive
"""
_RANDOM = """
    bernoulli binomial cauchy exponential geometric log_normal multinomial normal normal_functional poisson random
    sample_dirichlet standard_gamma uniform
"""
_QUESTIONS = """
    allclose equal fused_sdp_choice is_all_true is_any_true is_coalesced is_pinned is_same_size is_set_to
    linalg_check_errors local_scalar_dense record_stream
"""
_NAMES = frozenset(
    " ".join(
        (_ELEMENTWISE, _REDUCTIONS_AND_SCANS, _LOSSES, _DATA_MOVEMENT, _SORTING_AND_SEARCH, _RANDOM, _QUESTIONS)
    ).split()
)

_NORMS = "batch_norm group_norm instance_norm layer_norm normalize renorm rms_norm softmax weight_norm"
_RESAMPLING = "channel_shuffle grid_sampler pixel_shuffle pixel_unshuffle pool roi_align upsample"
_GATES_AND_ROUNDING = "fake_quantize thnn_fused"
_PARTS_OF_NAMES = tuple(" ".join((_NORMS, _RESAMPLING, _GATES_AND_ROUNDING)).split())

_PADDING = "constant_pad nested_ reflection_pad replication_pad"
_CREATION = """
    arange empty eye fft_fftfreq fft_rfftfreq full linspace logspace new_ ones rand range scalar_tensor tril_indices
    triu_indices zeros
"""
_CHECKS = "assert functional_assert functional_sym_constrain_range sym_constrain_range"
_STEPS_OF_OPTIMIZERS = "amp_foreach amp_update_scale fused_adagrad fused_adam fused_sgd"
_BEGINNINGS_OF_NAMES = tuple(" ".join((_PADDING, _CREATION, _CHECKS, _STEPS_OF_OPTIMIZERS)).split())


@cache
def is_zero_by_rule(operator: OpOverload) -> bool:
    """Whether the rule counts this operator as zero.

    One in place, on lists of tensors, with a copy instead of a view, or a backward, is what its plain forward is. What
    is neither this nor has a formula is unknown, and is named.
    """
    if operator.namespace not in _NAMESPACES:
        return False
    plain = operator.overloadpacket.__name__.removeprefix("_foreach_").strip("_")
    forward = plain.removesuffix("_backward").removesuffix("_forward").removesuffix("_copy")
    return (
        not _NAMES.isdisjoint((plain, forward))
        or plain.startswith(_BEGINNINGS_OF_NAMES)
        or plain.endswith("_window")
        or any(part in plain for part in _PARTS_OF_NAMES)
        or any(_is_tagged(packet) for packet in _forms(operator, plain, forward))
    )


def _forms(operator: OpOverload, *names: str) -> list[OpOverloadPacket]:
    found = (getattr(torch.ops.aten, name, None) for name in names)
    return [operator.overloadpacket, *(packet for packet in found if packet is not None)]


def _is_tagged(packet: OpOverloadPacket) -> bool:
    """Whether any of its overloads is a view, elementwise or a reduction; those that write to `out` never say so."""
    tags = {torch.Tag.pointwise, getattr(torch.Tag, "reduction", torch.Tag.pointwise)}  # newer than torch 2.9
    overloads = (getattr(packet, name) for name in packet.overloads())
    return any(overload.is_view or not tags.isdisjoint(overload.tags) for overload in overloads)
