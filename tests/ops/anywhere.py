"""Implementations that may run on any device, for the interpreter."""

from dataclasses import replace

import pytest

from vigbench.ops import registry


def allow_anywhere(monkeypatch: pytest.MonkeyPatch, operator: str, *names: str) -> None:
    """Let implementations of an operator run on a CPU, which Triton's interpreter computes on."""
    declared = registry.get_operator(operator)
    freed = tuple(replace(one, devices=()) if one.name in names else one for one in declared.implementations)
    monkeypatch.setitem(registry._OPERATORS, operator, replace(declared, implementations=freed))
