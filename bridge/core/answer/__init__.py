"""The agent's answer: its lines, what they mean, the messages published of it, and the history at the API."""
