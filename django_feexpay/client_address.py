"""The address of a client, for the limits of callers that are not signed in.

A client can write anything into `X-Forwarded-For`. Only the entries that the host's own proxies appended can be
trusted: FEEXPAY["NUM_PROXIES"] says how many there are, counted from the right. FEEXPAY["CLIENT_ADDRESS_HEADER"] names
instead one header that the nearest proxy always overwrites. Without either, the address of the connection counts.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from django_feexpay.conf import feexpay

#: A subscriber gets at least this prefix of IPv6, so its addresses count as one client.
_IPV6_PREFIX_BITS = 64


def client_key(request: HttpRequest) -> str:
    """What identifies a client in counters: a hash of its address, which is personal data and may lie in a table.

    An address that is missing or malformed in a trusted header is replaced by that of the connection, because the
    request did not come through the proxy. All clients of a server that gives no address (a Unix socket) share a key.
    """
    address = _normal(_forwarded(request)) or _normal(str(request.META.get("REMOTE_ADDR", "")))
    return salted_hmac(__name__, address, algorithm="sha256").hexdigest()


def client_address(request: HttpRequest) -> str:
    """The full address of a client; "" where the server gives none. It is never stored, because it is personal data."""
    given = _forwarded(request).strip() or str(request.META.get("REMOTE_ADDR", ""))
    try:
        address = ip_address(given)
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def _forwarded(request: HttpRequest) -> str:
    if header := feexpay.client_address_header:
        return request.headers.get(header, "")
    count = feexpay.num_proxies
    hops = request.headers.get("X-Forwarded-For", "").split(",") if count else []
    return hops[-count] if len(hops) >= count > 0 else ""


def _normal(text: str) -> str:
    """An address in one spelling, an IPv6 one cut to its prefix; "" for anything else."""
    if not text:
        return ""
    try:
        address = ip_address(text.strip().partition("%")[0])
    except ValueError:
        return ""
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    host_bits = 128 - _IPV6_PREFIX_BITS
    return f"{IPv6Address(int(address) >> host_bits << host_bits)}/{_IPV6_PREFIX_BITS}"
