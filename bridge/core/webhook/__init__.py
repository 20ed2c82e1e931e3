"""Webhooks: who signed them and how, what is answered, and the event that each becomes."""
