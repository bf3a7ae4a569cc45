"""From records to answers: comparison. Works on files and frames, measures nothing."""
