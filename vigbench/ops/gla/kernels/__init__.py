"""Triton kernels of chunkwise gated linear attention, both directions in one pass over q, k, v and the gates."""
