"""ReGLA's own Triton kernels: maxima before those of gated linear attention, the maxima's gradients behind them."""
