"""What a GPU is called where settings of kernels are chosen."""

from functools import lru_cache

import torch


@lru_cache
def capability_of(device: torch.device) -> str:
    """Compute capability of an NVIDIA GPU, as in "9.0", or an AMD GPU's architecture, as in "gfx942".

    Of any other device what the interpreter is given.
    """
    if device.type != "cuda":
        return "interpreted"
    if torch.version.hip:  # whose numbers look like capabilities: 9.4 of an MI300 is no Hopper
        return str(torch.cuda.get_device_properties(device).gcnArchName).partition(":")[0]
    major, minor = torch.cuda.get_device_capability(device)
    return f"{major}.{minor}"
