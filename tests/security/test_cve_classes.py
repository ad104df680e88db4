"""One test for each class of flaw that other payment integrations had (docs/explanation/security.md names them).

Each plays the attack of the advisory from outside. Where the class has more cases, its full tests are in the folder
that the page names.
"""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
from django.contrib.auth.models import User

from django_feexpay.checks import check_settings
from django_feexpay.gateway.errors import WebhookRejectedError
from django_feexpay.gateway.signatures import MODES, WebhookSecret, verify
from django_feexpay.models import Attempt, Credit, Payment, WebhookDelivery
from tests.api.caller import Caller, assert_problem, row_counts
from tests.conftest import Configure
from tests.payments.fake_gateway import ModelGateway, lose_the_answer
from tests.payments.fakes import Clock, sweep, sweep_until_final
from tests.repository.tree import ROOT
from tests.webhooks.webhook_requests import delivery, hmac_header, post_webhook, raw

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("guard", "any_price")]

SECRET = "a shared secret of more than 24 bytes"


@pytest.fixture
def caller(player: User) -> Caller:
    return Caller(player)


@pytest.fixture
def pending(caller: Caller, gateway: ModelGateway) -> Attempt:
    """A payment of 5,000 F CFA that waits for its payer."""
    return Attempt.objects.get(payment=caller.initiate().json()["id"])


def told(attempt: Attempt, **changes: Any) -> dict[str, Any]:
    """A webhook about this attempt that says: paid."""
    return delivery(str(attempt.gateway_reference), callback_info=str(attempt.pk), **changes)


def state() -> list[Any]:
    return [Payment.objects.values_list("status", flat=True).get(), Credit.objects.count()]


def test_cve_2026_0656_unsigned_webhook_pays_nothing_and_tells_nothing(pending: Attempt, gateway: ModelGateway) -> None:
    """iPaymu: anyone could mark an order as paid, try out order numbers and read the buyer's data."""
    before = state()

    known, unknown = post_webhook(told(pending)), post_webhook(delivery("ref-of-nobody"))
    sweep()

    assert state() == before == ["pending", 0]
    assert (known.status_code, known.content) == (unknown.status_code, unknown.content)
    assert {name: value for name, value in known.items() if name != "X-Request-ID"} == {
        name: value for name, value in unknown.items() if name != "X-Request-ID"
    }
    assert str(pending.payment_id) not in known.content.decode()


def test_cve_2025_14078_webhook_without_authorization_is_refused(pending: Attempt, configure: Configure) -> None:
    """PAYGENT: the endpoint acted for every caller."""
    configure(WEBHOOK_MODES="header", WEBHOOK_SECRETS=[f"Bearer {SECRET}"])

    answers = [
        post_webhook(told(pending), headers)
        for headers in ({}, {"Authorization": ""}, {"Authorization": "Bearer x"}, {"Authorization": SECRET})
    ]

    assert {answer.status_code for answer in answers} == {401}
    bodies = [answer.json() for answer in answers]
    assert [body | {"request_id": ""} for body in bodies[1:]] == [bodies[0] | {"request_id": ""}] * 3
    assert WebhookDelivery.objects.count() == 0


@pytest.mark.parametrize(
    "lies",
    [{"amount": 1}, {"amount": 4999}, {"callback_info": "another payment"}, {"reference": "another-payment"}],
    ids=str,
)
def test_cve_2026_9189_genuine_notification_of_another_payment_credits_nothing(
    pending: Attempt, gateway: ModelGateway, configure: Configure, clock: Clock, lies: dict[str, Any]
) -> None:
    """Contact Form 7: a true notification about 1 $ paid an order of 2,000 $. Authenticated is not validated."""
    configure(WEBHOOK_MODES="hmac", WEBHOOK_SECRETS=[SECRET])
    gateway.last().approve()
    gateway.last().lies = lies
    body = raw(told(pending))

    assert post_webhook(body, hmac_header(body, SECRET)).status_code == 200
    sweep()

    assert state() == ["review", 0]


@pytest.mark.parametrize("environment", ["development", "staging", "production"])
@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "status"])
def test_dj_payfast_30_no_settings_switch_the_verification_off(
    pending: Attempt, configure: Configure, settings: Any, mode: str, environment: str
) -> None:
    """dj-payfast: the verification was commented out."""
    settings.DEBUG = environment == "development"
    configure(ENVIRONMENT=environment, WEBHOOK_MODES=f"status,{mode}", WEBHOOK_SECRETS=[f"{mode}:{SECRET}"])

    answer = post_webhook(told(pending), {"Authorization": "wrong", "X-FeexPay-Signature": "0" * 64}, token="wrong")

    assert answer.status_code == 401
    assert state() == ["pending", 0]


@pytest.mark.parametrize("debug", [True, False])
def test_verification_without_a_secret_is_an_error_also_in_debug(
    configure: Configure, settings: Any, debug: bool
) -> None:
    """n8n, djangoproject.com, dj-stripe: the verification was off until someone set a secret."""
    settings.DEBUG = debug
    configure(WEBHOOK_MODES="hmac", WEBHOOK_SECRETS=[])

    assert "feexpay.E009" in [message.id for message in check_settings()]
    assert post_webhook(told_nobody()).status_code == 401


def told_nobody() -> dict[str, Any]:
    return delivery("ref-of-nobody")


def test_dj_stripe_1923_no_header_chooses_the_secret_or_the_mode(pending: Attempt, configure: Configure) -> None:
    """dj-stripe: a header of the request took part in choosing the secret that verifies it."""
    configure(WEBHOOK_MODES="hmac", WEBHOOK_SECRETS=[SECRET])
    body = raw(told(pending))
    own = "a secret of the attacker, long enough"
    chosen = dict.fromkeys(
        ("X-FeexPay-Secret", "X-Webhook-Secret", "X-DjStripe-Webhook-Secret", "Authorization", "X-Mode"), own
    )

    assert post_webhook(body, hmac_header(body, own) | chosen).status_code == 401
    assert post_webhook(body, chosen | {"X-Mode": "status", "X-HTTP-Method-Override": "GET"}).status_code == 401
    assert post_webhook(body, hmac_header(body, SECRET)).status_code == 200


@pytest.mark.parametrize("mode", ["header", "url_token", "hmac", "standard_webhooks"])
@pytest.mark.parametrize("secret", ["", " ", "whsec_", "short"])
def test_stripe_2142_empty_secret_verifies_nothing(mode: str, secret: str) -> None:
    """Stripe's libraries accepted an HMAC made with an empty key."""
    body, now = raw(told_nobody()), 1_800_000_000.0
    headers = hmac_header(body, secret) | {
        "Authorization": secret,
        "webhook-id": "m",
        "webhook-timestamp": str(int(now)),
    }

    with pytest.raises(WebhookRejectedError):
        verify(
            modes=[mode],
            secrets=[WebhookSecret(secret, mode)],
            body=body,
            headers=headers,
            url_token=secret,
            now=now,
        )


def test_django_paypal_243_repeats_in_any_order_credit_once(
    pending: Attempt, gateway: ModelGateway, clock: Clock
) -> None:
    """django-paypal: a repeat that arrived out of order was credited again."""
    gateway.last().approve()
    for status in ("SUCCESSFUL", "PENDING", "SUCCESSFUL", "FAILED", "SUCCESSFUL"):
        assert post_webhook(told(pending, status=status, date=f"2026-11-2{len(status) % 9}")).status_code == 200
        clock.advance(5)
        sweep()

    assert state() == ["successful", 1]


def test_django_paypal_126_price_and_payer_are_never_the_clients(caller: Caller, configure: Configure) -> None:
    """django-paypal: the price stood in a form that the payer could edit."""
    configure(PAYABLE="shop.orders.Orders")
    before = row_counts()
    pack = {"pack": "standard"}

    assert_problem(caller.initiate(amount=1, metadata=pack), 400, "validation_error", field="amount")
    for member in ("user", "status", "price", "fee", "charged_amount", "credited"):
        assert_problem(caller.initiate(**{member: 1}), 400, "validation_error", field=member)

    assert row_counts() == before


def test_django_payments_401_credit_keeps_the_amount_that_feexpay_confirmed(
    pending: Attempt, gateway: ModelGateway, clock: Clock
) -> None:
    """django-payments: the captured amount drifted from the gateway's. The nightly comparison reports a difference."""
    gateway.last().approve()
    sweep_until_final(pending.payment, clock)
    gateway.last().lies = {"amount": 1}
    post_webhook(told(pending, status="REVERSED", amount=1))
    clock.advance(5)
    sweep()

    assert Credit.objects.values_list("amount", flat=True).get() == 5000
    assert state() == ["successful", 1]


def test_saleor_14648_an_unknown_outcome_never_reads_failed(
    caller: Caller, gateway: ModelGateway, clock: Clock
) -> None:
    """Saleor, pretix: a race counted twice, and a passing "failed" made people pay a second time."""
    gateway.next_collects = [lose_the_answer]
    started = caller.initiate().json()

    assert (started["status"], started["detail"], started["can_retry"]) == ("pending", "checking", False)
    assert_problem(caller.post(f"retry/{started['id']}/", {}), 409, "payment_open", members=("payment_id",))


def test_body_of_a_real_integration_credits_nobody(pending: Attempt, player: User, gateway: ModelGateway) -> None:
    """A public FeexPay integration credits `user_id` and `amount` out of the unsigned body."""
    User.objects.create_user("thief")
    thief = User.objects.get(username="thief")
    claims = {
        "user_id": thief.pk,
        "custom_id": str(thief.pk),
        "amount": 1_000_000,
        "payment_id": str(pending.payment_id),
    }

    assert post_webhook(told(pending, **claims)).status_code == 200
    sweep()

    assert state() == ["pending", 0]
    assert Payment.objects.values_list("user", "amount").get() == (player.pk, 5000)


#: A live key of FeexPay, a private key, a cloud key.
LIVE_KEYS = re.compile(r"fp_(?!canary|unused|live|test)[A-Za-z0-9]{16,}|-----BEGIN [A-Z ]*PRIVATE KEY|AKIA[0-9A-Z]{16}")


def test_repository_holds_no_live_key() -> None:
    """Public FeexPay integrations hold live keys."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False).stdout.decode()
    paths = [ROOT / name for name in listed.split("\0") if name] or [path for path in ROOT.glob("*") if path.is_file()]
    found = [path.name for path in paths if path.is_file() and LIVE_KEYS.search(path.read_bytes().decode("latin-1"))]

    assert LIVE_KEYS.search("API_KEY=fp_" + "a1" * 10)
    assert found == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"provider": "' + b"a" * 70_000 + b'"}', 413),
        (b"[" * 60_000, 400),
        (b'{"a":' * 40 + b"1" + b"}" * 40, 400),
        (b'{"amount": 1, "amount": 1000}', 400),
        (b'{"metadata": {"a": "\\u0000"}}', 400),
    ],
    ids=["large", "deep list", "deep object", "key twice", "NUL"],
)
def test_cve_2026_73228_limits_hold_for_json(caller: Caller, body: bytes, status: int) -> None:
    """DRF, Django: JSON bodies went around the limit, and the parser could be exhausted."""
    before = row_counts()

    assert caller.post("initiate/", body).status_code == status
    assert post_webhook(body).status_code == status
    assert row_counts() == before


@pytest.mark.parametrize(
    "query",
    [
        {"ordering": "user__password"},
        {"user__password__startswith": "p"},
        {"status": "pending') OR 1=1 --"},
        {"created_after": "1; DROP TABLE feexpay_payment"},
        {"_connector": "OR 1=1 OR"},
        {"cursor": "' UNION SELECT 1"},
    ],
    ids=str,
)
def test_cve_2026_1287_no_text_of_a_client_names_a_column(caller: Caller, query: dict[str, str]) -> None:
    """Django: names of columns and aliases from a client became SQL."""
    assert caller.get("history/", **query).status_code == 400
    assert Payment.objects.count() == 0
