"""The ledger in PostgreSQL, for several replicas."""
