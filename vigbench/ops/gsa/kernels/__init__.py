"""Triton kernels of gated slot attention's own part: logits, the softmax over the slots, and its gradient."""
