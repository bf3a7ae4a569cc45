"""The page: its template, data and tables."""
