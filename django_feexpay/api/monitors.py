"""Who may read the health report and the metrics: a monitor's own token, staff, or for metrics a network."""

from __future__ import annotations

import hmac
from ipaddress import ip_address

from django.http import HttpRequest

from django_feexpay.client_address import client_address
from django_feexpay.conf import feexpay


def has_monitor_token(request: HttpRequest) -> bool:
    """Whether `Authorization: Bearer …` holds a token of FEEXPAY["MONITOR_TOKEN"]."""
    scheme, _space, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return False
    known = [hmac.compare_digest(given.strip().encode(), token.reveal().encode()) for token in feexpay.monitor_tokens]
    return any(known)  # all are compared, so the time does not tell which one is right


def is_in_monitor_network(request: HttpRequest) -> bool:
    """Whether the client's address is in FEEXPAY["MONITOR_NETWORKS"].

    An address that a proxy forwarded counts only if NUM_PROXIES or CLIENT_ADDRESS_HEADER says so. With neither, a
    request with X-Forwarded-For is in no network: the connection would be the proxy's, and every visitor would be in.
    """
    networks = feexpay.monitor_networks
    trusts_proxy = feexpay.num_proxies or feexpay.client_address_header
    if not networks or ("X-Forwarded-For" in request.headers and not trusts_proxy):
        return False
    try:
        address = ip_address(client_address(request))
    except ValueError:  # a Unix socket has no address
        return False
    return any(address in network for network in networks)
