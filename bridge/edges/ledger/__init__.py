"""The ledger: a SQLite file for one process, or PostgreSQL for several replicas."""
