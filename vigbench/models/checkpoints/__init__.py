"""Reading checkpoints: a file without pickled code, the weights in it, and their strict loading."""
