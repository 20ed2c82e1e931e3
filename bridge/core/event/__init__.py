"""Events: the message as it comes in, the event that is read of it, and the route that it takes."""
