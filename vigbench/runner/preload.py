"""Imported once by the fork server, so that a worker starts in milliseconds. Must not start threads or CUDA."""

import warnings

import scipy.stats  # noqa: F401  used after the warm-up: its import must not disturb a measurement

from vigbench.runner.worker import adopt_orphans

adopt_orphans()  # what a crashed worker leaves behind becomes the fork server's, where it is found and ended
warnings.filterwarnings("ignore", message="forkserver: waitpid returned unexpected pid")  # the end of such an orphan
