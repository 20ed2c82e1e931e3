"""Who is at the other end of an HTTP connection: behind a proxy only where that proxy is trusted."""

import ipaddress
from collections.abc import Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Addresses and networks such as `10.0.0.0/8`. Raises ValueError."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def client_address(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """The client's address: the last one in `X-Forwarded-For` that no trusted proxy has, seen from the peer backwards.

    What stands before it anybody may have written, so it is not looked at; nor is anything that is no address.
    """
    found = peer
    hops = [hop.strip() for value in forwarded for hop in value.split(",")]
    while _is_trusted(found, trusted) and hops:
        hop = hops.pop()
        if _address(hop) is None:
            break
        found = hop
    return found


def _is_trusted(text: str, trusted: Sequence[Network]) -> bool:
    address = _address(text)
    return address is not None and any(address in network for network in trusted)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
