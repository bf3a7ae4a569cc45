"""Diffusion models: DiG and DiT, what they share, and the process that they are trained on."""
