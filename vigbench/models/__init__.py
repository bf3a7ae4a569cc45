"""vigbench's own models: importing this registers them with timm, and lets timm read released checkpoints."""

from vigbench.models import vig, vig_h, vim, vrwkv
from vigbench.models.checkpoints import checkpoint_file
from vigbench.models.diffusion import dig, dit

__all__ = ["checkpoint_file", "dig", "dit", "vig", "vig_h", "vim", "vrwkv"]
