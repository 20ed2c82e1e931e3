"""Bounds of templates: what arithmetic, formatting and size may cost."""
