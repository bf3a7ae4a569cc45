"""Chunkwise ReGLA in plain PyTorch, for any device: GLA's chunks on features and log-decays."""

import torch

from vigbench.ops.gla import torch_chunk as gla
from vigbench.ops.gla.cost import chunk_macs, chunk_macs_backward
from vigbench.ops.regla.composed import Composed
from vigbench.ops.regla.operator import define_regla


def _summed_dtype(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


_composed = Composed(gla._forward, gla._backward, _summed_dtype)
torch_chunk = define_regla("torch_chunk", _composed.forward, _composed.backward, chunk_macs, chunk_macs_backward)
