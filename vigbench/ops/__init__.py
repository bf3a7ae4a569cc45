"""The operators under test, one folder each; `registry` knows their implementations, `cost` what they cost."""
