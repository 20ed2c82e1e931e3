"""The operations of the API, and the sandbox's own under `/_sandbox`."""
