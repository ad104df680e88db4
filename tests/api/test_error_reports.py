"""Error reports of a bug anywhere between the API and FeexPay's socket show no payer, code or key."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

import django_feexpay
from django_feexpay import failpoints
from django_feexpay.gateway.errors import NotSentError, OutcomeUnknownError
from django_feexpay.gateway.transport import HttpTransport, Timeouts, WireRequest
from django_feexpay.private import PrivateBytes
from tests.api.caller import BASE, Caller
from tests.api.error_reports import (
    API_KEY,
    HASH_KEY,
    HEADER,
    OTHER_PHONE,
    OTP,
    PAYER,
    PHONE,
    URL_TOKEN,
    RequestBodies,
    Sentry,
    canaries_in,
    leaks_of,
    shown,
)
from tests.conftest import Configure
from tests.payments.fake_gateway import ModelGateway, refuse
from tests.payments.fakes import Clock
from tests.webhooks.webhook_requests import delivery

pytestmark = pytest.mark.django_db(transaction=True)

PACKAGE = str(Path(django_feexpay.__file__).parent)


#: Called just before the step that may fail; injects the bug, if there is one.
Inject = Callable[[], object]


class InjectedError(Exception):
    """Stands for a bug."""


@pytest.fixture(autouse=True)
def canary_settings(configure: Configure) -> None:
    configure(
        API_KEY=API_KEY,
        HASH_KEY=HASH_KEY,
        WEBHOOK_MODES="header,url_token",
        WEBHOOK_SECRETS=[f"header:{HEADER}", f"url_token:{URL_TOKEN}"],
    )


@pytest.fixture
def caller(player: User) -> Caller:
    return Caller(player)


def initiate(caller: Caller, gateway: ModelGateway, inject: Inject) -> Any:
    inject()
    key = {"Idempotency-Key": "one"}
    return caller.initiate(provider="orange_bf", phone=PHONE, otp=OTP, description="for Zebulon", headers=key, **PAYER)


def retry(caller: Caller, gateway: ModelGateway, inject: Inject) -> Any:
    gateway.next_collects = [refuse()]
    failed = caller.initiate(phone=OTHER_PHONE, amount=700, **PAYER).json()
    gateway.next_collects = [refuse("Zebulon Quackenbush 22961987650")]
    inject()
    return caller.post(f"retry/{failed['id']}/", {"phone": OTHER_PHONE})


def otp(caller: Caller, gateway: ModelGateway, inject: Inject) -> Any:
    waiting = caller.initiate(provider="coris_bj", phone=OTHER_PHONE, amount=800, **PAYER).json()
    inject()
    return caller.post(f"{waiting['id']}/otp/", {"otp": OTP})


def webhook(caller: Caller, gateway: ModelGateway, inject: Inject) -> Any:
    inject()
    sent = delivery(reason=f"Zebulon Quackenbush {OTHER_PHONE}", callback_info=PAYER["email"], **PAYER)
    body = json.dumps(sent | {"phoneNumber": "2290161987650"})
    address = f"{BASE}webhook/{URL_TOKEN}/"
    return Client().post(address, body, content_type="application/json", headers={"Authorization": HEADER})


def from_the_host(caller: Caller, gateway: ModelGateway, inject: Inject) -> Any:
    inject()
    user = User.objects.get(username="ama")
    return django_feexpay.start_payment(
        user=user, provider="mtn_bj", amount=900, phone=OTHER_PHONE, idempotency_key="two", **PAYER
    )


Journey = Callable[[Caller, ModelGateway, Inject], Any]
JOURNEYS: tuple[Journey, ...] = (initiate, retry, otp, webhook, from_the_host)


# --- a bug at one place ----------------------------------------------------------------------------------

INJECTION_POINTS: list[tuple[Journey, str]] = [
    *((initiate, f"failpoint:{name}") for name in ("started", "before_send", "after_send", "sent")),
    *((journey, "exchange") for journey in (initiate, retry, otp, from_the_host)),
    *((initiate, f"django_feexpay.{name}") for name in ("strict_json._refuse_unstorable", "api.views._key")),
    *((initiate, f"django_feexpay.payments.terms.{name}") for name in ("parse", "code_of", "money.fee")),
    *((initiate, f"django_feexpay.payments.{name}") for name in ("initiate.new_attempt", "attempts.Sealed.of")),
    *((initiate, f"django_feexpay.payments.ledger.{name}") for name in ("open_payment", "move")),
    *((initiate, f"django_feexpay.gateway.client.{name}") for name in ("collect_body", "accepted_from")),
    *((initiate, f"django_feexpay.{name}") for name in ("payments.webhook_hints.match", "api.views.payment_body")),
    (initiate, "cryptography.fernet.MultiFernet.encrypt"),
    (initiate, "rest_framework.serializers.Serializer.to_internal_value"),
    (retry, "django_feexpay.gateway.refusals.reason_code_from"),
    (retry, "django_feexpay.payments.retry.ledger.open_attempt"),
    (otp, "django_feexpay.payments.otp.collect_request"),
    (otp, "django_feexpay.payments.otp.webhook_hints.match"),
    (webhook, "django_feexpay.webhooks.views.verify"),
    (webhook, "django_feexpay.gateway.signatures.key_bytes"),
    (webhook, "django_feexpay.webhooks.views.hint_from"),
    (webhook, "django_feexpay.gateway.reports.safe_words"),
    (webhook, "django_feexpay.payments.webhook_hints.crypto.keyed_hash"),
    (webhook, "django_feexpay.models.WebhookDelivery.objects.store_or_count"),
    (from_the_host, "django_feexpay.payments.initiate.validate"),
    (from_the_host, "django_feexpay.payments.terms._check_price"),
]


def raise_injected(*args: object, **kwargs: object) -> Any:
    raise InjectedError


@pytest.fixture
def inject_at(monkeypatch: pytest.MonkeyPatch, gateway: ModelGateway) -> Callable[[str], None]:
    """Inject a bug at a failpoint, in the transport, or in place of a function."""

    def put(place: str) -> None:
        kind, _, name = place.partition(":")
        if kind == "failpoint":
            monkeypatch.setitem(failpoints._armed, name, raise_injected)
        elif kind == "exchange":
            monkeypatch.setattr(gateway, "exchange", raise_injected)
        else:
            owner, _, function = place.rpartition(".")
            monkeypatch.setattr(_found(owner), function, raise_injected)

    return put


def _found(path: str) -> Any:
    """The module at this path, or the object in a module."""
    try:
        return import_module(path)
    except ModuleNotFoundError:
        outer, _, name = path.rpartition(".")
        return getattr(_found(outer), name)


@pytest.mark.parametrize(("journey", "place"), INJECTION_POINTS, ids=lambda part: getattr(part, "__name__", part))
def test_report_of_a_bug_shows_nothing(
    caller: Caller,
    gateway: ModelGateway,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    inject_at: Callable[[str], None],
    journey: Journey,
    place: str,
) -> None:
    bodies = RequestBodies(monkeypatch)

    with pytest.raises(InjectedError) as found:
        journey(caller, gateway, lambda: inject_at(place))

    assert leaks_of(found.value) == []
    assert canaries_in(repr(bodies.last())) == []
    if find_spec("sentry_sdk"):
        sent = Sentry().report(found.value, bodies.last())
        assert "InjectedError" in sent
        assert canaries_in(sent) == []


# --- a bug inside the HTTP library, which holds the key and the body in plain text -------------------


@pytest.fixture
def transport() -> Iterator[HttpTransport]:
    transport = HttpTransport()
    yield transport
    transport.close()


def asking(port: int) -> WireRequest:
    return WireRequest(
        method="POST",
        url=f"http://127.0.0.1:{port}/pay",
        headers={"Authorization": API_KEY},
        body=PrivateBytes(b'{"phoneNumber": "22974987650"}'),
        timeouts=Timeouts(),
    )


@pytest.mark.parametrize(
    ("broken", "expected"),
    [("connect", NotSentError), ("sendall", OutcomeUnknownError), ("recv_into", OutcomeUnknownError)],
)
def test_bug_in_the_http_library_becomes_our_error(
    transport: HttpTransport,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    broken: str,
    expected: type[Exception],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(socket.socket, broken, raise_injected)

        with pytest.raises(expected) as found:
            transport.exchange(asking(server.getsockname()[1]))

    assert leaks_of(found.value) == []
    assert (found.value.__cause__, found.value.__context__) == (None, None)
    assert "unexpected exception in an exchange: InjectedError at test_error_reports.py" in caplog.text
    assert canaries_in(caplog.text) == []


def test_interrupt_during_an_exchange_keeps_no_frame(transport: HttpTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    """gunicorn raises SystemExit in a worker after its timeout, and Sentry reports it."""

    def stop(*args: object) -> None:
        sys.exit(1)

    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(socket.socket, "sendall", stop)

        with pytest.raises(SystemExit) as found:
            transport.exchange(asking(server.getsockname()[1]))

    assert leaks_of(found.value) == []
    assert found.value.__context__ is None


# --- a bug on any line ---------------------------------------------------------------------------------------

#: Functions that mask a plain value or read it character by character. No other function may hold one.
ALLOWED_PLACES = {
    *(("private.py", name) for name in ("private", "_masked")),
    *(("strict_json.py", name) for name in ("_depth", "_unique", "<genexpr>")),
    *(("crypto.py", name) for name in ("__init__", "decrypt", "<dictcomp>")),
    *(("conf.py", name) for name in ("api_key", "_value")),
    *(("setting_values.py", name) for name in ("as_list", "<listcomp>")),
    *(("signatures.py", name) for name in ("parse_secrets", "<genexpr>", "<listcomp>")),
    *(("redaction.py", name) for name in ("_safe_piece", "_safe_token", "_unaccented", "<genexpr>")),
    *(("reports.py", name) for name in ("_masked", "<genexpr>")),
    *(("python_api.py", name) for name in ("start_payment", "_private", "<genexpr>", "<dictcomp>")),
    *(("url_token.py", name) for name in ("to_python", "hide")),
    ("phone.py", "_split"),
    ("request_ids.py", "_begin"),  # the environ that Django's signal brings; nothing in it can raise
    ("answers.py", "answer"),  # around the webhook's view, until `dispatch` has overwritten the token
    ("views.py", "dispatch"),  # of the webhook: the path of the request, until the token is overwritten
}


@pytest.mark.parametrize("journey", JOURNEYS)
def test_no_line_holds_an_unmasked_value(caller: Caller, gateway: ModelGateway, clock: Clock, journey: Journey) -> None:
    """Check every local variable of the package on every line that runs, because any line may raise."""
    found: set[str] = set()

    def check(frame: FrameType, event: str, argument: object) -> Any:
        place = Path(frame.f_code.co_filename).name, frame.f_code.co_name
        if not frame.f_code.co_filename.startswith(PACKAGE) or place in ALLOWED_PLACES:
            return None
        found.update(f"{place[0]}:{frame.f_lineno} {name}" for name, text in shown(frame) if canaries_in(text))
        return check

    before = sys.gettrace()
    sys.settrace(check)
    try:
        answer = journey(caller, gateway, lambda: None)
    finally:
        sys.settrace(before)

    assert getattr(answer, "status_code", 201) in (200, 201)
    assert found == set()
