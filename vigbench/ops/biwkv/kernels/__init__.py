"""Triton kernels of Bi-WKV, both directions in one pass over k and v."""
