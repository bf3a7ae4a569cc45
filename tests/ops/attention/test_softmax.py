import sys
from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import Tensor
from torch.torch_version import TorchVersion

from vigbench.ops import declaration
from vigbench.ops.attention.refusal import is_refusal, or_unsupported
from vigbench.ops.attention.softmax import eager, sdpa, sdpa_flash, sdpa_math
from vigbench.ops.registry import UnsupportedError, get_implementation, select_implementation


def by_definition(q: Tensor, k: Tensor, v: Tensor, scale: float, causal: bool = False) -> Tensor:
    scores = torch.einsum("blhk,bmhk->bhlm", q, k).mul(scale)
    if causal:
        token = torch.arange(q.shape[1])
        scores = scores.where(token[None, :] <= token[:, None], -torch.inf)
    weights = scores.softmax(-1)
    return torch.einsum("bhlm,bmhv->blhv", weights, v)


@pytest.mark.parametrize("name", ["sdpa", "eager", "sdpa_math", "sdpa_flash"])
@pytest.mark.parametrize(("key_dim", "value_dim"), [(8, 8), (4, 8)])
@pytest.mark.parametrize("causal", [False, True])
def test_output_and_gradients_are_those_of_the_definition(
    name: str, key_dim: int, value_dim: int, causal: bool
) -> None:
    if name == "sdpa_flash" and key_dim != value_dim:
        pytest.skip("flash attention takes equal dims only")
    torch.manual_seed(0)
    inputs = [torch.randn(2, 7, 3, dim, dtype=torch.float64) for dim in (key_dim, key_dim, value_dim)]
    grad = torch.randn(2, 7, 3, value_dim, dtype=torch.float64)
    found, expected = [
        (*torch.autograd.grad(attend(*leaves, 0.3, causal), leaves, grad), attend(*leaves, 0.3, causal))
        for attend in (get_implementation("attention", name).load(), by_definition)
        for leaves in [[x.clone().requires_grad_() for x in inputs]]
    ]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_only_eager_keeps_the_scores_in_memory() -> None:
    from vigbench.measure.memory import cpu_allocator_peak

    q, k, v = (torch.randn(1, 512, 2, 16) for _ in range(3))
    scores = 2 * 512 * 512 * 4
    with torch.inference_mode():
        for attend in (eager, sdpa_math):
            assert cpu_allocator_peak(lambda attend=attend: attend(q, k, v, 0.25)) >= scores
        for attend in (sdpa, sdpa_flash):
            assert cpu_allocator_peak(lambda attend=attend: attend(q, k, v, 0.25)) < scores


@pytest.mark.slow
def test_flex_is_compiled() -> None:
    from vigbench.measure.path import record_path
    from vigbench.ops.attention.flex import flex

    q, k, v = (torch.randn(1, 130, 2, 16) for _ in range(3))
    with torch.inference_mode():
        for causal in (False, True):
            torch.testing.assert_close(flex(q, k, v, 0.25, causal), by_definition(q, k, v, 0.25, causal))
        path = record_path(lambda: flex(q, k, v, 0.25), torch.device("cpu"))
    assert path.broken_promise((), get_implementation("attention", "flex").must_not_run) is None


def no_last_stride(x: Tensor) -> Tensor:
    return x.transpose(1, 3).contiguous().transpose(1, 3)


# where a call cannot be traced: 2.14 does, 2.9 and 2.11 do not
CALLS_PLAINLY = TorchVersion(torch.__version__) >= (2, 12)
REFUSED = r"sdpa_flash has no kernel.*last dimension of the input to have stride 1.*choose sdpa.*eager"


@pytest.mark.filterwarnings("ignore:.*kernel not used|All fused kernels")  # of the call itself, beside the error
def test_a_backend_without_a_kernel_says_why_and_what_to_choose() -> None:
    x = torch.randn(1, 8, 1, 8)
    with pytest.raises(ValueError, match=REFUSED) as refused:
        sdpa_flash(no_last_stride(x), x, x, 1.0)
    assert isinstance(refused.value, UnsupportedError)
    assert "No available kernel" in str(refused.value.__cause__)


def test_what_is_wrong_with_the_inputs_is_no_refusal() -> None:
    x = torch.randn(1, 8, 2, 8)
    with pytest.raises(RuntimeError, match="must match the size"):
        sdpa_math(x, x[:, :, :1].expand(1, 8, 3, 8), x, 1.0)


def test_running_out_of_memory_is_no_refusal() -> None:
    def full(*inputs: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("full")

    with pytest.raises(torch.OutOfMemoryError):
        or_unsupported("full", full)()


@pytest.mark.parametrize("attend", [sdpa_flash, sdpa_math])
def test_a_pinned_backend_is_compiled_whole(attend: Callable[..., Tensor]) -> None:
    torch._dynamo.reset()
    q, k, v = (torch.randn(1, 5, 2, 8) for _ in range(3))
    compiled = torch.compile(attend, fullgraph=True, backend="aot_eager")
    leaves = [x.clone().requires_grad_() for x in (q, k, v)]
    out = compiled(*leaves, 0.3)
    torch.testing.assert_close(out, by_definition(q, k, v, 0.3))
    assert all(grad.isfinite().all() for grad in torch.autograd.grad(out.sum(), leaves))


@pytest.mark.filterwarnings("ignore:.*kernel not used|All fused kernels")
@pytest.mark.skipif(not CALLS_PLAINLY, reason="this torch raises an error of its own")
def test_a_compiled_call_without_a_kernel_falls_back_to_the_same_words() -> None:
    torch._dynamo.reset()
    x = torch.randn(1, 8, 1, 8)
    with pytest.raises(UnsupportedError, match=REFUSED):
        torch.compile(sdpa_flash, backend="eager")(no_last_stride(x), x, x, 1.0)


@pytest.mark.skipif(CALLS_PLAINLY, reason="this torch falls back to the plain call")
def test_torchs_own_error_of_a_compiled_call_is_known_as_a_refusal() -> None:
    torch._dynamo.reset()
    x = torch.randn(1, 8, 1, 8)
    with pytest.raises(RuntimeError) as refused:
        torch.compile(sdpa_flash, backend="eager")(no_last_stride(x), x, x, 1.0)
    assert is_refusal(refused.value)


PACKAGES = {
    "flash_attn": (["flash_attn", "flash_attn_2_cuda"], "pip install flash-attn"),
    "flash_attn_4": (["flash_attn.cute"], "pip install --pre flash-attn-4"),
}


@pytest.mark.parametrize("name", PACKAGES)
def test_a_missing_package_is_named_with_its_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    missing, command = PACKAGES[name]
    monkeypatch.setattr(declaration, "find_spec", lambda package: None)
    reason = get_implementation("attention", name).unsupported_reason("cuda")
    assert reason is not None
    assert all(package in reason for package in missing)
    assert reason.endswith(command)


@pytest.mark.parametrize("name", PACKAGES)
def test_an_installed_package_is_called_with_our_scale(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a package of the same interface in its place: (batch, length, heads, dim), `softmax_scale`."""

    def flash_attn_func(
        q: Tensor, k: Tensor, v: Tensor, softmax_scale: float | None = None, causal: bool = False
    ) -> object:
        assert softmax_scale is not None
        out = by_definition(q, k, v, softmax_scale, causal)
        return (out, None) if name == "flash_attn_4" else out

    package, cute = ModuleType("flash_attn"), ModuleType("flash_attn.cute")
    for module in (package, cute):
        module.flash_attn_func = flash_attn_func  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "flash_attn", package)
    monkeypatch.setitem(sys.modules, "flash_attn.cute", cute)
    q, k, v = (torch.randn(2, 7, 3, 8) for _ in range(3))
    for causal in (False, True):
        found = get_implementation("attention", name).load()(q, k, v, 0.3, causal)
        torch.testing.assert_close(found, by_definition(q, k, v, 0.3, causal))


SAID = {
    "flash_attn": RuntimeError("FlashAttention forward only supports head dimension at most 256"),
    "flash_attn_4": AssertionError("head_dim must be less than or equal to 256"),
}


@pytest.mark.parametrize("name", PACKAGES)
def test_what_a_package_cannot_compute_is_unsupported(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = [SAID[name], RuntimeError("an illegal memory access was encountered")]

    def flash_attn_func(*inputs: object, **options: object) -> object:
        raise said[0]

    package, cute = ModuleType("flash_attn"), ModuleType("flash_attn.cute")
    for module in (package, cute):
        module.flash_attn_func = flash_attn_func  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "flash_attn", package)
    monkeypatch.setitem(sys.modules, "flash_attn.cute", cute)
    attend, x = get_implementation("attention", name).load(), torch.randn(1, 4, 1, 512)
    with pytest.raises(UnsupportedError, match=f"{name} has no kernel.*256.*choose sdpa"):
        attend(x, x, x, 1.0)
    del said[0]
    with pytest.raises(RuntimeError, match="illegal memory access"):
        attend(x, x, x, 1.0)


@pytest.mark.parametrize("name", ["flash_attn", "flash_attn_4", "sdpa_cudnn"])
def test_float32_is_refused_where_only_half_precision_is_taken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declaration, "find_spec", lambda package: object())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    implementation = get_implementation("attention", name)
    assert "half precision only on cuda" in (implementation.unsupported_reason("cuda", torch.float32) or "")
    assert implementation.unsupported_reason("cuda", torch.bfloat16) is None


def test_flex_has_no_backward_on_a_cpu() -> None:
    with pytest.raises(ValueError, match="flex has no backward on cpu"):
        select_implementation("attention", "flex", "cpu", training=True)
    assert select_implementation("attention", "flex", "cpu").name == "flex"
