"""HTTP towards operators and orchestrators."""
