"""Payers are told by e-mail what happened to their money, over a real SMTP server."""

from __future__ import annotations

import logging
import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import translation

from django_feexpay import notifications, start_payment
from django_feexpay import signals as host_signals
from django_feexpay.lifecycle import Status
from django_feexpay.models import OutboxMessage, Payment
from django_feexpay.notifications import Kind, Notification
from django_feexpay.payments import ledger, outbox
from django_feexpay.payments.ledger import Cause, Source
from tests.api.caller import Caller
from tests.conftest import Configure
from tests.notifications.conftest import EMAIL
from tests.notifications.mail_server import MailServer, part, subject
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import ModelGateway, refuse
from tests.payments.fakes import Clock, only_attempt, sweep_until_final

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("notified")]

NBSP = "\N{NO-BREAK SPACE}"


def end(payment: Payment, *statuses: Status, reason: str = "low_balance") -> Payment:
    """Bring a payment through these statuses, then deliver what it wrote."""
    for status in statuses:
        changes = {"reason_code": reason} if status is Status.FAILED else {}
        ledger.move(only_attempt(payment).pk, status, Cause(source=Source.WORKER, because="test"), changes=changes)
    outbox.deliver()
    return payment


class EveryPayer(notifications.EmailNotifier):
    """A host's notifier: it knows the address of guests, and where its site shows a payment."""

    from_email = "pay@other.test"
    reply_to = ("help@other.test",)

    def address(self, payment: Payment) -> str:
        return "guest@payer.test"

    def link(self, payment: Payment) -> str:
        return f"https://shop.test/payments/{payment.pk}/?a=1&b=2"


def test_payer_is_told_that_the_payment_was_received(
    begin: Begin, gateway: ModelGateway, clock: Clock, mail_server: MailServer
) -> None:
    payment = begin(merchant_reference="order-7", description="1 200 coins", language="en")
    gateway.last().approve()

    sweep_until_final(payment, clock)

    message = mail_server.only()
    assert mail_server.recipients == [["ama@payer.test"]]
    assert subject(message) == f"Payment received: 5{NBSP}000{NBSP}F{NBSP}CFA (order-7)"
    assert message["From"] == "La Boutique <pay@shop.test>"
    assert message["Auto-Submitted"] == "auto-generated"
    for text in (part(message, "plain"), part(message, "html")):
        assert f"We have received 5{NBSP}000{NBSP}F{NBSP}CFA." in text
        assert "You have nothing more to do." in text
        assert "1 200 coins" in text
        assert str(payment.pk) in text
        assert "0161000050" not in text


def test_notifications_are_off_without_the_setting(
    begin: Begin, gateway: ModelGateway, mail_server: MailServer, configure: Configure
) -> None:
    configure(NOTIFICATIONS=[])

    end(begin(), Status.SUCCESSFUL)

    assert mail_server.messages == []
    assert OutboxMessage.objects.get().delivered_at is not None


def test_refused_payer_learns_why_and_that_another_payment_is_safe(
    begin: Begin, gateway: ModelGateway, mail_server: MailServer
) -> None:
    gateway.next_collects.append(refuse("PAYER_NOT_FOUND"))
    begin(merchant_reference="order-7", language="en")
    outbox.deliver()

    text = part(mail_server.only(), "plain")
    assert "was not made. This number has no mobile money account." in text
    assert "You can pay again." in text


def test_payer_of_an_expired_payment_is_not_told_to_pay_again(
    begin: Begin, gateway: ModelGateway, mail_server: MailServer
) -> None:
    end(begin(language="en"), Status.EXPIRED)

    text = part(mail_server.only(), "plain")
    assert "If money has left your account, do not pay again" in text
    assert "You can pay again." not in text


def test_payer_whose_order_is_paid_by_another_payment_is_not_told_to_pay_again(
    begin: Begin, gateway: ModelGateway, mail_server: MailServer
) -> None:
    first = begin(merchant_reference="order-7", language="en")
    ledger.move(only_attempt(first).pk, Status.FAILED, Cause(source=Source.WORKER, because="test"))
    begin(merchant_reference="order-7")

    outbox.deliver()

    assert "Do not pay again: another payment of this order" in part(mail_server.only(), "plain")


def test_guest_whose_order_is_paid_by_another_payment_is_not_told_to_pay_again(
    begin: Begin, gateway: ModelGateway
) -> None:
    """A notifier of the host may know the number or the address of a guest."""
    first = begin(merchant_reference="order-7", user=None)
    ledger.move(only_attempt(first).pk, Status.FAILED, Cause(source=Source.WORKER, because="test"))
    begin(merchant_reference="order-7", user=None)

    read = Payment.objects.for_reading().get(pk=first.pk)
    sms = Notification(kind=Kind.FAILED, payment=read, event_id=uuid.uuid4(), language="en")

    assert "Do not pay again: another payment of this order" in sms.next_step


def test_late_success_is_one_message_with_its_own_words(
    begin: Begin, gateway: ModelGateway, mail_server: MailServer
) -> None:
    payment = end(begin(language="en"), Status.FAILED)
    mail_server.messages.clear()

    end(payment, Status.SUCCESSFUL)

    message = mail_server.only()
    assert subject(message).startswith("Payment received after all: ")
    assert "shown as failed at first" in part(message, "plain")


def test_failure_that_is_no_longer_true_is_not_sent(
    begin: Begin, gateway: ModelGateway, mail_server: MailServer
) -> None:
    end(begin(language="en"), Status.FAILED, Status.SUCCESSFUL)

    assert [subject(message).partition(":")[0] for message in mail_server.messages] == ["Payment received after all"]


def test_refund_is_told(begin: Begin, gateway: ModelGateway, mail_server: MailServer) -> None:
    payment = end(begin(merchant_reference="order-7", language="en"), Status.SUCCESSFUL)
    mail_server.messages.clear()

    host_signals.payment_refunded.send(
        sender=Payment, payment=Payment.objects.for_reading().get(pk=payment.pk), event_id=uuid.uuid4()
    )

    message = mail_server.only()
    assert subject(message) == "Refund recorded (order-7)"
    text = part(message, "plain")
    assert "all or a part of it" in text
    assert f"Amount of the payment: 5{NBSP}000{NBSP}F{NBSP}CFA" in text


def test_french_message_is_written_as_a_bank_there_writes(
    begin: Begin, gateway: ModelGateway, clock: Clock, mail_server: MailServer
) -> None:
    clock.at = clock.at.replace(year=2026, month=11, day=28, hour=13, minute=5)
    end(begin(merchant_reference="commande-7", language="fr"), Status.SUCCESSFUL)

    message = mail_server.only()
    assert subject(message) == f"Paiement reçu{NBSP}: 5{NBSP}000{NBSP}F{NBSP}CFA (commande-7)"
    html = part(message, "html")
    assert '<html lang="fr">' in html
    assert f"Nous avons bien reçu 5{NBSP}000{NBSP}F{NBSP}CFA." in html
    assert f"28 novembre 2026 à{NBSP}14{NBSP}h{NBSP}05" in html


@pytest.mark.parametrize(("accepted", "title"), [("fr-BJ,fr;q=0.9", "Paiement reçu"), ("en", "Payment received")])
def test_language_is_that_of_the_request_that_started_the_payment(
    player: User, gateway: ModelGateway, mail_server: MailServer, accepted: str, title: str
) -> None:
    answer = Caller(player).initiate(headers={"Accept-Language": accepted})

    assert answer.status_code == 201
    end(Payment.objects.get(), Status.SUCCESSFUL)
    assert subject(mail_server.only()).startswith(title)


@pytest.mark.parametrize(
    ("argument", "active", "remembered"),
    [
        ("en", "fr", "en"),
        ("fr-bj", "en", "fr"),
        ("", "en", "en"),
        ("", "fr", "fr"),
        ("xx", "en", "fr"),
        ("", None, "fr"),
    ],
)
def test_language_of_the_host_is_its_argument_or_the_active_one_or_the_projects(
    player: User, gateway: ModelGateway, settings: Any, argument: str, active: str | None, remembered: str
) -> None:
    settings.LANGUAGE_CODE = "fr"

    with translation.override(active):
        payment = start_payment(user=player, provider="mtn_bj", amount=5000, phone="0161000050", language=argument)

    assert payment.language == remembered


def test_payment_of_an_earlier_version_is_told_in_the_language_of_the_project(
    begin: Begin, gateway: ModelGateway, mail_server: MailServer, settings: Any
) -> None:
    settings.LANGUAGE_CODE = "fr"
    payment = begin()
    Payment.objects.update(language="")

    end(payment, Status.SUCCESSFUL)

    assert subject(mail_server.only()).startswith("Paiement reçu")


def test_payer_who_opted_out_gets_nothing_until_the_payer_opts_in(
    begin: Begin, gateway: ModelGateway, player: User, mail_server: MailServer
) -> None:
    notifications.opt_out(player)
    notifications.opt_out(player)
    end(begin(phone_ending="51"), Status.SUCCESSFUL)
    assert mail_server.messages == []

    notifications.opt_in(player)
    end(begin(phone_ending="52"), Status.SUCCESSFUL)
    assert len(mail_server.messages) == 1
    assert not notifications.has_opted_out(player)


@pytest.mark.parametrize("address", ["", "not an address", "ama@payer.test\nBcc: eve@evil.test"])
def test_user_without_a_usable_address_gets_nothing(
    begin: Begin,
    gateway: ModelGateway,
    player: User,
    mail_server: MailServer,
    address: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    player.email = address
    player.save()

    end(begin(), Status.SUCCESSFUL)

    assert mail_server.messages == []
    assert OutboxMessage.objects.get().delivered_at is not None
    assert "payer.test" not in caplog.text


def test_guest_gets_nothing_although_an_address_was_given_for_feexpay(
    begin: Begin, gateway: ModelGateway, mail_server: MailServer
) -> None:
    end(begin(user=None, email="guest@payer.test"), Status.SUCCESSFUL)

    assert mail_server.messages == []


def test_notifier_of_the_host_knows_the_address_of_guests_and_its_pages(
    begin: Begin, gateway: ModelGateway, mail_server: MailServer, configure: Configure
) -> None:
    configure(NOTIFICATIONS=f"{__name__}.EveryPayer")

    payment = end(begin(user=None), Status.SUCCESSFUL)

    message = mail_server.only()
    assert mail_server.recipients == [["guest@payer.test"]]
    assert (message["From"], message["Reply-To"]) == ("pay@other.test", "help@other.test")
    assert f'href="https://shop.test/payments/{payment.pk}/?a=1&amp;b=2"' in part(message, "html")
    assert f"https://shop.test/payments/{payment.pk}/?a=1&b=2\n" in part(message, "plain")


def test_markup_in_a_merchant_reference_stays_text(
    begin: Begin, gateway: ModelGateway, mail_server: MailServer
) -> None:
    payment = begin(description="<b>bold</b>")
    Payment.objects.update(merchant_reference='<script>alert("1")</script>')

    end(payment, Status.SUCCESSFUL)

    html = part(mail_server.only(), "html")
    assert "<script>" not in html
    assert "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;" in html
    assert "&lt;b&gt;bold&lt;/b&gt;" in html
    assert '<script>alert("1")</script>' in part(mail_server.only(), "plain")


@pytest.mark.parametrize("reference", ["7\r\nBcc: eve@evil.test", "7\nBcc: eve@evil.test", "7\u2028Bcc: eve@evil.test"])
def test_line_break_in_a_merchant_reference_adds_no_header(
    begin: Begin, gateway: ModelGateway, mail_server: MailServer, reference: str
) -> None:
    end(begin(merchant_reference=reference, language="en"), Status.SUCCESSFUL)

    message = mail_server.only()
    assert mail_server.recipients == [["ama@payer.test"]]
    assert message["Bcc"] is None
    assert subject(message).endswith("(7 Bcc: eve@evil.test)")


def test_host_overrides_the_template_of_one_kind_and_language(
    begin: Begin, gateway: ModelGateway, mail_server: MailServer, settings: Any, tmp_path: Any
) -> None:
    folder = tmp_path / "feexpay/notifications"
    folder.mkdir(parents=True)
    (folder / "succeeded.fr.txt").write_text("Merci ! {{ notification.amount }}")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]

    end(begin(phone_ending="51", language="fr"), Status.SUCCESSFUL)
    end(begin(phone_ending="52", language="en"), Status.SUCCESSFUL)

    french, english = (part(message, "plain") for message in mail_server.messages)
    assert french.strip() == f"Merci ! 5{NBSP}000{NBSP}F{NBSP}CFA"
    assert "We have received" in english


@pytest.mark.parametrize(
    ("refusal", "closed"),
    [("550 5.1.1 No such user", True), ("450 4.2.1 Try later", False), ("550 5.7.1 Relaying denied", False)],
)
def test_address_that_the_mail_server_does_not_know_is_not_tried_again(
    begin: Begin,
    gateway: ModelGateway,
    mail_server: MailServer,
    caplog: pytest.LogCaptureFixture,
    refusal: str,
    closed: bool,
) -> None:
    mail_server.refusal = refusal
    with caplog.at_level(logging.INFO):
        end(begin(), Status.SUCCESSFUL)

    message = OutboxMessage.objects.get()
    assert (message.delivered_at is not None) is closed
    assert message.last_error == ("" if closed else f"SMTPRecipientsRefused: {EMAIL}.send")
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("django_feexpay")]
    assert ours
    assert "payer.test" not in "".join(ours)
