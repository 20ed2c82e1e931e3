"""The end of a conversation: finished when it is due, and announced."""
