"""Networks that segment volumes: GLIMS, written anew, and those of other packages that people would pick instead."""
