"""Scans in files: their size, their values normalised, and one clear line for every file that is none."""

import gzip
import io
import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vigbench.suites.axes import AXES
from vigbench.suites.scan import read_path, read_scan, resolution_of

SIDES = (6, 10, 8)


def values(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).gamma(2, 300, shape)


def assert_normed(found: np.ndarray, channels: np.ndarray) -> None:
    """Each channel with mean 0 and deviation 1, and in the order (channels, depth, height, width)."""
    assert found.dtype == np.float32
    assert found.shape == channels.shape
    for one, given in zip(found, channels, strict=True):
        np.testing.assert_allclose(one, (given - given.mean()) / given.std(), atol=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int16", "uint8"])
@pytest.mark.parametrize("shape", [SIDES, (1, *SIDES), (4, *SIDES)])
def test_an_array_is_read(shape: tuple[int, ...], dtype: str, tmp_path: Path) -> None:
    array = (values(*shape) / 20).astype(dtype)
    np.save(path := tmp_path / "scan.npy", array)
    assert read_path(path) == str(path)
    assert resolution_of(str(path)) == "6x10x8"
    assert_normed(read_scan(str(path)), array.reshape(-1, *SIDES).astype(np.float64))
    assert AXES["scan"].settings(str(path)) == {"scan": str(path), "resolution": "6x10x8"}


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("shape", [SIDES, (*SIDES, 1), (*SIDES, 4)])
def test_an_image_is_read_with_its_channels_last(shape: tuple[int, ...], suffix: str, tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    array = values(*shape).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), path := tmp_path / f"scan{suffix}")
    assert resolution_of(str(path)) == "6x10x8"
    assert_normed(read_scan(str(path)), np.moveaxis(array.reshape(*SIDES, -1), -1, 0).astype(np.float64))


def test_a_scan_in_whole_numbers_with_a_scale_is_read(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image((values(*SIDES)).astype(np.int16), np.eye(4))
    image.header.set_slope_inter(0.5, 100)
    nibabel.save(image, path := tmp_path / "scan.nii")
    assert_normed(read_scan(str(path)), np.asarray(image.dataobj)[None].astype(np.float64))


def test_a_channel_that_is_one_value_is_0(tmp_path: Path) -> None:
    np.save(path := tmp_path / "scan.npy", np.full(SIDES, 7.0))
    assert (read_scan(str(path)) == 0).all()


def test_a_cube_has_one_side_and_a_suffix_in_capitals_is_one(tmp_path: Path) -> None:
    with (path := tmp_path / "Scan.NPY").open("wb") as file:
        np.save(file, values(8, 8, 8))
    assert resolution_of(str(path)) == 8


def array_of(array: np.ndarray, **more: bool) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        np.save(path := folder / "scan.npy", array, **more)
        return path

    return write


def written(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (path := folder / name).write_bytes(content)
        return path

    return write


def folder_named(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (path := folder / name).mkdir()
        return path

    return write


def npy() -> bytes:
    np.save(stream := io.BytesIO(), values(*SIDES))
    return stream.getvalue()


def image(dtype: type = np.float32, shape: tuple[int, ...] = SIDES) -> bytes:
    nibabel = pytest.importorskip("nibabel")
    return bytes(nibabel.Nifti1Image(values(*shape).astype(dtype), np.eye(4)).to_bytes())


NO_SCAN: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a missing file": (lambda folder: folder / "scan.npy", "there is no file"),
    "a folder": (folder_named("scan.npy"), "there is no file"),
    "another suffix": (written("scan.png", npy()), "is no scan by its name: .* ends in .nii, .nii.gz, .npy"),
    "no suffix": (written("scan", npy()), "is no scan by its name"),
    "text": (written("scan.npy", b"depth,height\n1,2\n"), "cannot be read"),
    "nothing": (written("scan.npy", b""), "cannot be read"),
    "an array that is cut": (written("scan.npy", npy()[:-100]), "cannot be read"),
    "an array's head that is cut": (written("scan.npy", npy()[:40]), "cannot be read"),
    "Python objects": (array_of(np.array([[[{}]]], dtype=object), allow_pickle=True), "cannot be read"),
    "complex numbers": (array_of(values(*SIDES).astype(complex)), "holds complex128, no real numbers"),
    "words": (array_of(np.full(SIDES, "a")), "no real numbers"),
    "one number": (array_of(np.array(3.0)), "holds an array of one number"),
    "a picture": (array_of(values(6, 10)), "holds an array of 6x10: give a volume of three sides"),
    "five sides": (array_of(values(2, 2, *SIDES)), "holds an array of 2x2x6x10x8"),
    "no depth": (array_of(values(0, 10, 8)), "holds an array of 0x10x8"),
    "no channel": (array_of(values(0, *SIDES)), "holds an array of 0x6x10x8"),
    "text for an image": (written("scan.nii", b"depth,height\n1,2\n"), "cannot be read"),
    "an image that is not packed": (written("scan.nii.gz", b"depth,height\n1,2\n"), "cannot be read"),
}
NO_IMAGE: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "an image that is cut": (lambda: image()[:-100], "scan.nii", "cannot be read"),
    "a packed image that is cut": (lambda: gzip.compress(image())[:-200], "scan.nii.gz", "cannot be read"),
    "complex numbers": (lambda: image(np.complex64), "scan.nii", "complex64, no real numbers"),
    "a picture": (lambda: image(shape=(6, 10)), "scan.nii", "holds an array of 6x10"),
    "five sides": (lambda: image(shape=(*SIDES, 2, 2)), "scan.nii", "holds an array of 6x10x8x2x2"),
}


def refused(path: Path, said: str) -> None:
    """Reading ends in one line; saying the size as well, unless the damage is behind the head."""
    with pytest.raises(ValueError, match=said) as error:
        read_scan(str(path))
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    assert not str(error.value).endswith("."), "another sentence goes on"


@pytest.mark.parametrize("name", NO_SCAN)
def test_a_file_that_is_no_scan_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    write, said = NO_SCAN[name]
    if "image" in name:
        pytest.importorskip("nibabel")
    refused(path := write(tmp_path), said)
    with pytest.raises(ValueError, match=said) as error:
        read_path(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", NO_IMAGE)
def test_an_image_that_is_no_scan_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    make, file, said = NO_IMAGE[name]
    (path := tmp_path / file).write_bytes(make())
    refused(path, said)


def test_an_image_that_is_cut_behind_its_head_still_says_its_size(tmp_path: Path) -> None:
    make, file, _ = NO_IMAGE["a packed image that is cut"]
    (path := tmp_path / file).write_bytes(make())
    assert resolution_of(str(path)) == "6x10x8"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    array = values(*SIDES)
    array[3, 4, 5] = value
    np.save(path := tmp_path / "scan.npy", array)
    assert resolution_of(str(path)) == "6x10x8"
    refused(path, "values that are not finite: replace them")


def test_without_nibabel_an_array_is_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nibabel", None)
    (path := tmp_path / "scan.nii.gz").write_bytes(b"")
    refused(path, r"nibabel, which is not installed: pip install 'vigbench\[volumes\]', or save it as .npy")
    np.save(array := tmp_path / "scan.npy", values(*SIDES))
    assert read_scan(str(array)).shape == (1, *SIDES)
