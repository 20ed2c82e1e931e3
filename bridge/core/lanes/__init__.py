"""Lanes: whose turn it is, who waits for whom, and what counts as lost."""
