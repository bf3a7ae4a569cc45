"""vigbench's own models: importing this registers them with timm, and lets timm read released checkpoints."""

from vigbench.models import checkpoint_file, vig, vig_h, vim, vrwkv

__all__ = ["checkpoint_file", "vig", "vig_h", "vim", "vrwkv"]
