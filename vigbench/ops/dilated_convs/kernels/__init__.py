"""Triton kernels of the dilated convolutions, their norms and PReLUs."""
