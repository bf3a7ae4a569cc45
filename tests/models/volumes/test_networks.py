"""Networks of other packages: built by name, Swin UNETR by either attention, corners, what is missing."""

import warnings
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vigbench
from tests.models.volumes.conftest import FACTS
from vigbench.models.volumes import networks
from vigbench.models.volumes.networks import MONAI, NETWORKS
from vigbench.models.volumes.windows import CornerMerging
from vigbench.ops.registry import UnsupportedError
from vigbench.subjects.building import build_on_meta
from vigbench.subjects.catalog import create_model, describe, fill_weights, task_of

NARROW: Mapping[str, Any] = {"img_size": (64, 32, 32), "feature_size": 12}
PACKAGES = {name: "dynamic_network_architectures" if name == "nnunet" else "monai" for name in NETWORKS}


def narrow(**kwargs: Any) -> nn.Module:
    """Swin UNETR of few channels with seeded weights, in eval mode."""
    pytest.importorskip("monai")
    model = create_model("swin_unetr", **{**NARROW, **kwargs})
    fill_weights(model, 0)
    return model.eval()


def volume(batch: int = 1) -> Tensor:
    return torch.randn(batch, 4, 64, 32, 32, generator=torch.Generator().manual_seed(0))


def assert_close(found: Tensor, expected: Tensor, most: float = 1e-5) -> None:
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= most * float(expected.abs().max())


@pytest.mark.parametrize("name", NETWORKS)
def test_each_is_created_by_name(name: str) -> None:
    pytest.importorskip(PACKAGES[name])
    assert name in vigbench.list_subjects(f"{name}*")
    assert task_of(name).name == "volume"
    model = build_on_meta(lambda: vigbench.create_model(name, img_size=64)).eval().to("meta")
    assert model(torch.empty(1, 4, 64, 64, 64, device="meta")).shape == (1, 3, 64, 64, 64)
    other = build_on_meta(lambda: create_model(name, img_size=(64, 32, 96), in_chans=1, num_classes=14))
    assert other.eval().to("meta")(torch.empty(2, 1, 64, 32, 96, device="meta")).shape == (2, 14, 64, 32, 96)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_each_computes(name: str) -> None:
    pytest.importorskip(PACKAGES[name])
    model = create_model(name, img_size=(64, 32, 32)).eval()
    with torch.inference_mode():
        out = model(volume())
    assert out.shape == (1, 3, 64, 32, 32)
    assert out.isfinite().all()
    assert out.std() > 0


def test_what_is_known_of_them_needs_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(networks, "version", absent)
    assert describe("swin_unetr").operator == "attention"
    assert describe("nnunet").operator is None
    for name in NETWORKS:
        with pytest.raises(UnsupportedError, match=r"is not installed: pip install 'vigbench\[volumes\]'") as error:
            vigbench.create_model(name)
        assert NETWORKS[name].package.name in str(error.value)


@pytest.mark.parametrize(("found", "old"), [("1.4.0", True), ("0.9", True), ("1.5.0", False), ("1.10.dev1", False)])
def test_an_old_monai_computes_something_else(found: str, old: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "version", lambda name: found)
    if not old:
        MONAI.require()
        return
    with pytest.raises(UnsupportedError, match=rf"monai {found} is installed, and 1\.5 or newer .* pip install"):
        vigbench.create_model("swin_unetr")


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [
        ("swin_unetr", 32, "one voxel is left"),
        ("unet", 16, "one voxel is left"),
        ("nnunet", 32, "one voxel is left"),
        ("swin_unetr", 100, "multiples of 32"),
        ("nnunet", (96, 96), "multiples of 32"),
        ("unet", 100, "multiples of 16"),
        ("unetr", 100, "multiples of 16"),
        ("segresnet", 100, "multiples of 8"),
        ("segresnet", 0, "multiples of 8"),
    ],
)
def test_sizes_that_a_network_cannot_halve(name: str, size: Any, said: str) -> None:
    pytest.importorskip(PACKAGES[name])
    with pytest.raises(ValueError, match=said) as error:
        create_model(name, img_size=size)
    assert "\n" not in str(error.value)


def test_swin_unetr_is_the_one_that_is_reported() -> None:
    pytest.importorskip("monai")
    model = build_on_meta(lambda: create_model("swin_unetr"))
    assert sum(p.numel() for p in model.parameters()) == 62_191_941
    assert len(model.state_dict()) == FACTS["swin_unetr_48"]["state_dict_keys"]
    assert vigbench.count_cost(model.eval(), (1, 4, 96, 96, 96)).macs == 321_752_249_664
    other = build_on_meta(lambda: create_model("swin_unetr", in_chans=1, num_classes=14))
    assert sum(p.numel() for p in other.parameters()) == FACTS["swin_unetr_48"]["params_1to14"]


def with_gradients(model: nn.Module) -> dict[str, Tensor]:
    out = model.double()(volume(2).double())
    out.square().mean().backward()
    return {"": out.detach(), **{key: p.grad for key, p in model.named_parameters() if p.grad is not None}}


def test_eager_is_monai_s_own_code_and_sdpa_computes_the_same() -> None:
    nets = pytest.importorskip("monai.networks.nets")
    eager, fused = (narrow(implementation=name) for name in ("eager", "sdpa"))
    untouched = nets.SwinUNETR(in_channels=4, out_channels=3, feature_size=12).eval()
    untouched.load_state_dict(eager.state_dict(), strict=True)
    expected, same, found = (with_gradients(model) for model in (untouched, eager, fused))
    assert expected.keys() == same.keys() == found.keys()
    largest = max(float(x.abs().max()) for key, x in expected.items() if key)
    for key, one in expected.items():
        assert torch.equal(one, same[key]), key
        assert float((found[key] - one).abs().max()) <= 1e-9 * (largest if key else float(one.abs().max())), key


def test_each_implementation_runs_the_code_that_it_names() -> None:
    for name, fused in (("eager", False), ("sdpa", True)):
        with torch.profiler.profile() as profile, torch.inference_mode():
            narrow(implementation=name)(volume())
        ran = {event.key for event in profile.key_averages()}
        assert ("aten::scaled_dot_product_attention" in ran) is fused


def test_monai_s_own_option_agrees_with_the_label_or_is_refused() -> None:
    pytest.importorskip("monai", minversion="1.6")
    plain, own = narrow(implementation="eager"), narrow(use_flash_attention=True, implementation="sdpa")
    with torch.inference_mode():
        assert_close(own(volume(2)), plain(volume(2)))
    with pytest.raises(UnsupportedError, match="choose sdpa for inference and eager for training"):
        own(volume())
    own.set_implementation("eager")  # type: ignore[operator]
    with torch.inference_mode(), pytest.raises(UnsupportedError, match="use_flash_attention"):
        own(volume())
    assert_close(own(volume()).detach(), plain(volume()).detach())
    twin, _ = task_of("swin_unetr").reference(narrow(use_flash_attention=True), "attention")
    with torch.inference_mode():
        assert torch.equal(twin(volume()), plain(volume()))


class OldCorners(nn.Module):
    """As MONAI merged before 1.5: two corners twice, two never."""

    def __init__(self, dim: int, norm_layer: Callable[[int], nn.Module], spatial_dims: int) -> None:
        super().__init__()
        self.norm, self.reduction = norm_layer(8 * dim), nn.Linear(8 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        read = ["000", "100", "010", "001", "101", "010", "001", "111"]
        corners = [x[:, int(c[0]) :: 2, int(c[1]) :: 2, int(c[2]) :: 2] for c in read]
        return self.reduction(self.norm(torch.cat(corners, -1)))  # type: ignore[no-any-return]


def test_corners_of_before_1_5_are_another_result_of_the_same_weights() -> None:
    nets = pytest.importorskip("monai.networks.nets")
    now = narrow(patch_merging="since_1.5", implementation="eager")
    before = narrow(patch_merging="before_1.5", implementation="eager")
    untouched = nets.SwinUNETR(in_channels=4, out_channels=3, feature_size=12, downsample=OldCorners).eval()
    for model in (before, untouched):
        model.load_state_dict(now.state_dict(), strict=True)
    with torch.inference_mode():
        out, of_today = before(volume()), now(volume())
        assert torch.equal(out, untouched(volume()))
    assert float((out - of_today).abs().max()) > 0.05 * float(of_today.abs().max())
    assert any(isinstance(module, CornerMerging) for module in before.modules())
    assert not any(isinstance(module, CornerMerging) for module in now.modules())
    with pytest.raises(ValueError, match=r"patch_merging is 'before': choose before_1\.5, since_1\.5"):
        create_model("swin_unetr", patch_merging="before")


def test_weights_of_which_nobody_knows_are_warned_of(tmp_path: Path) -> None:
    model = narrow()
    torch.save({"state_dict": model.state_dict()}, path := tmp_path / "weights.pth")
    with pytest.warns(UserWarning, match=r"trained with MONAI before 1\.5 .* patch_merging='before_1\.5'"):
        model.load_state_dict(model.state_dict())
    with pytest.warns(UserWarning, match="patch_merging"):
        loaded = vigbench.create_model("swin_unetr", checkpoint_path=path, **NARROW)
    assert all(torch.equal(x, loaded.state_dict()[key]) for key, x in model.state_dict().items())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for merging in ("before_1.5", "since_1.5"):
            vigbench.create_model("swin_unetr", checkpoint_path=path, patch_merging=merging, **NARROW)


def test_nnunet_gives_logits_of_each_level_in_training() -> None:
    pytest.importorskip("dynamic_network_architectures")
    model, x = create_model("nnunet", img_size=(64, 32, 32), features_per_stage=(4,) * 6), volume()
    with torch.inference_mode():
        several = model.train()(x)
        one = model.eval()(x)
    assert [tuple(y.shape[2:]) for y in several] == [(64 // n, 32 // n, 32 // n) for n in (1, 2, 4, 8, 16)]
    assert torch.equal(one, several[0])
    with pytest.raises(ValueError, match="no implementations to choose from"):
        create_model("nnunet", implementation="sdpa")
