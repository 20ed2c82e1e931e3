"""Steering by a person: who may, what can be said, and what a pause holds."""
