"""Compiled ahead of time for GPUs that need not be there: no more shared memory than a block can have."""

import csv
from collections.abc import Callable
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import pytest

if find_spec("triton") is None:
    pytest.skip("needs triton", allow_module_level=True)

import torch

from tests.ops.calls import Call, gated_norm_call, norm_swish_gate_call, recurrent_call
from tests.ops.gla.compiling import (
    AMD_LANES,
    DIMS,
    PASSES,
    SHARED_LIMIT,
    WALKS,
    WALKS_BACK,
    Variant,
    all_variants,
    assert_fits,
    compile_all,
    compile_pass,
    compiled,
    shared_limit,
    target_name,
)
from vigbench.ops.gla.kernels import settings
from vigbench.ops.gla.kernels.gates import LOG_DECAY, LOGITS, LOW_RANK
from vigbench.ops.gla.kernels.settings import (
    LENGTH_BUCKETS,
    WALK_BUCKETS,
    default_settings,
    key_of,
    settings_for,
    tuned_table,
)

VIG, VIG_H = DIMS[:2]
HOPPER = 90
RESOURCES = Path(__file__).parents[3] / "docs" / "kernel-resources.csv"


@pytest.mark.parametrize("pass_", PASSES)
def test_the_shape_of_vig_fits_hopper(pass_: str, record_property: pytest.FixtureRequest) -> None:
    variant = Variant(pass_, *VIG, "bfloat16", LOW_RANK, 90)  # type: ignore[arg-type]
    kernels = compile_pass(variant)
    record_property("registers", {kernel.kernel: kernel.registers for kernel in kernels})
    assert {kernel.kernel for kernel in kernels} >= {"chunk_states", "carry_states"}
    assert_fits(kernels, 90)


@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90, 100])
def test_one_direction_fits(capability: int) -> None:
    """DiG's: heads as ViG's, in walks and in two passes."""
    variants = [
        Variant(pass_, *VIG, "bfloat16", LOW_RANK, capability, directions=1) for pass_ in (*PASSES, *WALKS, *WALKS_BACK)
    ]
    for kernels in compile_all(variants).values():
        assert_fits(kernels, capability)


@pytest.mark.slow
@pytest.mark.parametrize("capability", SHARED_LIMIT)
def test_every_variant_fits(capability: int) -> None:
    """ViG's shape with all precisions, all other shapes in bfloat16; docs/kernels.md has every combination."""
    variants = [
        Variant(pass_, *VIG, dtype, gate, capability)
        for pass_, dtype, gate in product(PASSES, ("bfloat16", "float32"), (LOG_DECAY, LOW_RANK))
    ]
    others = ((VIG_H, LOGITS), ((128, 128), LOG_DECAY)) if capability != HOPPER else product(DIMS[1:], (LOG_DECAY,))
    variants += [Variant(pass_, *dims, "bfloat16", gate, capability) for (dims, gate), pass_ in product(others, PASSES)]
    for kernels in compile_all(variants).values():
        assert_fits(kernels, capability)


def test_the_table_in_the_docs_has_every_variant_and_no_spill() -> None:
    with RESOURCES.open(newline="") as file:
        rows = list(csv.DictReader(file))
    targets = {target_name(capability): capability for capability in (*SHARED_LIMIT, *AMD_LANES)}
    assert {
        Variant(
            row["pass"],
            int(row["key_dim"]),
            int(row["value_dim"]),
            row["dtype"],
            row["gates"],
            targets[row["target"]],
        )
        for row in rows
    } == set(all_variants())
    for row in rows:
        assert int(row["stack_bytes"]) == 0, row  # of the Triton named in docs/kernels.md
        assert int(row["registers"]) <= (512 if row["target"] == "gfx942" else 255), row
        assert int(row["shared_bytes"]) <= shared_limit(targets[row["target"]]), row


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_recurrent_kernel_fits_hopper(dtype: str) -> None:
    assert_fits(compiled(90, recurrent_call(dtype, *VIG)), 90)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize(
    ("call", "dim", "capability"),
    [
        *((gated_norm_call, dim, 90) for dim in (32, 64)),
        *((norm_swish_gate_call, 64, capability) for capability in (80, 90, 100)),
        (norm_swish_gate_call, 128, 90),
    ],
)
def test_norms_with_gates_fit(call: Callable[[str, int], Call], dim: int, capability: int, dtype: str) -> None:
    kernels = compiled(capability, call(dtype, dim))
    assert len(kernels) == 2
    assert_fits(kernels, capability)


def test_another_length_compiles_nothing_new() -> None:
    """Lengths of one bucket that are and are not multiples of 16, with and without a last chunk that is not full."""
    seen: set[int] = set()
    for length in (2050, 2063, 2064, 4000, 4095, 4096):
        variant = Variant("forward", *VIG_H, "bfloat16", LOG_DECAY, 90, length)
        seen |= {kernel.identity for kernel in compile_pass(variant)}
    assert len(seen) == 3  # states, their way from segment to segment, outputs


def test_each_target_is_compiled_for_itself() -> None:
    identities = {
        kernel.identity
        for capability in SHARED_LIMIT
        for kernel in compile_pass(Variant("forward", *VIG_H, "bfloat16", LOG_DECAY, capability))
    }
    assert len(identities) == 3 * len(SHARED_LIMIT)


@pytest.mark.parametrize("length", [1, 196, 4096, 10**6])
@pytest.mark.parametrize("pass_", PASSES)
def test_settings_come_from_the_table_or_the_defaults(length: int, pass_: str) -> None:
    found = settings_for(torch.device("cpu"), torch.bfloat16, 32, 64, length, 192, pass_)  # type: ignore[arg-type]
    assert found == default_settings("interpreted", torch.bfloat16, pass_)  # type: ignore[arg-type]


def test_one_walk_where_it_fills_the_device() -> None:
    """As many walks as multiprocessors: whole; fewer: segments, unless those would be short."""

    def found(walks: int, length: int = 4096, capability: str = "9.0", dtype: torch.dtype = torch.bfloat16) -> int:
        chosen = settings.walk_settings(capability, dtype, *VIG, length, walks)
        return chosen.segment if chosen else 0

    assert found(192) == 64
    assert found(132, 196) == 4
    assert found(48) == 11
    assert found(6) == found(2, 65536 // 16) == 0
    assert found(6, 65536) == 24
    assert found(192, capability="8.0") == found(192, dtype=torch.float32) == 0
    assert settings.walk_settings("9.0", torch.bfloat16, 64, 64, 4096, 192) is None


def test_a_tuned_row_that_compilers_get_wrong_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = default_settings("9.0", torch.bfloat16, "forward")
    key = key_of("9.0", torch.bfloat16, *VIG, 4096, 6, "backward")
    monkeypatch.setattr(settings, "tuned_table", lambda: {key: wrong, key._replace(pass_="forward"): wrong})
    monkeypatch.setattr(settings, "capability_of", lambda _: "9.0")
    for pass_ in PASSES:
        found = settings_for.__wrapped__(torch.device("cpu"), torch.bfloat16, *VIG, 4096, 6, pass_)
        assert found == default_settings("9.0", torch.bfloat16, pass_)


def test_what_was_tuned_for_many_walks_is_not_for_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole walk leaves most of a GPU idle where there is one image."""
    tuned = settings.WALK._replace(segment=256, warps=2)
    monkeypatch.setattr(
        settings, "tuned_table", lambda: {key_of("9.0", torch.bfloat16, *VIG, 4096, 192, "forward"): tuned}
    )
    monkeypatch.setattr(settings, "capability_of", lambda _: "9.0")

    def found(walks: int) -> settings.GlaSettings:
        return settings_for.__wrapped__(torch.device("cpu"), torch.bfloat16, *VIG, 4096, walks, "forward")

    assert found(192) == found(384) == tuned
    assert found(6) == default_settings("9.0", torch.bfloat16, "forward")
    assert found(96) == settings.walk_settings("9.0", torch.bfloat16, *VIG, 4096, 96)


def test_the_shipped_table_is_one() -> None:
    for key, row in tuned_table().items():
        assert key.length in (*LENGTH_BUCKETS, 0)
        assert key.walks in (*WALK_BUCKETS, 0)
        assert row.chunk in (16, 32, 64, 128)
