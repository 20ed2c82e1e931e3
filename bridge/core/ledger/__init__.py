"""The ledger's memory of an event, and what follows from it."""
