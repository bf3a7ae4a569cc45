"""Scans in files: a NIfTI image (.nii, .nii.gz; read by nibabel) or an array (.npy), of one or several channels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vigbench.suites.resolution import Resolution, read_resolution

if TYPE_CHECKING:
    import numpy as np

SUFFIXES = (".nii", ".nii.gz", ".npy")
ADVICE = "give a volume of three sides: .npy (depth, height, width) or (channels, ...), .nii or .nii.gz (..., channels)"


def read_path(value: Any) -> str:
    """The path of a scan that is there and says its shape. ValueError, without a full stop, for anything else."""
    resolution_of(path := str(value))
    return path


def resolution_of(path: str) -> Resolution:
    """Depth, height and width of a scan, from the file's header. ValueError, without a full stop, if there is none."""
    shape = _open(path).shape
    sides = shape[1:] if len(shape) == 4 and _is_array(path) else shape[:3]
    if len(shape) not in (3, 4) or min(shape) < 1:
        raise ValueError(f"{path} holds an array of {'x'.join(map(str, shape)) or 'one number'}: {ADVICE}")
    return read_resolution("x".join(map(str, sides)))


def read_scan(path: str) -> np.ndarray:
    """The values of a scan as (channels, depth, height, width) in float32, each channel with mean 0 and deviation 1.

    Raises:
        ValueError: if they cannot be read to the end, or are not finite numbers.
    """
    import numpy as np

    resolution_of(path)
    opened = _open(path)
    try:
        values = np.asarray(getattr(opened, "dataobj", opened), dtype=np.float32)
    except Exception as error:  # whatever a damaged file makes a reader raise
        raise ValueError(f"{path} cannot be read to its end ({_said(error)}): copy it again") from error
    if values.ndim == 4 and not _is_array(path):
        values = np.moveaxis(values, -1, 0)
    values = values.reshape(-1, *values.shape[-3:])
    if not np.isfinite(values).all():
        raise ValueError(f"{path} holds values that are not finite: replace them, as by numpy.nan_to_num")
    deviation = values.std((1, 2, 3), keepdims=True)
    normalised: np.ndarray = (values - values.mean((1, 2, 3), keepdims=True)) / np.where(deviation > 0, deviation, 1)
    return normalised


def _open(path: str) -> Any:
    """Something with a shape, whose values have not been read."""
    if not path.lower().endswith(SUFFIXES):
        raise ValueError(f"{path!r} is no scan by its name: write a file that ends in {', '.join(SUFFIXES)}")
    if not Path(path).is_file():
        raise ValueError(f"there is no file {path}: write the path of a scan")
    try:
        if _is_array(path):
            return _array(path)
        return _nifti(path)
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"{path} cannot be read ({_said(error)}): {ADVICE}") from error


def _is_array(path: str) -> bool:
    return path.lower().endswith(".npy")


def _array(path: str) -> Any:
    import numpy as np

    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:  # numpy's words for a file that is none, or that holds Python objects
        raise ValueError(f"{path} cannot be read ({_said(error)}): {ADVICE}") from error
    if found.dtype.kind not in "biuf":
        raise ValueError(f"{path} holds {found.dtype}, no real numbers: {ADVICE}")
    return found


def _nifti(path: str) -> Any:
    try:
        import nibabel
    except ModuleNotFoundError:
        raise ValueError(
            f"{path} is read by nibabel, which is not installed: pip install 'vigbench[volumes]', or save it as .npy"
        ) from None
    found: Any = nibabel.load(path)
    if found.get_data_dtype().kind not in "biuf":
        raise ValueError(f"{path} holds {found.get_data_dtype()}, no real numbers: {ADVICE}")
    return found


def _said(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
