"""Jinja: the routes' templates, sandboxed, and bounded in what an event's data can make them do."""

from bridge.edges.jinja.routes import JinjaRoutes, check_expression, check_template

__all__ = ["JinjaRoutes", "check_expression", "check_template"]
