"""A part of interpreted/test_dilated_convs.py, in a process that interprets; test_interpreted.py runs all of it."""

from importlib.util import find_spec

import pytest

from tests.ops.test_interpreted import run_interpreted


@pytest.mark.timeout(300)
@pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")
def test_kernels_compute_what_is_defined() -> None:
    run_interpreted("test_dilated_convs.py", "-k", "test_shapes and 6 or test_tiles and 5 or far_from_zero or 32_bits")
