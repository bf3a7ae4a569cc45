"""Suites: a named question, typed and strict, and the cases it stands for."""
