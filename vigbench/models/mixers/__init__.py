"""Token mixers of ViG by the name of what they compute."""

from vigbench.models.mixers.gate_forms import (
    GatedSlotAttention2d,
    RefinedGatedLinearAttention2d,
    Retention2d,
    StateSpaceDuality2d,
)
from vigbench.models.mixers.gated_linear_attention import GatedLinearAttention2d

MIXERS: dict[str, type[GatedLinearAttention2d]] = {
    "gla": GatedLinearAttention2d,
    "gsa": GatedSlotAttention2d,
    "regla": RefinedGatedLinearAttention2d,
    "retention": Retention2d,
    "ssd": StateSpaceDuality2d,
}
