"""What the bridge says of itself: logs and metrics."""
