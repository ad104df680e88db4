"""Notifiers are receivers of the outbox: called last, each with its own receipt, again after an error."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import pytest
from django.db import connection

from django_feexpay import signals as host_signals
from django_feexpay.lifecycle import Status
from django_feexpay.models import Credit, OutboxMessage, OutboxReceipt, Payment
from django_feexpay.notifications import Notification, Notifier
from django_feexpay.payments import ledger, outbox
from django_feexpay.payments.ledger import Cause, Source
from tests.conftest import Configure
from tests.notifications.conftest import EMAIL, use_mail_server
from tests.notifications.mail_server import MailServer
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, only_attempt
from tests.sandbox.running import ROOT

pytestmark = pytest.mark.django_db

CALLS: list[str] = []
TEXTS: list[str] = []


class Sms(Notifier):
    """A host's notifier."""

    def send(self, notification: Notification) -> None:
        CALLS.append("sms")
        TEXTS.append(notification.text)


class Broken(Notifier):
    """A notifier whose provider is down; its error names the payer."""

    def send(self, notification: Notification) -> None:
        CALLS.append("broken")
        raise ConnectionError("no route to 2290161000050")


SMS, BROKEN = f"{__name__}.Sms", f"{__name__}.Broken"


@pytest.fixture(autouse=True)
def forget_calls() -> Iterator[None]:
    yield
    CALLS.clear()
    TEXTS.clear()


@pytest.fixture
def host_receiver() -> Iterator[list[UUID]]:
    """A receiver of the host, connected after the notifiers; the events that it was given."""
    events: list[UUID] = []

    def give_coins(*, payment: Payment, event_id: UUID, **kwargs: Any) -> None:
        CALLS.append("host")
        events.append(event_id)

    host_signals.payment_succeeded.connect(give_coins, weak=False)
    yield events
    host_signals.payment_succeeded.disconnect(give_coins)


@pytest.fixture
def paid(begin: Begin, gateway: ModelGateway, clock: Clock) -> Payment:
    """Credited, its signal not yet delivered."""
    payment = begin(merchant_reference="order-7", language="en")
    ledger.move(only_attempt(payment).pk, Status.SUCCESSFUL, Cause(source=Source.WORKER, because="test"))
    return payment


def test_notifiers_are_called_after_receivers_that_the_host_connected_later(
    paid: Payment, configure: Configure, host_receiver: list[UUID]
) -> None:
    configure(NOTIFICATIONS=[SMS])
    host_signals.payment_succeeded.connect(after := (lambda **kwargs: CALLS.append("host too")), weak=False)

    outbox.deliver()
    host_signals.payment_succeeded.disconnect(after)

    assert CALLS == ["host", "host too", "sms"]


def test_signal_that_staff_send_again_notifies_the_payer_only_once(
    paid: Payment, configure: Configure, host_receiver: list[UUID]
) -> None:
    configure(NOTIFICATIONS=[SMS])
    outbox.deliver()
    message = OutboxMessage.objects.get()

    for _ in range(2):
        outbox.send_again(message.pk, reason="the shop was down", actor="1", source=Source.ADMIN)
        assert outbox.deliver() == 1

    assert CALLS == ["host", "sms", "host", "host"]


def test_text_for_an_sms_has_amount_reference_and_next_step(paid: Payment, configure: Configure) -> None:
    configure(NOTIFICATIONS=[SMS])

    outbox.deliver()

    assert TEXTS[0].replace("\N{NO-BREAK SPACE}", " ") == (
        "Payment received: 5 000 F CFA (order-7). "
        "You have nothing more to do. Keep this message: it names the reference of your payment."
    )


def test_mail_is_sent_once_when_the_mail_server_is_back(
    paid: Payment, configure: Configure, clock: Clock, mail_server: MailServer, host_receiver: list[UUID]
) -> None:
    configure(NOTIFICATIONS=[EMAIL])
    mail_server.stop()
    waits = []
    for _ in range(4):
        assert outbox.deliver() == 0
        message = OutboxMessage.objects.get()
        assert message.last_error == f"ConnectionRefusedError: {EMAIL}.send"
        assert message.next_delivery_at is not None
        waits.append((message.next_delivery_at - clock.at).total_seconds())
        clock.advance_to(message.next_delivery_at)
    assert waits == [2, 4, 8, 16]
    assert Credit.objects.count() == len(host_receiver) == 1

    mail_server.start()

    assert outbox.deliver() == 1
    assert outbox.deliver() == 0
    assert len(mail_server.messages) == len(host_receiver) == 1


def test_mail_server_that_never_answers_delays_no_receiver_of_the_host(
    paid: Payment, configure: Configure, settings: Any, clock: Clock, host_receiver: list[UUID]
) -> None:
    configure(NOTIFICATIONS=[EMAIL])
    with socket.create_server(("127.0.0.1", 0)) as silent:
        use_mail_server(settings, silent.getsockname()[1], timeout=0.2)
        for _ in range(3):
            assert outbox.deliver() == 0
            clock.advance(60)

    assert len(host_receiver) == 1
    assert OutboxMessage.objects.get().last_error.endswith(f": {EMAIL}.send")


def test_each_notifier_has_its_own_receipt(paid: Payment, configure: Configure, clock: Clock) -> None:
    configure(NOTIFICATIONS=[BROKEN, SMS])

    for _ in range(3):
        outbox.deliver()
        clock.advance(60)

    assert sorted(CALLS) == ["broken", "broken", "broken", "sms"]
    assert f"{SMS}.send" in OutboxReceipt.objects.values_list("receiver", flat=True)
    assert OutboxMessage.objects.get().last_error == f"ConnectionError: {BROKEN}.send"


def test_error_of_a_notifier_is_logged_without_its_text(
    paid: Payment, configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    configure(NOTIFICATIONS=[BROKEN])

    outbox.deliver()

    assert f"{BROKEN}.send failed" in caplog.text
    assert "2290161000050" not in caplog.text


def test_notification_that_could_not_be_sent_for_days_is_dropped(
    paid: Payment, configure: Configure, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    configure(NOTIFICATIONS=[BROKEN])
    outbox.deliver()

    clock.advance(3 * 86_400 + 60)

    assert outbox.deliver() == 1
    assert CALLS == ["broken"]
    assert "was dropped" in caplog.text


def test_events_wait_while_a_notifier_cannot_be_imported(
    paid: Payment, configure: Configure, clock: Clock, mail_server: MailServer
) -> None:
    configure(NOTIFICATIONS=["shop.nothing.Sms"])
    assert outbox.deliver() == 0

    configure(NOTIFICATIONS=[EMAIL])
    clock.advance(4)

    assert outbox.deliver() == 1
    assert len(mail_server.messages) == 1


@pytest.mark.postgres_only
@pytest.mark.django_db(transaction=True)
def test_process_killed_before_it_notes_the_mail_sends_it_twice_at_most_with_one_message_id(
    begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure, mail_server: MailServer
) -> None:
    payment = begin(language="en")
    ledger.move(only_attempt(payment).pk, Status.SUCCESSFUL, Cause(source=Source.WORKER, because="test"))
    name = connection.settings_dict["NAME"]
    url = urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))

    killed = subprocess.run(
        [sys.executable, "-m", "tests.notifications.killed_deliverer", str(mail_server.port)],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": url, "PYTHONPATH": f"{ROOT}:{ROOT}/sample_project"},
        check=False,
        timeout=60,
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(mail_server.messages) == 1

    configure(NOTIFICATIONS=[EMAIL])
    clock.advance(120)
    assert outbox.deliver() == 1
    clock.advance(120)
    assert outbox.deliver() == 0

    assert len(mail_server.messages) == 2
    assert len({message["Message-ID"] for message in mail_server.messages}) == 1
