"""Who is at the other end of an HTTP connection: behind a proxy only where that proxy is trusted."""

import ipaddress
import re
from collections.abc import Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_PORT = r"(?::(?:[0-9]{0,5}|_[A-Za-z0-9._-]+))?"
_IPV6 = r"[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?"
_HOP = re.compile(rf'"?(?:\[({_IPV6})\]{_PORT}|([0-9.]+){_PORT}|({_IPV6}))"?')
"""An entry of `X-Forwarded-For`: proxies write it with its port or without, and version 6 often in brackets."""


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Addresses and networks such as `10.0.0.0/8`. Raises ValueError."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def client_address(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """The client's address: the last one in `X-Forwarded-For` that no trusted proxy has, seen from the peer backwards.

    What stands before it anybody may have written, so it is not looked at; nor is anything before what is no address,
    such as `unknown`. A port is left out.
    """
    address = peer
    hops = [hop for value in forwarded for part in value.split(",") if (hop := part.strip())]
    while _is_trusted(address, trusted) and hops:
        host = _host(hops.pop())
        if host is None:
            break
        address = host
    return address


def _host(hop: str) -> str | None:
    """The address in an entry of the header, as it stands there; None where there is none."""
    match = _HOP.fullmatch(hop)
    host = next(filter(None, match.groups()), "") if match else ""
    return host if _address(host) is not None else None


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
