"""The life of a delivery: outcomes of attempts, progress, the ledger's entry, retries, limits, poison messages."""
