"""The flow's needs of the world. Edges keep these promises; `tests/promises` holds fake and real to them alike."""
