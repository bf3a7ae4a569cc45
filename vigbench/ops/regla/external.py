"""The peer: flash-linear-attention's chunk_gla, fed with features and log-decays. It has no kernel of ReGLA's."""

import torch
from torch import Tensor

from vigbench.ops.gla.external import fla as gla
from vigbench.ops.regla.features import KEYS, QUERIES, features, log_decay_of


def fla(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    x_fwd: Tensor | None,
    y_fwd: Tensor | None,
    x_bwd: Tensor | None,
    y_bwd: Tensor | None,
    scale: float,
) -> Tensor:
    """chunk_gla each way (`vigbench.ops.gla.external`), between elementwise functions; autograd is PyTorch's.

    Features in the dtype of v, as chunk_gla wants them; log-decays, which are finite for finite logits, in float32.
    """
    queries, keys = (features(x.float(), over).to(v.dtype) for x, over in ((q, QUERIES), (k, KEYS)))
    g_fwd, g_bwd = (log_decay_of(x, y, torch.float32) for x, y in ((x_fwd, y_fwd), (x_bwd, y_bwd)))
    return gla(queries, keys, v, g_fwd, g_bwd, scale)
