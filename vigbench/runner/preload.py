"""Imported once by the fork server, so that a worker starts in milliseconds. Must not start threads or CUDA."""

import warnings

from vigbench.runner.worker import adopt_orphans

adopt_orphans()  # what a crashed worker leaves behind becomes the fork server's, where it is found and ended
warnings.filterwarnings("ignore", message="forkserver: waitpid returned unexpected pid")  # the end of such an orphan
