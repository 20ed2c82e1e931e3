"""The ledger in a SQLite file, for one process."""
