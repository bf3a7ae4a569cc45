"""Sequence layers on their own, as language models stack them: a linear one's own, beside LLaMA's attention."""
