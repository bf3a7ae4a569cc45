"""Imported once by the fork server, so that a worker starts in milliseconds. Must not start threads or CUDA."""

import vigbench.runner.worker  # noqa: F401  importing it is the purpose
