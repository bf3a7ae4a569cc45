"""No value of an image is changed on the quiet: what cannot be read rightly is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from timm.data import ImageDataset

from vigbench.evaluation.image import is_image, read_image, suffixes

RAMP = np.linspace(0, 65535, 48 * 64).reshape(48, 64).astype(np.uint16)
GREY = (RAMP >> 8).astype(np.uint8)
COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=-1)


@pytest.mark.parametrize("name", ["deep.png", "deep.tif", "deep.pgm", "deep.jp2", "big-endian.tif"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_greys_of_16_bits_are_those_of_8_bits(tmp_path: Path, name: str, mode: str) -> None:
    big = name.startswith("big")
    image = Image.frombytes("I;16B", RAMP.shape[::-1], RAMP.astype(">u2").tobytes()) if big else Image.fromarray(RAMP)
    options: dict[str, Any] = {"irreversible": False} if name.endswith("jp2") else {}
    image.save(tmp_path / name, **options)
    expected = Image.fromarray(GREY).convert(mode)
    assert np.array_equal(np.asarray(read_image(tmp_path / name, mode)), np.asarray(expected))


def test_twelve_bits_of_a_tiff_are_not_taken_for_sixteen(tmp_path: Path) -> None:
    pairs = (RAMP >> 4).reshape(-1, 2).astype(np.uint32)
    packed = (pairs[:, 0] << 12 | pairs[:, 1]).astype(">u4").view(np.uint8).reshape(-1, 4)[:, 1:].tobytes()
    tags = {256: 64, 257: 48, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 48, 279: len(packed)}
    entries = b"".join(
        number.to_bytes(2, "little") + b"\4\0" + b"\1\0\0\0" + value.to_bytes(4, "little")
        for number, value in tags.items()
    )
    content = b"II*\0" + (8 + len(packed)).to_bytes(4, "little") + packed
    (tmp_path / "a.tif").write_bytes(content + len(tags).to_bytes(2, "little") + entries + b"\0\0\0\0")
    assert np.array_equal(np.asarray(read_image(tmp_path / "a.tif", "L")), GREY)


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("whole.tif", RAMP.astype(np.int32)),
        ("real.tif", RAMP.astype(np.float32) / 65535),
        ("real.pfm", RAMP.astype(np.float32)),
    ],
)
def test_values_without_a_white_are_refused(tmp_path: Path, name: str, pixels: Any) -> None:
    Image.fromarray(pixels).save(tmp_path / name)
    with pytest.raises(ValueError, match=r"its values \(mode [IF]\) have no fixed white; save it with 8 or 16 bits"):
        read_image(tmp_path / name, "RGB")


def pictures() -> dict[str, Image.Image]:
    """One of each kind that Pillow turns into colours by itself."""
    colour = Image.fromarray(COLOUR)
    palette = colour.quantize(16)
    palette.info["transparency"] = bytes(range(16))
    alpha = colour.convert("RGBA")
    alpha.putalpha(Image.fromarray(GREY))
    return {
        "rgb.png": colour,
        "rgb.jpg": colour,
        "rgba.png": alpha,
        "rgba.webp": alpha,
        "la.png": alpha.convert("LA"),
        "palette.png": palette,
        "palette.gif": colour.quantize(16),
        "bits.png": Image.fromarray(GREY).convert("1"),
        "bits.tif": Image.fromarray(GREY).convert("1"),
        "cmyk.jpg": colour.convert("CMYK"),
        "cmyk.tif": colour.convert("CMYK"),
        "ycc.tif": colour.convert("YCbCr"),
        "grey.bmp": Image.fromarray(GREY),
        "rgb.tga": colour,
        "rgb.ppm": colour,
    }


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
@pytest.mark.parametrize("name", pictures())
def test_every_other_kind_is_what_timm_makes_of_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").mkdir()
    file = tmp_path / "a" / name
    pictures()[name].save(file)
    timms = ImageDataset(str(tmp_path), reader="folder", input_key=file.suffix)
    with timms.reader[0][0] as opened, Image.open(opened) as image:
        expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(np.asarray(read_image(file, "RGB")), expected)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # timm leaves the file open
def test_an_image_is_not_turned_as_its_camera_was_held(tmp_path: Path) -> None:
    """As in timm, whose published accuracies are those of images as they are stored."""
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: a quarter to the right
    (tmp_path / "a").mkdir()
    Image.fromarray(COLOUR).save(tmp_path / "a" / "turned.png", exif=turned)
    (timms, _) = ImageDataset(str(tmp_path))[0]
    ours = read_image(tmp_path / "a" / "turned.png", "RGB")
    assert np.array_equal(np.asarray(ours), COLOUR)
    assert np.array_equal(np.asarray(timms), COLOUR)


def test_the_first_picture_of_several_is_read(tmp_path: Path) -> None:
    first, second = Image.fromarray(COLOUR), Image.fromarray(COLOUR[::-1])
    first.save(tmp_path / "pages.tif", save_all=True, append_images=[second])
    assert np.array_equal(np.asarray(read_image(tmp_path / "pages.tif", "RGB")), COLOUR)


def test_every_format_that_pillow_reads_is_an_image_by_its_suffix() -> None:
    assert {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".jp2", ".mpo"} <= suffixes()
    assert is_image(Path("A.JPEG"))
    others = (
        "a.txt",
        "a",
        "png",
        ".png",
        "a.pdf",
        "a.h5",
        "a.mpg",
        "a.eps",
        "a.png.bak",
    )  # what Pillow writes or names
    assert not any(is_image(Path(name)) for name in others)


def test_a_file_that_ghostscript_would_run_is_no_image_under_any_name(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.png")
    with pytest.raises(OSError, match="cannot identify"):
        read_image(tmp_path / "a.png", "RGB")
