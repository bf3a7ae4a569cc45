"""The selective scan's Triton kernels: states at chunk boundaries, outputs, gradients."""
