"""What every answer of the sample shop has in common, whatever the address: a strict policy and no browsable API."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from shop.content_policy import OWN_FILES_ONLY

from tests.conftest import Configure

pytestmark = pytest.mark.django_db

HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
#: The pages for people below /api/.
PAGES = {"/api/v1/", "/api/v1/docs/"}
VALUES = {"uuid": "0d0f0c3e-8a41-4d6b-9e55-1d2a3b4c5d6e", "token_id": "0" * 32, "token": "a-token"}


def addresses(patterns: Any = None, before: str = "/") -> Iterator[str]:
    """An address for each URL pattern of the project, but the admin's."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        route = str(pattern.pattern).lstrip("^").rstrip("$")
        if isinstance(pattern, URLResolver) and not route.startswith("admin/"):
            yield from addresses(pattern.url_patterns, before + route)
        elif isinstance(pattern, URLPattern):
            named = re.sub(r"<(?:\w+:)?(\w+)>|\(\?P<(\w+)>[^)]*\)", _value, route)
            yield before + named


def _value(found: re.Match[str]) -> str:
    name = found[1] or found[2]
    return VALUES.get(name, VALUES["uuid"])


ADDRESSES = sorted({*addresses(), "/no-such-page/", "/admin/login/", "/admin/"})


def test_addresses_are_those_of_the_project() -> None:
    assert len(ADDRESSES) > 20
    assert {"/", "/api/v1/auth/token/", "/api/v1/payments/feexpay/initiate/", "/api/v1/docs/"} <= set(ADDRESSES)
    assert not [address for address in ADDRESSES if re.search(r"[<>()^$]", address)]


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_browser_meets_a_strict_policy_and_no_browsable_api(
    client: Client, configure: Configure, address: str
) -> None:
    for method in ("GET", "OPTIONS", "POST"):
        answer = client.generic(method, address, headers={"Accept": HTML})

        policy = answer["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        # A page of the host may show the checkout in a frame where the host's own policy allows it.
        framed = "SAMEORIGIN" if address.startswith("/pay/") else "DENY"
        assert (answer["X-Frame-Options"], answer["X-Content-Type-Options"]) == (framed, "nosniff")
        if address.startswith("/api/") and address not in PAGES:
            assert "html" not in answer.get("Content-Type", "")


def test_page_of_a_crash_has_its_own_policy(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs no file, so its style is inside: the policy allows exactly that text."""
    monkeypatch.setattr("shop.pages._packs", lambda: 1 / 0)
    client.raise_request_exception = False

    answer = client.get("/")

    assert answer.status_code == 500
    assert re.fullmatch(r"default-src 'none'; style-src 'sha256-[\w+/]{43}='; .*", answer["Content-Security-Policy"])
    assert "unsafe" not in answer["Content-Security-Policy"]


def test_policy_is_kept_from_djangos_pages_of_debug_only(client: Client, settings: Any) -> None:
    settings.DEBUG = True

    assert "Content-Security-Policy" not in client.get("/no-such-page/")
    assert client.get("/")["Content-Security-Policy"] == OWN_FILES_ONLY


def test_sessions_of_staff_end_on_the_day(admin_client: Client, admin_user: User) -> None:
    assert admin_client.session.get_expiry_age() <= 12 * 3600
