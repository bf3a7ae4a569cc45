"""Where time and memory of one iteration go: by module, by operator, by kernel, against the device's ceilings."""
