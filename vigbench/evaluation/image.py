"""One image: which files are taken for images, and what is read of one."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile

_NOT_READ = {"EPS", "MPEG"}  # Ghostscript would run the former; of the latter Pillow knows only the size
_WHITE_IS_LARGEST = {"JPEG2000", "PNG", "PPM", "TIFF"}  # formats that say which value of more than 8 bits is white
_BITS_PER_SAMPLE = 258  # a tag of TIFF


@cache
def _formats() -> list[str]:
    """Those that Pillow reads by itself."""
    Image.init()
    stubs = {name for name, (made, _) in Image.OPEN.items() if _is_stub(made)}
    return sorted(Image.OPEN.keys() - stubs - _NOT_READ)


def _is_stub(made: object) -> bool:
    return isinstance(made, type) and issubclass(made, ImageFile.StubImageFile)


@cache
def suffixes() -> frozenset[str]:
    """Of the formats that Pillow reads, in lower case."""
    formats = {*_formats(), "MPO"}  # which is read as JPEG
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in formats)


def is_image(path: Path) -> bool:
    """Whether a file is an image, by its suffix."""
    return path.suffix.lower() in suffixes()


def read_image(path: Path, mode: str) -> Image.Image:
    """The first picture of a file in `RGB` or `L`, with 8 bits, and as timm has it else: not turned, without alpha.

    Raises:
        ValueError: if nothing says what its values mean.
        Exception: whatever Pillow's decoders raise.
    """
    with Image.open(path, formats=_formats()) as image:
        if image.mode.startswith(("I", "F")):
            return _in_8_bits(image).convert(mode)
        return image.convert(mode)


def _in_8_bits(image: Image.Image) -> Image.Image:
    """Greys of more bits without their lowest ones, as Pillow reads colours; it clips greys at 255."""
    if image.format not in _WHITE_IS_LARGEST or image.mode == "F" or (image.mode == "I" and image.format == "TIFF"):
        raise ValueError(f"its values (mode {image.mode}) have no fixed white; save it with 8 or 16 bits")
    bits = image.tag_v2[_BITS_PER_SAMPLE][0] if image.format == "TIFF" else 16  # type: ignore[attr-defined]
    return Image.fromarray((np.asarray(image) >> (bits - 8)).astype(np.uint8))
