"""vigbench's own models: importing this registers them with timm, and lets timm read released checkpoints."""

from vigbench.models import vig, vig_h, vim, vrwkv, weights

__all__ = ["vig", "vig_h", "vim", "vrwkv", "weights"]
