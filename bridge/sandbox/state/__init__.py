"""State: everything that the sandbox remembers, its clock, its ids and its tokens."""
