"""Webhooks: signed, sent, sent again, and logged."""
