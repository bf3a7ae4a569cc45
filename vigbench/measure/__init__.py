"""Measuring: one file for each kind of number. Knows models and tensors, nothing of records, of suites a size."""
