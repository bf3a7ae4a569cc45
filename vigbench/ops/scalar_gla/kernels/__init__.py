"""Triton kernels of chunkwise scalar-decay linear attention, both directions in one pass over q, k, v and the gates."""
