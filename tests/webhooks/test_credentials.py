"""The five webhook modes, alone and together. A refused delivery answers 401 and stores nothing."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest

from django_feexpay.models import WebhookDelivery
from tests.api.caller import assert_problem
from tests.conftest import Configure
from tests.webhooks.webhook_requests import hmac_header, post_webhook, raw, standard_headers

pytestmark = pytest.mark.django_db

OLD, NEW = "old secret of 24 bytes or more", "new secret of 24 bytes or more"
STANDARD_KEY = b"a standard key of 24 bytes"
STANDARD_SECRET = "whsec_" + base64.b64encode(STANDARD_KEY).decode()
ALL_MODES = {
    "WEBHOOK_MODES": "status,header,url_token,hmac,standard_webhooks",
    "WEBHOOK_SECRETS": [
        "header:Bearer abc",
        "url_token:url-token-1",
        f"hmac:{NEW}",
        f"standard_webhooks:{STANDARD_SECRET}",
    ],
}


def assert_refused(response: Any) -> None:
    body = assert_problem(response, 401, "not_authenticated")
    assert response.headers["WWW-Authenticate"] == "Webhook"
    assert "proof of this webhook" in body["detail"]
    assert "signed in" not in response.content.decode()
    assert body["errors"] == []
    assert WebhookDelivery.objects.count() == 0


def assert_stored(response: Any) -> None:
    assert (response.status_code, response.json()) == (200, {"received": True})
    assert WebhookDelivery.objects.count() == 1


def test_status_mode_needs_no_credential() -> None:
    assert_stored(post_webhook())


@pytest.mark.parametrize("value", ["Bearer abc", "Basic dXNlcjpwYXNz"])
def test_header_mode_accepts_the_exact_value(configure: Configure, value: str) -> None:
    configure(WEBHOOK_MODES="header", WEBHOOK_SECRETS=[f"header:{value}"])

    assert_stored(post_webhook(headers={"Authorization": value}))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer abd"},
        {"Authorization": "bearer abc"},
        {"Authorization": "abc"},
        {"Authorization": "Bearer \u00e9"},
    ],
)
def test_header_mode_refuses_any_other_value(configure: Configure, headers: dict[str, str]) -> None:
    configure(WEBHOOK_MODES="header", WEBHOOK_SECRETS=["header:Bearer abc"])

    assert_refused(post_webhook(headers=headers))


@pytest.mark.parametrize("secrets", [["url-token-1"], ["url_token:url-token-1"]])
def test_url_token_mode_accepts_the_token(configure: Configure, secrets: list[str]) -> None:
    configure(WEBHOOK_MODES="url_token", WEBHOOK_SECRETS=secrets)

    assert_stored(post_webhook(token="url-token-1"))


@pytest.mark.parametrize("token", ["", "token-2", "Url-token-1", "url-token-1x", "%00", "%C3%A9"])
def test_url_token_mode_refuses_any_other_token(configure: Configure, token: str) -> None:
    configure(WEBHOOK_MODES="url_token", WEBHOOK_SECRETS=["url_token:url-token-1"])

    assert_refused(post_webhook(token=token))


def test_hmac_mode_accepts_a_signature_of_the_raw_body(configure: Configure) -> None:
    configure(WEBHOOK_MODES="hmac", WEBHOOK_SECRETS=[f"hmac:{NEW}"])
    body = b'{"reference" :  "ref-0001","status":"SUCCESSFUL"}'

    assert_stored(post_webhook(body, hmac_header(body, NEW)))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        hmac_header(raw(), OLD),
        hmac_header(raw() + b" ", NEW),
        hmac_header(raw(), NEW, name="X-Signature"),
        {"X-FeexPay-Signature": "0" * 64},
        {"X-FeexPay-Signature": "sha256=" + hmac_header(raw(), NEW)["X-FeexPay-Signature"]},
        {"X-FeexPay-Signature": "\u00e9"},
        {"X-FeexPay-Signature": ""},
    ],
    ids=["none", "wrong key", "other body", "other header", "zeros", "prefix", "no ASCII", "empty"],
)
def test_hmac_mode_refuses_any_other_signature(configure: Configure, headers: dict[str, str]) -> None:
    configure(WEBHOOK_MODES="hmac", WEBHOOK_SECRETS=[f"hmac:{NEW}"])

    assert_refused(post_webhook(headers=headers))


def test_hmac_mode_follows_the_settings_of_the_host(configure: Configure) -> None:
    scheme = {"HEADER": "X-Hub-Signature-256", "PREFIX": "sha256="}
    configure(WEBHOOK_MODES="hmac", WEBHOOK_SECRETS=[f"hmac:{NEW}"], WEBHOOK_HMAC=scheme)
    digest = hmac_header(raw(), NEW)["X-FeexPay-Signature"]

    assert_stored(post_webhook(headers={"X-Hub-Signature-256": f"sha256={digest}"}))


@pytest.mark.parametrize("age", [0, 290, -290])
def test_standard_mode_accepts_a_recent_signature(configure: Configure, age: int) -> None:
    configure(WEBHOOK_MODES="standard_webhooks", WEBHOOK_SECRETS=[f"standard_webhooks:{STANDARD_SECRET}"])

    assert_stored(post_webhook(headers=standard_headers(raw(), STANDARD_KEY, time.time() - age)))


@pytest.mark.parametrize("age", [310, -310, 30 * 86_400])
def test_standard_mode_refuses_an_old_or_future_signature(configure: Configure, age: int) -> None:
    configure(WEBHOOK_MODES="standard_webhooks", WEBHOOK_SECRETS=[f"standard_webhooks:{STANDARD_SECRET}"])

    assert_refused(post_webhook(headers=standard_headers(raw(), STANDARD_KEY, time.time() - age)))


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
@pytest.mark.parametrize("written", [None, "", "x", "v1", "v1,x,y", "\u00e9"])
def test_standard_mode_refuses_a_broken_header(configure: Configure, missing: str, written: str | None) -> None:
    configure(WEBHOOK_MODES="standard_webhooks", WEBHOOK_SECRETS=[f"standard_webhooks:{STANDARD_SECRET}"])
    headers = standard_headers(raw(), STANDARD_KEY, time.time())
    del headers[missing]

    assert_refused(post_webhook(headers=headers if written is None else headers | {missing: written}))


# --- several modes and secrets ------------------------------------------------------------------------------


def all_credentials() -> dict[str, str]:
    return {
        "Authorization": "Bearer abc",
        **hmac_header(raw(), NEW),
        **standard_headers(raw(), STANDARD_KEY, time.time()),
    }


def test_delivery_that_passes_every_listed_mode_is_stored(configure: Configure) -> None:
    configure(**ALL_MODES)

    assert_stored(post_webhook(headers=all_credentials(), token="url-token-1"))


@pytest.mark.parametrize("missing", ["Authorization", "X-FeexPay-Signature", "webhook-signature", "token"])
def test_every_listed_mode_must_pass(configure: Configure, missing: str) -> None:
    configure(**ALL_MODES)
    headers = all_credentials()
    headers.pop(missing, None)

    assert_refused(post_webhook(headers=headers, token="" if missing == "token" else "url-token-1"))


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_old_and_new_secret_pass_while_both_are_listed(configure: Configure, secret: str) -> None:
    configure(WEBHOOK_MODES="hmac", WEBHOOK_SECRETS=f"hmac:{NEW},hmac:{OLD}")

    assert_stored(post_webhook(headers=hmac_header(raw(), secret)))


def test_old_secret_is_refused_once_it_is_no_longer_listed(configure: Configure) -> None:
    configure(WEBHOOK_MODES="hmac", WEBHOOK_SECRETS=f"hmac:{NEW}")

    assert_refused(post_webhook(headers=hmac_header(raw(), OLD)))


@pytest.mark.parametrize("mode", ["header", "url_token", "hmac", "standard_webhooks", "no_such_mode"])
def test_mode_without_a_secret_refuses_everything(configure: Configure, mode: str) -> None:
    configure(WEBHOOK_MODES=mode, WEBHOOK_SECRETS=[])

    assert_refused(post_webhook(headers=all_credentials(), token="url-token-1"))


def test_secret_of_another_mode_is_refused(configure: Configure) -> None:
    configure(WEBHOOK_MODES="header", WEBHOOK_SECRETS=["url_token:Bearer abc"])

    assert_refused(post_webhook(headers={"Authorization": "Bearer abc"}))


def test_refusal_does_not_say_what_was_missing(configure: Configure) -> None:
    configure(**ALL_MODES)
    nothing, everything_but_one = post_webhook(), post_webhook(headers=all_credentials(), token="token-2")

    bodies = [response.json() | {"request_id": ""} for response in (nothing, everything_but_one)]

    assert bodies[0] == bodies[1]


def test_credential_is_checked_before_the_body(configure: Configure) -> None:
    configure(WEBHOOK_MODES="header", WEBHOOK_SECRETS=["header:Bearer abc"])

    assert_refused(post_webhook(b"{"))
