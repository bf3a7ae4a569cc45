"""Operators that are measured on their own, beside models, by the name of the subject."""

from __future__ import annotations

from vigbench.ops.registry import list_operators

OPERATORS = {subject.name: subject for operator in list_operators() for subject in operator.subjects}
