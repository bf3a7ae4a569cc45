"""How kernels are launched: looked up in the tuned table, never tried out while a case is measured."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

Pass = Literal["forward", "backward"]
TABLE = Path(__file__).with_name("tuned.json")
SINGLE_KEY_BLOCK = 32
WITHOUT_WGMMA = ("7.", "8.", "12.")  # capabilities
LENGTH_BUCKETS = (256, 1024, 4096, 16384)  # upper ends; longer sequences share one more


class Settings(NamedTuple):
    """Settings of one pass.

    Attributes:
        chunk: tokens handled at once, a power of two from 16.
        key_block, value_block: key and value channels handled at once, powers of two from 16.
        segment: chunks that one program takes one after another for the states.
        states_warps, states_stages: of the kernel that computes states.
        warps, stages: of the kernel that computes outputs, or gradients.
    """

    chunk: int
    key_block: int
    value_block: int
    segment: int
    states_warps: int
    states_stages: int
    warps: int
    stages: int


class Key(NamedTuple):
    """What settings are tuned for. `length` is the upper end of a bucket; 0 for lengths beyond all of them."""

    capability: str
    dtype: str
    key_dim: int
    value_dim: int
    length: int
    pass_: Pass


def key_of(capability: str, dtype: torch.dtype, key_dim: int, value_dim: int, length: int, pass_: Pass) -> Key:
    """The table's key for a call; `capability` as in "9.0"."""
    bucket = next((end for end in LENGTH_BUCKETS if length <= end), 0)
    return Key(capability, str(dtype).removeprefix("torch."), key_dim, value_dim, bucket, pass_)


def settings_for(
    device: torch.device, dtype: torch.dtype, key_dim: int, value_dim: int, length: int, pass_: Pass
) -> Settings:
    """The tuned settings, or the default ones for a device or shape that nobody has tuned for."""
    capability = capability_of(device)
    key = key_of(capability, dtype, key_dim, value_dim, length, pass_)
    return tuned_table().get(key) or default_settings(capability, dtype, key_dim, value_dim, pass_)


class Row(NamedTuple):
    """One row of the table: settings, and on what and how fast they were measured."""

    settings: Settings
    measured: dict[str, Any]


@lru_cache
def tuned_table() -> dict[Key, Settings]:
    """What `vigbench tune` found, from the table in this package."""
    return {key: row.settings for key, row in parse_rows(TABLE.read_text("utf-8")).items()}


def parse_rows(text: str) -> dict[Key, Row]:
    """A tuned table from its JSON. ValueError where it is not one."""
    try:
        return {Key(**row["key"]): Row(Settings(**row["settings"]), row["measured"]) for row in json.loads(text)}
    except (TypeError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"This is not a tuned table ({error}): write one with vigbench tune --out FILE.") from error


def format_rows(rows: dict[Key, Row]) -> str:
    """The JSON of a tuned table, one row a line."""
    lines = (
        json.dumps({"key": key._asdict(), "settings": row.settings._asdict(), "measured": row.measured})
        for key, row in sorted(rows.items())
    )
    return "[\n" + ",\n".join(lines) + "\n]\n"


def default_settings(capability: str, dtype: torch.dtype, key_dim: int, value_dim: int, pass_: Pass) -> Settings:
    """Settings that compile without spills for every supported shape on compute capability 8.0, 9.0 and 10.0."""
    forward, wide = pass_ == "forward", key_dim > SINGLE_KEY_BLOCK
    key_block = 16 if wide else 32
    if dtype == torch.float32:  # products without tensor cores keep their operands in registers
        return Settings(16, key_block, 32 if forward or value_dim <= 64 else 16, 16, 8, 1, 8, 1)
    if capability.startswith(WITHOUT_WGMMA):  # tensor cores there take their operands from registers
        if forward:
            return Settings(32, 32, 64, 16, 4, 2, 8, 1)
        if wide and value_dim >= 32:
            return Settings(32, 16, 32, 16, 4, 2, 8, 1)
        return Settings(16 if wide else 32, 16, 16, 16, 4, 2, 4, 1)
    if forward:
        return Settings(64, 32, 32, 8, 4, 2, 8, 1) if wide else Settings(64, 32, 64, 8, 4, 2, 4, 1)
    return Settings(16 if wide and value_dim < 32 else 64, key_block, 32, 8, 4, 2, 8, 1)


@lru_cache
def capability_of(device: torch.device) -> str:
    """Compute capability of a CUDA device, as in "9.0"; of any other what the interpreter is given."""
    if device.type != "cuda":
        return "interpreted"
    major, minor = torch.cuda.get_device_capability(device)
    return f"{major}.{minor}"
