"""HTTP: the server, one call of an operation, what is checked of it, its refusals and its limits."""
