"""The device that a name means here."""

import pytest
import torch

from vigbench.worker.describe import choose_device


def test_choose_device_refuses_what_is_not_there() -> None:
    with pytest.raises(ValueError, match="choose auto, cpu or cuda"):
        choose_device("tpu")
    if not torch.cuda.is_available():
        assert choose_device("auto") == "cpu"
        with pytest.raises(ValueError, match="no CUDA device"):
            choose_device("cuda")
