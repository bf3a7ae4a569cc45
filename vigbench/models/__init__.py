"""vigbench's own models: importing this registers them with timm, and lets timm read released checkpoints."""

from vigbench.models import vig, vig_h, vim, vrwkv
from vigbench.models.checkpoints import checkpoint_file
from vigbench.models.diffusion import dig, dit
from vigbench.models.volumes import glims

__all__ = ["checkpoint_file", "dig", "dit", "glims", "vig", "vig_h", "vim", "vrwkv"]
