"""Token mixers of ViG by the name of what they compute."""

from vigbench.models.mixers.gated_linear_attention import GatedLinearAttention2d

MIXERS: dict[str, type[GatedLinearAttention2d]] = {"gla": GatedLinearAttention2d}
