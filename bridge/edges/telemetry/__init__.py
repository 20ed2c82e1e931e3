"""The bridge's own voice: logs and metrics."""
