"""Check of the base URL: https on the internet, or a sandbox outside production."""

from __future__ import annotations

import socket
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from django_feexpay.catalogue.web_addresses import LOOPBACK


def why_refused(base_url: str, *, insecure_hosts: Collection[str], sandbox_allowed: bool) -> str:
    """Return why the key and payers' numbers must not be sent to this address; "" if they may.

    sandbox_allowed: accept a sandbox on this machine, and http there and on `insecure_hosts`. In production a sandbox
    would credit payments that were never made.
    """
    parts = urlsplit(base_url)
    host = (parts.hostname or "").rstrip(".")
    if not sandbox_allowed:
        if parts.scheme == "http":
            return "it is http in production: the key and numbers would travel in clear"
        return "in production it leads to this machine or its own network" if _is_near(host) else ""
    if parts.scheme == "http" and host not in LOOPBACK.union(insecure_hosts):
        return f"it is http to {host}: the key and numbers would travel in clear"
    return ""


def _is_near(host: str) -> bool:
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
