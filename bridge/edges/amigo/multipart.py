"""The body of an interact call (contract, section 1.3): control parts first, the message last.

The server begins while it still reads, so the order matters; its pattern for the content type allows exactly one space.
"""


def interact_body(initial_message_type: str, message: str, boundary: str) -> tuple[bytes, str]:
    """Body and content type. `boundary` must not occur in the message: give a random one of 128 bits."""
    parts = (
        _part(boundary, 'name="initial_message_type"', None, initial_message_type),
        _part(boundary, 'name="recorded_message"; filename="message.txt"', "text/plain; charset=utf-8", message),
    )
    body = b"".join(parts) + f"--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"


def _part(boundary: str, disposition: str, content_type: str | None, value: str) -> bytes:
    head = f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n"
    if content_type is not None:
        head += f"Content-Type: {content_type}\r\n"
    return head.encode() + b"\r\n" + value.encode("utf-8", "replace") + b"\r\n"
