"""Who may make each call of the API description, and what a caller learns about the payment of another user.

`MATRIX` is written by hand and its keys are the calls of the description: a new call fails until its row says who gets
what. Each call is made by the owner of a payment, another user, a superuser (the API knows no staff) and nobody, with
the id of the owner's payment and with a random one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from knox.models import AuthToken
from shop.models import CoinPack, Order

from django_feexpay.models import Payment, WebhookDelivery
from tests.api.caller import BASE, initiate_body, new_token, row_counts
from tests.api.described import document
from tests.conftest import Configure
from tests.payments.fake_gateway import ModelGateway, refuse
from tests.payments.fakes import Clock, sweep
from tests.webhooks.webhook_requests import delivery, hmac_header, raw

pytestmark = pytest.mark.django_db

OWNER, OTHER, SUPERUSER, NOBODY = ACTORS = ("owner", "other", "superuser", "nobody")

#: A call that anyone may make, one for those with a token, and one that only the owner of the payment may make.
OPEN = dict.fromkeys(ACTORS, 200)
SIGNED_IN = {**OPEN, NOBODY: 401}
OWN_PAYMENT = {OWNER: 200, OTHER: 404, SUPERUSER: 404, NOBODY: 401}

#: The status of each call, by its caller. The payment of `OWN_PAYMENT` is the owner's, and may be retried.
MATRIX: dict[str, dict[str, int]] = {
    "GET payments/feexpay/{payment_id}/status/": OWN_PAYMENT,
    "GET payments/feexpay/{payment_id}/events/": {**OWN_PAYMENT, OWNER: 406},  # this client speaks WSGI
    "POST payments/feexpay/retry/{payment_id}/": {**OWN_PAYMENT, OWNER: 201},
    "POST payments/feexpay/{payment_id}/otp/": {**OWN_PAYMENT, OWNER: 409},  # it waits for no code
    "POST payments/feexpay/initiate/": {**SIGNED_IN, OWNER: 201, OTHER: 201, SUPERUSER: 201},
    "GET payments/feexpay/history/": SIGNED_IN,
    "GET payments/feexpay/history/export/": SIGNED_IN,
    "GET payments/feexpay/providers/": SIGNED_IN,
    "GET payments/feexpay/quote/": SIGNED_IN,
    "GET payments/feexpay/health/": OPEN,
    "GET payments/feexpay/health/live/": OPEN,
    "GET payments/feexpay/health/ready/": OPEN,
    "POST payments/feexpay/webhook/": OPEN,  # mode `status`: a webhook is believed nothing
    "POST payments/feexpay/webhook/{token}/": OPEN,
    "GET shop/packs/": OPEN,
    "GET shop/balance/": SIGNED_IN,
    "GET shop/orders/": SIGNED_IN,
    "POST shop/orders/": SIGNED_IN,
    "POST auth/token/": OPEN,
    "GET auth/tokens/": SIGNED_IN,
    "DELETE auth/tokens/{token_id}/": {**OWN_PAYMENT, OWNER: 204},  # a token of the owner
    "POST auth/logout/": dict.fromkeys(ACTORS, 204) | {NOBODY: 401},
    "POST auth/logout-all/": dict.fromkeys(ACTORS, 204) | {NOBODY: 401},
}
#: Calls that write rows of the caller's own.
OWN_ROWS = {"POST payments/feexpay/initiate/", "POST shop/orders/", "POST auth/token/"}
#: Calls that name a payment.
WITH_PAYMENT = sorted(call for call, statuses in MATRIX.items() if "{payment_id}" in call and statuses[OTHER] == 404)

QUERIES = {
    "GET payments/feexpay/history/export/": {"format": "csv"},
    "GET payments/feexpay/quote/": {"provider": "mtn_bj", "amount": "5000"},
}


def described_calls() -> set[str]:
    return {
        f"{method.upper()} {path.removeprefix('/api/v1/')}"
        for path, methods in document()["paths"].items()
        for method in methods
    }


class World:
    """A payment of the owner with all that belongs to it, and the other people."""

    def __init__(self, gateway: ModelGateway) -> None:
        self.people = {actor: User.objects.create_user(actor, password="a word of theirs") for actor in ACTORS[:3]}
        User.objects.filter(username=SUPERUSER).update(is_staff=True, is_superuser=True)
        self.tokens = {actor: new_token(user) for actor, user in self.people.items()}
        self.pack = CoinPack.objects.create(code="secret-pack", name="P", coins=50, price=500, active=True)
        self.order = Order.objects.create(player=self.people[OWNER], pack=self.pack)
        gateway.next_collects.append(refuse("LOW_BALANCE_OR_PAYEE_LIMIT_REACHED_OR_NOT_ALLOWED"))
        body = initiate_body(
            phone="0161000073", merchant_reference="order-of-the-owner", metadata={"seat": "owner-seat"}
        )
        answer = self.send("POST payments/feexpay/initiate/", OWNER, body=body)
        assert answer.status_code == 201, answer.content
        self.payment = Payment.objects.get()

    def send(self, call: str, actor: str, *, payment_id: object = None, body: object = None) -> Any:
        method, _, path = call.partition(" ")
        headers = {"Authorization": f"Bearer {self.tokens[actor]}"} if actor in self.tokens else {}
        token_id = AuthToken.objects.filter(user=self.people[OWNER]).values_list("digest", flat=True)[0][:32]
        guessed = {"token": "a-guessed-token-of-the-webhook", "token_id": token_id}
        address = "/api/v1/" + path.format(payment_id=payment_id, **guessed)
        client = Client()
        if method == "DELETE":
            return client.delete(address, headers=headers)
        if method == "GET":
            return client.get(address, QUERIES.get(call, {}), headers=headers)
        return client.post(
            address, raw(body or self.body_of(call, actor)), content_type="application/json", headers=headers
        )

    def body_of(self, call: str, actor: str) -> dict[str, Any]:
        """A valid body, so that only the right to make the call decides."""
        name = call.removeprefix("POST ")
        if name.startswith("payments/feexpay/webhook/"):
            return delivery("ref-of-nobody")
        bodies = {
            "payments/feexpay/initiate/": initiate_body(),
            "payments/feexpay/{payment_id}/otp/": {"otp": "123456"},
            "shop/orders/": {"pack": self.pack.code},
            "auth/token/": {"username": OTHER if actor == NOBODY else actor, "password": "a word of theirs"},
        }
        return bodies.get(name, {})

    def secrets(self) -> list[str]:
        """What no answer to anyone else may contain."""
        attempt = self.payment.attempt
        known = [str(self.payment.pk), str(attempt.pk), "order-of-the-owner", "owner-seat", attempt.masked_msisdn]
        return [*known, *(["ref-0001"] if attempt.gateway_reference else [])]


@pytest.fixture
def world(gateway: ModelGateway, clock: Clock) -> World:
    return World(gateway)


def content_of(response: Any) -> str:
    raw_content = b"".join(response.streaming_content) if response.streaming else response.content
    return f"{dict(response.headers)} {raw_content.decode(errors='replace')}"


def all_rows() -> dict[str, int]:
    return row_counts(*apps.app_configs)


def rows_of(payment: Payment) -> list[tuple[Any, ...]]:
    """Every column of every row of this payment, as stored."""
    tables = {"feexpay_payment": "id"} | dict.fromkeys(("feexpay_attempt", "feexpay_paymentevent"), "payment_id")
    found, key = [], Payment._meta.pk.get_db_prep_value(payment.pk, connection)
    with connection.cursor() as cursor:
        for table, column in tables.items():
            cursor.execute(f"SELECT * FROM {table} WHERE {column} = %s ORDER BY 1", [key])
            found += [tuple(bytes(cell) if isinstance(cell, memoryview) else cell for cell in row) for row in cursor]
    assert len(found) > 3
    return found


def test_every_described_call_has_a_row() -> None:
    assert described_calls() == set(MATRIX)


@pytest.mark.parametrize("actor", ACTORS)
@pytest.mark.parametrize("call", sorted(MATRIX))
def test_call_answers_each_caller_as_the_matrix_says(world: World, call: str, actor: str) -> None:
    rows, owners = all_rows(), rows_of(world.payment)

    response = world.send(call, actor, payment_id=world.payment.pk)

    assert response.status_code == MATRIX[call][actor], response.content
    if actor != OWNER:
        text = content_of(response)
        assert [secret for secret in world.secrets() if secret in text] == []
        assert rows_of(world.payment) == owners
        if response.status_code >= 400:
            assert all_rows() == rows
    assert response.cookies == {}


@pytest.mark.parametrize("actor", [OTHER, SUPERUSER, NOBODY])
@pytest.mark.parametrize("call", WITH_PAYMENT)
def test_payment_of_another_user_answers_as_a_random_id(world: World, call: str, actor: str) -> None:
    """The status, the headers, the body and the number of statements: none tells that the payment exists."""
    seen = []
    for payment_id in (world.payment.pk, uuid4()):
        with CaptureQueriesContext(connection) as statements:
            response = world.send(call, actor, payment_id=payment_id)
        # RateLimit tells how many requests the caller has left, so it falls with each of them.
        headers = {name: value for name, value in response.headers.items() if name not in ("X-Request-ID", "RateLimit")}
        body = {**response.json(), "request_id": ""}
        seen.append((response.status_code, headers, body, len(statements)))

    assert seen[0] == seen[1]
    assert seen[0][0] == MATRIX[call][actor]


# --- an outsider with the list of addresses, an old webhook and the token of another user ------------------------

#: Methods that the outsider tries on each address of the API, and on each page.
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
METHODS_OF_PAGES = ("GET", "POST")
#: Addresses that show nobody's data to everyone.
PUBLIC = {
    "/",
    "/return/",
    "/return/app/",
    "/api/v1/",
    "/api/v1/auth/token/",
    "/api/v1/docs/",
    "/api/v1/schema/",
    "/api/v1/shop/packs/",
    "/admin/login/",
}
PUBLIC |= {*(f"{BASE}health/{probe}" for probe in ("", "live/", "ready/")), "/language/setlang/", "/admin/jsi18n/"}


def addresses(payment_id: object) -> Iterator[str]:
    """Every address of the site, admin included, with the payment's id wherever a parameter stands."""
    values = {
        "token": "guessed-token",
        "token_id": "0" * 32,
        "app_label": "feexpay",
        "content_type_id": "1",
        "url": "x",
    }

    def walk(resolver: URLResolver, before: str) -> Iterator[str]:
        for pattern in resolver.url_patterns:
            route = before + str(pattern.pattern).lstrip("^").rstrip("$")
            if isinstance(pattern, URLResolver):
                yield from walk(pattern, route)
            elif isinstance(pattern, URLPattern):
                yield "/" + filled(route, values, payment_id)

    yield from dict.fromkeys(walk(get_resolver(), ""))


def filled(route: str, values: dict[str, str], payment_id: object) -> str:
    named = re.sub(r"\(\?P<(\w+)>.*?\)(?=/|$)", lambda match: values.get(match[1], "feexpay"), route)
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda match: values.get(match[1], str(payment_id)), named).replace("\\Z", "")


@pytest.mark.parametrize("signed_in", [False, True], ids=["anonymous", "session of a player"])
def test_no_address_shows_or_changes_anything_for_an_outsider(
    world: World, configure: Configure, signed_in: bool
) -> None:
    # As in production. In mode `status` alone a webhook of a new reference is stored, up to a bound of its own.
    configure(WEBHOOK_MODES="status,header", WEBHOOK_SECRETS=["header:Bearer a-secret-of-the-shop"])
    client = Client()
    if signed_in:
        client.force_login(world.people[OTHER])
    rows, owners = all_rows(), rows_of(world.payment)
    # Signing out is left out: it ends the caller's own session, and the rest of the walk would be anonymous.
    tried = [address for address in addresses(world.payment.pk) if address != reverse("sign_out")]
    assert len(tried) > 100

    answered, told = set(), []
    for address in tried:
        for method in METHODS if address.startswith("/api/") else METHODS_OF_PAGES:
            response = client.generic(method, address, b"{}", content_type="application/json")
            text = content_of(response).replace(address, "")
            told += [(method, address) for secret in world.secrets()[1:] if secret in text]
            assert response.status_code < 500, (method, address)
            if response.status_code == 200:
                answered.add(address)

    assert told == []
    assert answered - PUBLIC == set()
    assert rows_of(world.payment) == owners
    assert all_rows() == rows


def test_stolen_webhook_changes_nothing_and_adds_no_row(world: World, gateway: ModelGateway, clock: Clock) -> None:
    """The same old delivery, again and again: counted on its row, and FeexPay decides, not the webhook."""
    client = Client()
    world.send("POST payments/feexpay/initiate/", OWNER, body=initiate_body(merchant_reference="another"))
    stolen = raw(delivery(gateway.last().reference, "SUCCESSFUL"))
    client.post(f"{BASE}webhook/", stolen, content_type="application/json")
    sweep()
    rows, statuses = all_rows(), list(Payment.objects.order_by("pk").values_list("status", "settled_at"))

    for _ in range(20):
        assert client.post(f"{BASE}webhook/", stolen, content_type="application/json").status_code == 200
        clock.advance(4)
    sweep()

    assert all_rows() == rows
    assert list(Payment.objects.order_by("pk").values_list("status", "settled_at")) == statuses
    assert WebhookDelivery.objects.get().repeat_count == 20


def test_signed_webhook_of_an_hour_ago_is_refused(world: World, configure: Configure, clock: Clock) -> None:
    secret = "a secret of the relay, long enough for hmac"
    scheme = {"header": "X-Signature", "timestamp_header": "X-Timestamp"}
    configure(WEBHOOK_MODES="hmac", WEBHOOK_SECRETS=[secret], WEBHOOK_HMAC=scheme)
    body, stamp = raw(delivery("ref-0001")), str(int(clock().timestamp()))
    headers = hmac_header(f"{stamp}.".encode() + body, secret, "X-Signature") | {"X-Timestamp": stamp}

    def post() -> int:
        return Client().post(f"{BASE}webhook/", body, content_type="application/json", headers=headers).status_code

    assert post() == 200
    rows = all_rows()
    clock.advance(3600)

    assert post() == 401
    assert all_rows() == rows


def test_token_of_another_user_opens_only_their_own_payments(world: World) -> None:
    rows, owners = all_rows(), rows_of(world.payment)

    for call in sorted(MATRIX):
        if call not in OWN_ROWS and "webhook" not in call and "logout" not in call:
            text = content_of(world.send(call, OTHER, payment_id=world.payment.pk))
            assert [secret for secret in world.secrets() if secret in text] == []

    assert (all_rows(), rows_of(world.payment)) == (rows, owners)
