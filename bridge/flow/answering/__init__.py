"""One attempt: what is asked of the API for an event, and what is published of the answer."""
