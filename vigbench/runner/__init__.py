"""Running: a fresh worker process for each case, one record each."""
