import pytest
import torch

import vigbench
from vigbench.models.layers.table import LAYERS
from vigbench.ops.registry import UnsupportedError
from vigbench.subjects.building import build_on_meta
from vigbench.subjects.catalog import BASELINES, build_subject, describe, fill_weights, resolve_implementations
from vigbench.subjects.family import family_of
from vigbench.subjects.operators import OPERATORS

OWN = [
    "vig_base_patch16_224",
    "vig_h_base_patch4_224",
    "vig_h_small_patch4_224",
    "vig_h_tiny_patch4_224",
    "vig_small_patch16_224",
    "vig_tiny_patch16_224",
]


def test_subjects_are_vigbench_s_models_baselines_and_operators_and_any_timm_model() -> None:
    assert sorted(vigbench.list_subjects("vig*")) == OWN
    others = {f"{name}_{size}_patch16_224" for name in ("vim", "vrwkv") for size in ("tiny", "small", "base")}
    sizes = ("small", "base", "large", "xlarge")
    others |= {f"dit_{size}_patch{patch}" for size in sizes for patch in (2, 4, 8)} | {f"dig_{x}_patch2" for x in sizes}
    others |= {"glims", "swin_unetr", "unetr", "unet", "segresnet", "nnunet"}
    assert set(vigbench.list_subjects()) == {*OWN, *others, *BASELINES, *OPERATORS, *LAYERS}
    assert "vit_small_patch16_224" in vigbench.list_subjects("vit_small*")
    assert vigbench.list_subjects("there_is_none*") == []


@pytest.mark.parametrize(
    ("name", "family", "operator", "default"),
    [
        ("vig_tiny_patch16_224", "vig", "gla", "torch_chunk"),
        ("vim_tiny_patch16_224", "vim", "scan", "torch_chunk"),
        ("vrwkv_tiny_patch16_224", "linear", "biwkv", "torch_scan"),
        ("deit_small_patch16_224", "deit", "attention", "sdpa"),
        ("swin_tiny_patch4_window7_224", "windowed", "attention", "sdpa"),
        ("dig_small_patch2", "vig", "gla", "torch_chunk"),
        ("dit_xlarge_patch8", "deit", "attention", "sdpa"),
        ("glims", family_of("glims"), "attention", "sdpa"),
        ("swin_unetr", "windowed", "attention", "sdpa"),
        ("nnunet", "cnn", None, "default"),
        ("convnext_tiny", "cnn", None, "default"),
        ("resnet50", "cnn", None, "default"),
        ("gla", "vig", "gla", "torch_chunk"),
        ("gla_from_logits", "vig", "gla", "torch_chunk"),
        ("gla_one_direction", "linear", "gla", "torch_chunk"),
        ("gla_layer", "vig", "gla", "torch_chunk"),
        ("llama_layer", "deit", "attention", "sdpa"),
        ("mamba2_layer", "linear", "scalar_gla", "torch_chunk"),
        ("attention", "deit", "attention", "sdpa"),
        ("some.module:factory", "other", None, "default"),
    ],
)
def test_describe_and_default(name: str, family: str, operator: str | None, default: str) -> None:
    subject = describe(name)
    assert (subject.family, subject.operator) == (family, operator)
    assert resolve_implementations(name, [], "cpu") == [default]


def test_implementations_are_checked_by_name() -> None:
    assert resolve_implementations("deit_tiny_patch16_224", ["eager", "sdpa"], "cpu") == ["eager", "sdpa"]
    assert resolve_implementations("vig_tiny_patch16_224", ["auto", "torch_chunk"], "cpu") == ["torch_chunk"]
    with pytest.raises(ValueError, match="sdpa"):
        resolve_implementations("deit_tiny_patch16_224", ["spda"], "cpu")
    with pytest.raises(ValueError, match="no choice of implementation"):
        resolve_implementations("resnet50", ["sdpa"], "cpu")
    with pytest.raises(ValueError, match="vig_tiny_patch16_224"):
        resolve_implementations("vig_tinny_patch16_224", [], "cpu")


@pytest.mark.parametrize(
    ("name", "implementation"),
    [
        ("vig_tiny_patch16_224", "torch_chunk"),
        ("vig_h_tiny_patch4_224", "torch_chunk"),
        ("deit_tiny_patch16_224", "eager"),
        ("swin_tiny_patch4_window7_224", "sdpa"),
        ("convnext_tiny", "default"),
        ("resnet50", "default"),
    ],
)
@pytest.mark.parametrize("resolution", [96, 320])
def test_every_subject_of_the_main_suite_takes_other_resolutions(
    name: str, implementation: str, resolution: int
) -> None:
    model = build_on_meta(lambda: build_subject(name, implementation, resolution)).eval().to("meta")
    assert model(torch.empty(1, 3, resolution, resolution, device="meta")).shape == (1, 1000)


@pytest.mark.parametrize(
    ("name", "implementation"),
    [
        ("vig_tiny_patch16_224", "torch_chunk"),
        ("deit_tiny_patch16_224", "sdpa"),
        ("vim_tiny_patch16_224", "torch_chunk"),
        ("resnet18", "default"),
    ],
)
def test_without_initial_values_a_model_has_the_same_tensors(name: str, implementation: str) -> None:
    meta, real = build_on_meta(lambda: build_subject(name, implementation, 64)), build_subject(name, implementation, 64)
    sides = [
        [(name, x.shape, x.dtype) for name, x in (*model.named_parameters(), *model.named_buffers())]
        for model in (meta, real)
    ]
    assert sides[0] == sides[1]
    assert all(x.is_meta for x in meta.parameters())


def test_tensors_with_values_are_filled_while_others_are_built_without() -> None:
    filled: list[torch.Tensor] = []

    def build() -> torch.nn.Module:
        real = torch.empty(100, device="cpu")
        torch.nn.init.normal_(real)
        filled.extend((real, torch.zeros(3, device="cpu").fill_(2.0)))
        return torch.nn.Linear(3, 3)

    build_on_meta(build)
    assert filled[0].std() > 0.1
    assert filled[1].tolist() == [2.0] * 3


def test_what_cannot_be_built_for_a_resolution_is_unsupported() -> None:
    with pytest.raises(UnsupportedError, match=r"250 px.*Leave this resolution out"):
        build_subject("xcit_tiny_12_p16_224", "default", 250)


def test_fill_weights_is_seeded_and_lets_the_gla_branch_matter() -> None:
    model, twin = (build_subject("vig_tiny_patch16_224", "torch_chunk", 64).eval() for _ in range(2))
    fill_weights(model, seed=0)
    fill_weights(twin, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = model(image)
        model.blocks[0].attn.gk_proj[1].bias.fill_(-1000)  # forgets everything at once
        after = model(image)
    assert before.isfinite().all()
    assert (after - before).abs().max() > 1e-2 * before.abs().max()


def test_families() -> None:
    assert family_of("vim_tiny_patch16_224") == "vim"
    assert family_of("xcit_tiny_12_p16_224") == "linear"
    assert family_of("something_else") == "other"
