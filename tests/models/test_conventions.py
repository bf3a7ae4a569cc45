"""What timm's users expect of a model."""

from functools import partial

import pytest
import timm
import torch
from torch import Tensor, nn

from tests.models.conftest import filled, small
from vigbench.measure.cost import count_cost
from vigbench.measure.path import record_path
from vigbench.models.backbone import POS_GRID, resize_grid
from vigbench.models.vim import without_class
from vigbench.subjects.catalog import create_model


def patches(name: str, features: Tensor) -> Tensor:
    """Features of the patches alone."""
    return without_class(features) if name.startswith("vim") else features


IMAGES = torch.linspace(-1, 1, 2 * 3 * 64 * 96).view(2, 3, 64, 96).sin()


def test_features_then_head(each: str) -> None:
    model = small(each).eval()
    features = model.forward_features(IMAGES)
    torch.testing.assert_close(model.forward_head(features), model(IMAGES))
    assert model.forward_head(features, pre_logits=True).shape == (2, model.head_hidden_size)
    assert model.num_features == model.head_hidden_size
    assert model.num_classes == 7


def test_reset_classifier(each: str) -> None:
    model = small(each).double().eval()
    pooled = model.forward_head(model.forward_features(IMAGES.double()), pre_logits=True)
    model.reset_classifier(11)
    assert model.get_classifier().out_features == 11
    assert model(IMAGES.double()).shape == (2, 11)
    model.reset_classifier(0)
    torch.testing.assert_close(model(IMAGES.double()), pooled)
    model.reset_classifier(0, global_pool="")
    torch.testing.assert_close(model(IMAGES.double()), model.forward_features(IMAGES.double()))


def test_without_pooling_every_position_is_classified(each: str) -> None:
    model = small(each, global_pool="").eval()
    features = model.forward_features(IMAGES)
    positions = features.shape[1] if features.ndim == 3 else features.shape[2] * features.shape[3]
    assert model(IMAGES).shape[-1] == 7
    assert model(IMAGES).numel() == 2 * positions * 7


def test_in_chans_and_no_classes(each: str) -> None:
    assert small(each, in_chans=1)(IMAGES[:, :1]).shape == (2, 7)
    model = timm.create_model(each, num_classes=0)
    assert isinstance(model.get_classifier(), nn.Identity)


def test_pretrained_cfg_names_layers_that_exist(each: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(each)
    assert isinstance(model.get_submodule(model.pretrained_cfg["first_conv"]), nn.Conv2d)
    assert model.get_submodule(model.pretrained_cfg["classifier"]) is model.get_classifier()
    assert model.pretrained_cfg["input_size"] == (3, 224, 224)


def test_features_only(each: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(each, features_only=True)
        features = model(torch.empty(1, 3, 224, 224))
    for x, channels, reduction in zip(
        features, model.feature_info.channels(), model.feature_info.reduction(), strict=True
    ):
        assert x.shape == (1, channels, 224 // reduction, 224 // reduction)
    assert len(features) == 4


def test_out_indices(each: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(each, features_only=True, out_indices=(1, 3))
        assert len(model(torch.empty(1, 3, 64, 64))) == 2


def test_intermediates(each: str) -> None:
    model = small(each).eval()
    final, intermediates = model.forward_intermediates(IMAGES, norm=True)
    torch.testing.assert_close(final, model.forward_features(IMAGES))
    last = intermediates[-1]
    torch.testing.assert_close(last.flatten(2).mT if final.ndim == 3 else last, patches(each, final))
    (early,) = model.forward_intermediates(IMAGES, indices=[0], stop_early=True, intermediates_only=True)
    torch.testing.assert_close(early, model.forward_intermediates(IMAGES, indices=[0])[1][0])
    with pytest.raises(ValueError, match="unknown output_fmt 'NHWC'"):
        model.forward_intermediates(IMAGES, output_fmt="NHWC")


def test_intermediates_as_tokens(each: str) -> None:
    model = small(each).eval()
    if "NLC" not in model.output_fmts:
        with pytest.raises(ValueError, match="choose NCHW"):
            model.forward_intermediates(IMAGES, output_fmt="NLC")
        return
    tokens = model.forward_intermediates(IMAGES, output_fmt="NLC", intermediates_only=True)
    for x, y in zip(tokens, model.forward_intermediates(IMAGES, intermediates_only=True), strict=True):
        assert torch.equal(x.mT.unflatten(-1, (4, 6)), y)


def test_a_setting_that_it_lacks_is_named(each: str) -> None:
    with pytest.raises(TypeError, match="img_size"):
        timm.create_model(each, img_size=64)


def test_drop_path_and_dropout_act_in_training_only(each: str) -> None:
    model = small(each, drop_path_rate=0.5, drop_rate=0.5)
    assert not torch.equal(model(IMAGES), model(IMAGES))
    model.eval()
    assert torch.equal(model(IMAGES), model(IMAGES))


def test_every_parameter_has_one_group(each: str) -> None:
    from timm.models import group_parameters

    model = small(each)
    for coarse in (False, True):
        groups = group_parameters(model, model.group_matcher(coarse), reverse=True)
        assert set(groups) == {key for key, _ in model.named_parameters()}
    assert model.no_weight_decay() <= set(groups)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtypes(each: str, dtype: torch.dtype) -> None:
    model = filled(each).eval()
    with torch.inference_mode():
        expected = model(IMAGES)
        found = model.to(dtype)(IMAGES.to(dtype))
    assert found.dtype == dtype
    assert (found - expected).abs().max() < 0.1 * expected.abs().max()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast(each: str, training: bool, dtype: torch.dtype) -> None:
    model = filled(each).train(training)
    with torch.autocast("cpu", dtype):
        found = model(IMAGES)
    torch.testing.assert_close(found.float(), model(IMAGES), atol=0.05, rtol=0.05)


@pytest.mark.slow
def test_compiles_without_graph_breaks(each: str) -> None:
    model = small(each).eval()
    with torch.inference_mode():
        torch.testing.assert_close(torch.compile(model, fullgraph=True)(IMAGES), model(IMAGES), atol=1e-4, rtol=1e-4)


def test_position_embeddings_cost_no_operator_calls_beside_their_own() -> None:
    pos_embed = torch.zeros(1, POS_GRID**2, 8)
    calls = [record_path(partial(resize_grid, pos_embed, side, side), pos_embed.device) for side in (POS_GRID, 7)]
    assert dict(calls[0].operators) == {"aten::view": 1}
    assert "aten::to" not in calls[1].operators


@pytest.mark.parametrize("name", ["vig_tiny_patch16_224", "vig_h_tiny_patch4_224"])
def test_a_fused_block_where_it_cannot_run_says_so(name: str) -> None:
    model = create_model(name, implementation="triton_block")
    with pytest.raises(ValueError, match="triton_block runs on cuda, not on cpu"):
        model(torch.randn(1, 3, 64, 64))


@pytest.mark.parametrize("name", ["vig_tiny_patch16_224", "vig_h_tiny_patch4_224"])
def test_a_fused_block_costs_what_the_plain_one_does(name: str) -> None:
    """On the meta device, where every implementation can be counted."""
    model = create_model(name).to("meta")
    expected = count_cost(model, (1, 3, 224, 224))
    model.set_implementation("triton_block")
    found = count_cost(model, (1, 3, 224, 224))
    assert (found.macs, found.params) == (expected.macs, expected.params)
    assert "norm_swiglu" in " ".join(found.by_operator)
