"""Guards of the flow: breaker, ledger, broker, poison, pauses. They hold events back, or let go of them."""
