"""Options that say one case, beside those of the axes, for the commands that look at one."""

from __future__ import annotations

from typing import Annotated

import typer

from vigbench.cli.options import MOST_THREADS
from vigbench.suites.axes import AXES

BatchSize = Annotated[int, typer.Option(help="Images per iteration.", min=1)]
Precision = Annotated[str, typer.Option(help=AXES["precision"].help)]
Threads = Annotated[int, typer.Option(help=AXES["threads"].help, min=0, max=MOST_THREADS)]
