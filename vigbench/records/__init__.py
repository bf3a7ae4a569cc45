"""Records: one row for each case, in a journal that survives being killed."""
