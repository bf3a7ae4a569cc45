"""LLaMA's attention (arXiv 2302.13971, section 2.2), the layer that others are compared with."""

from torch import Tensor, nn

from vigbench.models.layers.layer import Layer
from vigbench.models.layers.rotary import rotated
from vigbench.ops.attention.softmax import Attention
from vigbench.ops.registry import get_implementation, select_implementation


class LlamaLayer(Layer):
    """Causal softmax attention with rotary positions; key_dim, even, is value_dim."""

    operator: str = "attention"

    def __init__(self, heads: int, key_dim: int, value_dim: int) -> None:
        super().__init__()
        self.dim = self.width(heads, key_dim, value_dim)
        self.num_heads, self.head_dim = heads, key_dim
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (
            nn.Linear(self.dim, self.dim, bias=False) for _ in range(4)
        )
        self.attend = _attention("auto")

    @classmethod
    def width(cls, heads: int, key_dim: int, value_dim: int) -> int:
        if key_dim != value_dim or key_dim % 2:
            raise ValueError(
                f"LLaMA's heads have one even number of channels for keys and values, not {key_dim} and {value_dim}: "
                f"choose {heads}x{value_dim + value_dim % 2}x{value_dim + value_dim % 2}"
            )
        return super().width(heads, key_dim, value_dim)

    @classmethod
    def masked_macs(cls, length: int, heads: int, key_dim: int, value_dim: int) -> int:
        return length * (length - 1) // 2 * heads * (key_dim + value_dim)

    def set_implementation(self, name: str) -> None:
        """Compute attention with this code from now on; "auto" is a CPU's first choice. ValueError for an unknown."""
        super().set_implementation(name)
        self.attend = _attention(name)

    def forward(self, x: Tensor) -> Tensor:
        self.require(x)
        heads = self.num_heads, self.head_dim
        q, k, v = (layer(x).unflatten(-1, heads) for layer in (self.q_proj, self.k_proj, self.v_proj))
        q, k = (rotated(y, self.head_dim // 2) for y in (q, k))
        o = self.attend(q, k, v, self.head_dim**-0.5, causal=True)
        return self.o_proj(o.flatten(-2))  # type: ignore[no-any-return]


def _attention(name: str) -> Attention:
    """Found here: a look-up in a call would break torch.compile's graph."""
    auto = name == "auto"
    chosen = select_implementation("attention", name, "cpu") if auto else get_implementation("attention", name)
    return chosen.load()
