"""`vigbench list suites|subjects|implementations`."""

from __future__ import annotations

from typing import Annotated

import typer

from vigbench.tabulate import aligned

KINDS = ("suites", "subjects", "implementations")
Kind = Annotated[str, typer.Argument(metavar="[suites|subjects|implementations]", help="What to list.")]
Pattern = Annotated[str, typer.Argument(help="A glob, e.g. 'vig*'; for subjects it also searches timm.")]


def list_(kind: Kind, pattern: Pattern = "*") -> None:
    """List suites, subjects or implementations."""
    from fnmatch import fnmatchcase

    if kind == "suites":
        from vigbench.suites.loader import list_suites, load_suite

        rows = [(name, load_suite(name).question) for name in list_suites() if fnmatchcase(name, pattern)]
    elif kind == "subjects":
        rows = _subject_rows(pattern)
    elif kind == "implementations":
        from vigbench.cli.doctor import implementation_rows

        rows = [row for row in implementation_rows() if fnmatchcase(row[0], pattern)]
    else:
        from vigbench.nearest import did_you_mean

        raise ValueError(f"list {kind!r}: choose {', '.join(KINDS)}{did_you_mean(kind, KINDS)}")
    if not rows:
        raise ValueError(f"No {kind} match {pattern!r}.")
    print(aligned(rows))


def _subject_rows(pattern: str) -> list[tuple[str, str]]:
    """Each subject and what it is; plug-ins, refused ones too, with the package that brings them."""
    from fnmatch import fnmatchcase

    from vigbench.subjects.catalog import list_subjects
    from vigbench.subjects.family import family_of
    from vigbench.subjects.operators import OPERATORS
    from vigbench.subjects.own import subject_plugins

    kinds = {name: f"operator: {operator.description}" for name, operator in OPERATORS.items()}
    refused = []
    for name, plugin in subject_plugins().items():
        source = f"plug-in of {plugin.distribution}"
        if plugin.problem:
            refused.append((name, f"{source}, refused: {plugin.problem}"))
        else:
            kinds[name] = f"{source}: {plugin.target}"
    listed = [(name, kinds.get(name) or family_of(name)) for name in list_subjects(pattern)]
    return listed + [row for row in refused if fnmatchcase(row[0], pattern)]
