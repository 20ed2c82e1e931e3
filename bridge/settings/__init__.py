"""The configuration: its model, where values come from, and what the rest of the bridge makes of them."""
