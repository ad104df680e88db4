"""Rules for web addresses: https on the internet, http only on this machine or for a sandbox."""

from __future__ import annotations

import socket
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import SplitResult, urlsplit

#: This machine, as a URL names it.
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def secure_url(url: str) -> SplitResult | None:
    """The parts of a URL that is https, or http on this machine; None for any other text.

    A text with a backslash or a tab is refused: a browser reads the backslash as a slash and drops the tab, and so
    may open another host than `urlsplit` names.
    """
    if not url.isascii() or not url.isprintable() or any(sign in url for sign in ' \\"<>'):
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError for an invalid port
    except ValueError:
        return None
    secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    return parts if secure and parts.hostname else None


def why_refused(base_url: str, *, insecure_hosts: Collection[str], sandbox_allowed: bool) -> str:
    """Return why the API key and payers' numbers must not be sent to this base URL; "" if they may.

    sandbox_allowed: accept a sandbox on this machine, and http there and on `insecure_hosts`. In production a sandbox
    would credit payments that were never made.
    """
    parts = urlsplit(base_url)
    host = (parts.hostname or "").rstrip(".")
    if not sandbox_allowed:
        if parts.scheme == "http":
            return "it is http in production: the key and numbers would travel unencrypted"
        return "in production it leads to this machine or its own network" if _is_private_host(host) else ""
    if parts.scheme == "http" and host not in LOOPBACK.union(insecure_hosts):
        return f"it is http to {host}: the key and numbers would travel unencrypted"
    return ""


def _is_private_host(host: str) -> bool:
    """Whether the host name alone shows this machine or a private network. No DNS lookup."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address is not None and not address.is_global


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """Parse a host written as an IP address, also `127.1` and `2130706433`, which the resolver accepts."""
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeEncodeError):
        return None
