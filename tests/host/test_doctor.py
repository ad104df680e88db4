"""`feexpay_doctor` finds what is wrong, says what to do, and tells no secret."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command

import django_feexpay
from django_feexpay import conf
from django_feexpay.background import worker
from django_feexpay.gateway.errors import NotSentError
from django_feexpay.gateway.transport import WireReply, WireRequest
from django_feexpay.models import Heartbeat, OutboxMessage
from django_feexpay.monitoring import doctor
from tests.conftest import Configure

KEY = "test_a_key_nobody_may_read"
DOOR = b'{"type": "urn:feexpay:problem:method_not_allowed"}'


class Answers:
    """FeexPay and the internet: `balance` answers, the webhook's address is ours."""

    def __init__(self) -> None:
        self.date = ""
        self.door = WireReply(405, {}, DOOR)
        self.away = False

    def exchange(self, request: WireRequest) -> WireReply:
        if self.away:
            raise NotSentError(code="connection_refused")
        if "/balance/" not in request.url:
            return self.door
        return WireReply(200, {"date": self.date}, b'{"success": true, "balances": {"MTN": 5000}}')


@pytest.fixture
def answers(configure: Configure, settings: Any, transactional_db: None) -> Iterator[Answers]:
    settings.DEBUG = True
    configure(API_KEY=KEY, PAYABLE="any_amount")
    Heartbeat.objects.create(name=worker.WORKER, beat_at=conf.now())
    answers = Answers()
    with conf.use_transport(answers):
        yield answers


def examined(*arguments: str) -> tuple[str, bool]:
    """What it wrote, and whether all was well."""
    out = io.StringIO()
    try:
        call_command("feexpay_doctor", *arguments, stdout=out)
    except CommandError as error:
        return f"{out.getvalue()}{error}\n", False
    return out.getvalue(), True


def test_all_is_well(answers: Answers) -> None:
    answers.date = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")

    written, well = examined("--webhook-url", "https://shop.example/pay/webhook/")

    assert well, written
    assert "✘" not in written
    for line in ("✔ key: a test key", "✔ gateway: answers to our key", "✔ webhook: our door is there"):
        assert line in written
    assert "✔ worker: at work (worker)" in written
    assert "✔ signals: every receiver took what it was told" in written
    assert "✔ gateway clock:" in written


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda answers: setattr(answers, "away", True), "✘ gateway: no balance (connection_refused)"),
        (lambda answers: setattr(answers, "date", "Mon, 01 Jan 2024 00:00:00 GMT"), "✘ gateway clock:"),
        (lambda answers: Heartbeat.objects.all().delete(), "✘ worker: never seen"),
        (lambda answers: setattr(answers, "door", WireReply(200, {}, b"<html>")), "✘ webhook: something else"),
    ],
    ids=["gateway away", "clock wrong", "no worker", "another site"],
)
def test_what_is_wrong_is_told(answers: Answers, spoil: Callable[[Answers], Any], line: str) -> None:
    spoil(answers)

    written, well = examined("--webhook-url", "https://shop.example/pay/webhook/")

    assert not well
    assert line in written


@pytest.mark.parametrize(
    ("error", "told", "advice"),
    [
        (
            "hangs: shop.receivers.give_coins",
            "✘ signals: 1 not taken by every receiver (hangs: shop.receivers.give_coins)",
            "Mend the receiver",
        ),
        ("", "✘ signals: 1 not taken by every receiver", "Start a worker"),
    ],
    ids=["hangs", "never called"],
)
def test_signals_that_are_not_taken_are_counted_with_the_receiver_at_fault(
    answers: Answers, error: str, told: str, advice: str, django_user_model: Any
) -> None:
    payment = django_feexpay.start_payment(
        user=django_user_model.objects.create_user("ama"), provider="mtn_bj", amount=500, phone="0161000050"
    )
    OutboxMessage.objects.create(
        payment=payment,
        signal="payment_failed",
        created_at=conf.now() - timedelta(minutes=1),
        next_delivery_at=conf.now(),
        last_error=error,
    )

    written, well = examined()

    assert not well
    assert told in written
    assert advice in written


def test_no_key_and_live_key_are_told(answers: Answers, configure: Configure) -> None:
    configure(API_KEY="")
    assert "✘ key: no key or no shop" in examined()[0]

    configure(API_KEY="fp_" + "x" * 32)
    assert "✘ key: a live key in development" in examined()[0]

    configure(API_KEY=KEY, ENVIRONMENT="production")
    assert "✘ key: no live key in production" in examined()[0]


def test_wrong_setting_is_told_with_its_hint(answers: Answers, configure: Configure) -> None:
    configure(POLL_SECOND=[1])

    assert '✘ settings: feexpay.E002 FEEXPAY["POLL_SECOND"] is not a setting.' in examined()[0]


def test_no_secret_is_shown(answers: Answers, configure: Configure) -> None:
    answers.away = True
    configure(WEBHOOK_MODES=["status", "header"], WEBHOOK_SECRETS=["header:Bearer sesame-open-up"])

    written, _ = examined()

    assert KEY not in written
    assert "sesame" not in written


def test_it_speaks_french(answers: Answers) -> None:
    written, _ = examined("--language", "fr")

    assert "✔ key: une clé de test" in written


def test_look_that_never_ends_is_given_up() -> None:
    never = threading.Event()

    with pytest.raises(TimeoutError):
        doctor._within(never.wait, seconds=0.05)
    never.set()
