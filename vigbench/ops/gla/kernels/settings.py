"""How kernels are launched: looked up in the tuned table, never tried out while a case is measured."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from vigbench.ops.capability import capability_of

Pass = Literal["forward", "backward"]
TABLE = Path(__file__).with_name("tuned.json")
VIG_KEY_DIM, VIG_VALUE_DIM = 32, 64  # of ViG's heads
MULTIPROCESSORS = 132  # of a Hopper GPU
SHORTEST_SEGMENT = 8  # chunks: each costs a state, and the first walk over it
WARP_GROUP = 4  # warps; and a product of theirs has 64 rows
WARP_GROUP_ROWS = 64
LENGTH_BUCKETS = (256, 1024, 4096, 16384)  # upper ends; longer sequences share one more
WALK_BUCKETS = (16, 48, MULTIPROCESSORS - 1, 1024)  # likewise: a few images, and too few to fill a Hopper GPU


class GlaSettings(NamedTuple):
    """Settings of one pass.

    Attributes:
        chunk: tokens handled at once, a power of two from 16.
        key_block, value_block: key and value channels handled at once, powers of two from 16.
        segment: chunks that one program takes one after another for the states.
        states_warps, states_stages: of the kernel that computes states.
        warps, stages: of the kernel that computes outputs, or gradients.
        walk: whether outputs, or gradients, come from one walk with the state, or its gradient, in registers
            (`walk.py`, `walk_gradients.py`), and not from two passes. A program takes `segment` chunks for them, too.
    """

    chunk: int
    key_block: int
    value_block: int
    segment: int
    states_warps: int
    states_stages: int
    warps: int
    stages: int
    walk: bool = False


# A walk for gradients compiles without spills in chunks of 16; no GPU has shown it faster than two passes.
WALK_BACK = GlaSettings(16, VIG_KEY_DIM, VIG_VALUE_DIM, 256, WARP_GROUP, 2, 8, 1, walk=True)
WALK = GlaSettings(64, VIG_KEY_DIM, VIG_VALUE_DIM, 0, WARP_GROUP, 2, WARP_GROUP, 2, walk=True)


class Key(NamedTuple):
    """What settings are tuned for. `length` and `walks` are upper ends of buckets; 0 for what is beyond all of them."""

    capability: str
    dtype: str
    key_dim: int
    value_dim: int
    length: int
    walks: int
    pass_: Pass


def key_of(
    capability: str, dtype: torch.dtype, key_dim: int, value_dim: int, length: int, walks: int, pass_: Pass
) -> Key:
    """The table's key for a call; `capability` as in "9.0", `walks` in sequences times heads times directions."""
    name = str(dtype).removeprefix("torch.")
    return Key(
        capability, name, key_dim, value_dim, _bucket(length, LENGTH_BUCKETS), _bucket(walks, WALK_BUCKETS), pass_
    )


def _bucket(n: int, ends: tuple[int, ...]) -> int:
    return next((end for end in ends if n <= end), 0)


@lru_cache(maxsize=1024)
def settings_for(
    device: torch.device, dtype: torch.dtype, key_dim: int, value_dim: int, length: int, walks: int, pass_: Pass
) -> GlaSettings:
    """The tuned settings, or untuned ones for a device or shape that nobody has tuned for, or tuned wrongly."""
    capability = capability_of(device)
    tuned = tuned_table().get(key_of(capability, dtype, key_dim, value_dim, length, walks, pass_))
    if tuned is None or forbidden(tuned, capability, dtype, pass_):
        return untuned_settings(capability, dtype, key_dim, value_dim, length, walks, pass_)
    return tuned


def untuned_settings(
    capability: str, dtype: torch.dtype, key_dim: int, value_dim: int, length: int, walks: int, pass_: Pass
) -> GlaSettings:
    """Of a forward pass those of one walk, where that may be; else the default ones, of two passes."""
    walk = walk_settings(capability, dtype, key_dim, value_dim, length, walks) if pass_ == "forward" else None
    return walk or default_settings(capability, dtype, pass_, key_dim)


def walk_settings(
    capability: str, dtype: torch.dtype, key_dim: int, value_dim: int, length: int, walks: int
) -> GlaSettings | None:
    """Settings of one walk, where a GPU has shown it faster than two passes, or where it fills one as well; else None.

    An H200 has been seen: 192 walks of 4,096 tokens took 0.6 of the two passes' time, 64 tokens of a head of ViG at
    once. Fewer walks are cut into segments, a program for each multiprocessor in either phase, and are two passes where
    segments would be short.
    """
    if not capability.startswith("9.") or dtype == torch.float32 or key_dim > VIG_KEY_DIM or value_dim > VIG_VALUE_DIM:
        return None
    chunks = -(-length // WALK.chunk)
    segment = chunks if walks >= MULTIPROCESSORS else -(-chunks // -(-2 * MULTIPROCESSORS // walks))
    return WALK._replace(segment=segment) if segment >= min(chunks, SHORTEST_SEGMENT) else None


class TunedRow(NamedTuple):
    """One row of the table: settings, and on what and how fast they were measured."""

    settings: GlaSettings
    measured: dict[str, Any]


@lru_cache
def tuned_table() -> dict[Key, GlaSettings]:
    """What `vigbench tune` found, from the table in this package."""
    return {key: row.settings for key, row in parse_rows(TABLE.read_text("utf-8")).items()}


def parse_rows(text: str) -> dict[Key, TunedRow]:
    """A tuned table from its JSON. ValueError where it is not one."""
    try:
        return {
            Key(**row["key"]): TunedRow(GlaSettings(**row["settings"]), row["measured"]) for row in json.loads(text)
        }
    except (TypeError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"This is not a tuned table ({error}): write one with vigbench tune --out FILE.") from error


def format_rows(rows: dict[Key, TunedRow]) -> str:
    """The JSON of a tuned table, one row a line."""
    lines = (
        json.dumps({"key": key._asdict(), "settings": row.settings._asdict(), "measured": row.measured})
        for key, row in sorted(rows.items())
    )
    return "[\n" + ",\n".join(lines) + "\n]\n"


def default_settings(capability: str, dtype: torch.dtype, pass_: Pass, key_dim: int = VIG_KEY_DIM) -> GlaSettings:
    """Settings for any shape that `forbidden` allows; on capability 8.0, 9.0 and 10.0 they compile without spills."""
    if dtype == torch.float32:  # products without tensor cores keep their operands in registers
        return GlaSettings(16, 16, 16 if capability.startswith("gfx") else 32, 16, 8, 1, 8, 1)
    hopper = capability.startswith("9.")
    if pass_ == "backward":  # elsewhere, and in float16, chunks of 32 spill a few registers
        return GlaSettings(32 if hopper and dtype == torch.bfloat16 else 16, 16, 16, 16, 4, 2, 4, 1)
    if hopper:  # several blocks of 32 keys spill
        return GlaSettings(64, 32 if key_dim <= VIG_KEY_DIM else 16, 64, 8, 4, 2, 4, 1)
    return GlaSettings(32, 16, 64, 16, 4, 2, 8, 1)


def forbidden(settings: GlaSettings, capability: str, dtype: torch.dtype, pass_: Pass) -> str | None:
    """Why compilers are known or suspected to get these settings wrong; None where they are not.

    Tiles of 64 rows are multiplied asynchronously by whole warp groups on Hopper (capability 9) and by one warp on
    Blackwell (10), and that is where all known faults of Triton 3.4 to 3.9 and of its assembler are. Smaller tiles are
    multiplied by single warps, synchronously, as on every GPU since Ampere. docs/kernels.md has the threads.
    """
    if settings.walk and pass_ == "backward" and (capability.startswith("gfx") or dtype == torch.float32):
        return "a walk for gradients spills registers there"
    if dtype == torch.float32 or not capability.startswith(("9.", "10.")):
        return None  # no such products
    rows = max(settings.chunk, settings.key_block)
    if rows < WARP_GROUP_ROWS:
        return None
    if capability.startswith("10."):
        return "tiles of 64 rows: Triton to 3.8 may miscompile sums of several products there (triton#10821)"
    if pass_ == "backward":
        return "gradients in tiles of 64 rows came out wrong on Hopper with ptxas 12.8, and it is mended in 13.3 only"
    if max(settings.warps, settings.states_warps) > WARP_GROUP:
        return "a warp group does not wait for the products of another one (triton#11047): use at most 4 warps"
    return None
