"""A ViG whose images are cut over ranks is the ViG of the whole images."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup

from tests.models.conftest import filled
from tests.ranks import first_ranks, run_ranks
from vigbench.analysis.sequence_parallel import halo_elements, mean_elements
from vigbench.models.vig_parallel import SequenceParallelViG, rows_of, token_rows
from vigbench.ops.communication import record_traffic

NAME = "vig_tiny_patch16_224"
DIM, HEADS, DEPTH = 64, 2, 2  # of `filled`
PLACES: dict[str, tuple[int, tuple[int, ...] | None, tuple[int, int]]] = {  # ranks, rows of tokens, image size
    "1 rank": (1, None, (48, 32)),
    "2 ranks": (2, (4, 1), (80, 48)),
    "3 ranks": (3, None, (80, 48)),
    "4 ranks": (4, (1, 3, 1, 2), (112, 32)),
    "4 ranks, a row each": (4, None, (64, 16)),
    "4 ranks, 14 x 14 tokens": (4, None, (224, 224)),
    "3 ranks, what is left of a row": (3, (1, 2, 1), (56, 37)),
    "3 ranks, pixels that no token sees": (3, (1, 1, 1), (52, 32)),
}


def model_of(**kwargs: Any) -> Any:
    return filled(NAME, **kwargs).double()


def whole(size: tuple[int, int]) -> Tensor:
    return torch.randn(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(size[0]))


def evaluated(model: Any, parameters: dict[str, Tensor], images: Tensor, share: float) -> dict[str, Tensor]:
    """Logits, and the gradients of parameters and images of a share of some loss."""
    images = images.detach().clone().requires_grad_()
    logits = model(images)
    weights = torch.linspace(-1, 1, logits.numel(), dtype=logits.dtype).view_as(logits)
    loss = (logits * weights).sum() + (logits**2).sum()
    gradients = torch.autograd.grad(share * loss, [images, *parameters.values()])
    return {"logits": logits.detach(), **dict(zip(("images", *parameters), gradients, strict=True))}


def compare(
    place: str, group: ProcessGroup | None, training: bool, exchange: str = "all_gather", again: bool = False
) -> dict[str, float]:
    """The largest error of logits and of each gradient, relative to its largest value."""
    world, rows, size = PLACES[place]
    rank = dist.get_rank(group)
    model, images = model_of().train(training), whole(size)
    parameters = dict(model.named_parameters())
    expected = evaluated(model, parameters, images, 1.0)
    model.set_grad_checkpointing(again)
    parallel = SequenceParallelViG(model, group, exchange)
    found = evaluated(parallel, parameters, rows_of(images, rank, world, rows), 1 / world)
    for name in parameters:
        found[name] = found[name].contiguous()
        dist.all_reduce(found[name], group=group)
    errors = {}
    for name, x in found.items():
        part = rows_of(expected[name], rank, world, rows) if name == "images" else expected[name]
        errors[name] = ((x - part).abs().max() / expected[name].abs().max()).item()
    return errors


def traffic() -> tuple[list[int], list[int]]:
    """Bytes that each pass sends, of float64 without gradients of images."""
    model = model_of().train()
    parallel, images = SequenceParallelViG(model, exchange="ring"), rows_of(whole((112, 32)), dist.get_rank(), 4)
    with record_traffic() as forward:
        loss = parallel(images).sum()
    with record_traffic() as backward:
        loss.backward()
    return [forward.sent_bytes, forward.received_bytes], [backward.sent_bytes, backward.received_bytes]


def half_precision() -> float:
    """How far logits under autocast are from the single process's, both in bfloat16."""
    model, images = filled(NAME).eval(), whole((112, 32)).float()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = model(images)
        found = SequenceParallelViG(model)(rows_of(images, dist.get_rank(), 4))
    return ((found - expected).abs().max() / expected.abs().max()).item()


def refusals() -> dict[str, str | None]:
    odd = dist.get_rank() == 1
    parallel, images = SequenceParallelViG(model_of()), rows_of(whole((128, 32)), dist.get_rank(), 4)
    calls: dict[str, Callable[[], Any]] = {
        "no rows": lambda: parallel(images[:, :, :0] if odd else images),
        "half a row": lambda: parallel(images[:, :, :24] if odd else images),
        "width": lambda: parallel(images[..., :16] if odd else images),
        "dtype": lambda: parallel(images.float() if odd else images),
        "mode": lambda: parallel.train(odd)(images),
        "too few rows": lambda: rows_of(whole((48, 32)), dist.get_rank(), 4),
        "rows of another group": lambda: rows_of(whole((48, 32)), dist.get_rank(), 4, (1, 1, 1)),
    }
    messages: dict[str, str | None] = dict.fromkeys(calls)
    for name, call in calls.items():
        try:
            call()
        except ValueError as error:
            messages[name] = str(error)
    return messages


def all_checks() -> dict[str, Any]:
    """Everything that needs ranks, in one start of them."""
    groups = {1: first_ranks(1), 2: first_ranks(2), 3: first_ranks(3), 4: None}
    inside = {place: groups[one[0]] for place, one in PLACES.items() if dist.get_rank() < one[0]}
    errors = {
        (place, training): compare(place, group, training)
        for place, group in inside.items()
        for training in (False, True)
    }
    return {
        "errors": errors,
        "ring": compare("4 ranks", None, True, "ring"),
        "checkpointing": compare("4 ranks", None, True, again=True),
        "traffic": traffic(),
        "half": half_precision(),
        "refusals": refusals(),
    }


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return run_ranks(all_checks, 4, tmp_path_factory.mktemp("ranks"))


def require_small(errors: dict[str, float], resized: bool) -> None:
    """1e-10; the position embedding is resized in float32, as released, and so is its gradient."""
    limits = {"pos_embed": 1e-6 if resized else 1e-10}
    assert {name: error for name, error in errors.items() if not error < limits.get(name, 1e-10)} == {}


@pytest.mark.slow
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("place", PLACES)
def test_logits_and_gradients_are_those_of_a_single_process(
    ranks: list[dict[str, Any]], place: str, training: bool
) -> None:
    for rank in ranks[: PLACES[place][0]]:
        require_small(rank["errors"][place, training], resized="14 x 14" not in place)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["ring", "checkpointing"])
def test_the_same_by_a_ring_and_with_blocks_computed_again(ranks: list[dict[str, Any]], way: str) -> None:
    for rank in ranks:
        require_small(rank[way], resized=True)


@pytest.mark.slow
def test_what_a_model_sends_is_halos_states_and_a_mean(ranks: list[dict[str, Any]]) -> None:
    columns, batch, size = 2, 2, 8
    states = 2 * batch * DIM // 2 * DIM // HEADS * size  # of both directions of a layer
    row = batch * columns * DIM * size
    assert 2 * row == size * halo_elements(DIM, columns, 4, batch)
    mean = size * mean_elements(DIM, 4, batch)
    pixels = batch * 3 * 9 * 32 * size
    for number, rank in enumerate(ranks):
        share = 1 if number in (0, 3) else 2  # neighbours
        forward, backward = rank["traffic"]
        both = DEPTH * share * (row + states // 2) + mean
        assert forward == [both + (number < 3) * pixels, both + (number > 0) * pixels]
        assert backward == [both, both]


@pytest.mark.slow
def test_under_autocast_ranks_round_as_one_process_does(ranks: list[dict[str, Any]]) -> None:
    assert max(rank["half"] for rank in ranks) < 2e-2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no rows", "rank 1 of 4 was given wrong inputs: images are (2, 3, 0, 32)"),
        ("half a row", "rank 1 of 4 was given wrong inputs: 24 rows of pixels are no whole rows of tokens: cut"),
        ("width", "width is 32 on rank 0 but 16 on rank 1"),
        ("dtype", "dtype is torch.float64 on rank 0 but torch.float32 on rank 1"),
        ("mode", "mode is eval on rank 0 but training on rank 1"),
        ("too few rows", "3 cannot be cut for 4 ranks: each needs at least one"),
        ("rows of another group", "3 parts (1, 1, 1) for a group of 4 ranks"),
    ],
)
def test_parts_that_do_not_fit_together_raise_the_same_error_on_every_rank(
    ranks: list[dict[str, Any]], name: str, message: str
) -> None:
    found = [rank["refusals"][name] for rank in ranks]
    assert message in found[0]
    assert len(set(found)) == 1


@pytest.mark.parametrize("height", [16, 22, 23, 31, 32, 47, 100, 224])
def test_rows_of_tokens_are_the_stem_s(height: int) -> None:
    with torch.no_grad():
        assert token_rows(height) == model_of().patch_embed(whole((height, 16))).shape[1]


def test_parts_are_the_image_in_steps_of_a_row_of_tokens() -> None:
    images = whole((100, 16))
    for rows in (None, (1, 4, 1)):
        parts = [rows_of(images, rank, 3, rows) for rank in range(3)]
        assert torch.equal(torch.cat(parts, 2), images)
        assert [part.shape[2] % 16 for part in parts] == [0, 0, 4]


def test_what_cannot_be_cut_is_refused() -> None:
    with pytest.raises(ValueError, match="Vim cannot be cut at rows: pass a plain ViG"):
        SequenceParallelViG(filled("vim_tiny_patch16_224"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ViGH cannot be cut at rows"):
        SequenceParallelViG(filled("vig_h_tiny_patch4_224"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="global_pool '' needs all tokens"):
        SequenceParallelViG(model_of(global_pool=""))
    with pytest.raises(ValueError, match="unknown exchange 'gather'"):
        SequenceParallelViG(model_of(), exchange="gather")
    with pytest.raises(ValueError, match=r"torch\.distributed is not initialised"):
        SequenceParallelViG(model_of())(whole((32, 32)))
