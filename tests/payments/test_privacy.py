"""Personal data of a payer: only what is needed is stored, and nothing in clear text."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client

from django_feexpay import exports
from django_feexpay.api.outputs import payment_body
from django_feexpay.gateway.reports import hint_from
from django_feexpay.gateway.transport import WireReply
from django_feexpay.models import Attempt, Payment, WebhookDelivery
from django_feexpay.models.fields import Sealed
from django_feexpay.payments import webhook_hints
from django_feexpay.payments.attempts import PayerDetails
from tests.payments.conftest import Begin, Configure, MakeOrder
from tests.payments.fake_gateway import Charge, ModelGateway, cannot_reach, lose_the_answer, refuse, reply
from tests.payments.fakes import Clock, only_attempt, sweep, sweep_until_final

pytestmark = pytest.mark.django_db

NATIONAL, OLD_WRITING = "0161000050", "61000050"
PAYER = {"first_name": "Afiavi", "last_name": "Zinsou", "email": "afiavi@payer.test"}
CANARIES = (OLD_WRITING, "Afiavi", "Zinsou", "afiavi@payer.test", "test_sandbox_key")


def assert_clean(text: str) -> None:
    assert [canary for canary in CANARIES if canary in text] == []


def stored() -> str:
    """Every column of every payment row, as stored in the database."""
    rows = []
    with connection.cursor() as cursor:
        for table in ("payment", "attempt", "paymentevent", "outboxmessage", "webhookdelivery", "idempotencyrecord"):
            cursor.execute(f"SELECT * FROM feexpay_{table}")
            rows += [bytes(cell) if isinstance(cell, memoryview) else cell for row in cursor for cell in row]
    return "\n".join(map(repr, rows))


def test_reprs_contain_no_personal_data(order: MakeOrder, begin: Begin, gateway: ModelGateway) -> None:
    wish = order(**PAYER, otp="123456")
    payment = begin(**PAYER)
    attempt = only_attempt(payment)

    shown = [repr(one) for one in (wish, payment, attempt, attempt.msisdn_sealed, Sealed.of({"a": OLD_WRITING}))]

    assert_clean("".join([*shown, str(payment), str(attempt)]))
    assert "123456" not in shown[0]
    assert shown[3] == "Sealed(•••)"


def test_stored_rows_contain_no_number_and_no_name_in_clear_text(
    begin: Begin, gateway: ModelGateway, configure: Configure
) -> None:
    configure(DISPATCH="queue")
    begin(**PAYER)

    assert_clean(stored())
    attempt = Attempt.objects.get()
    assert attempt.masked_msisdn == "+229 01 •• •• •• 50"
    assert attempt.msisdn_sealed is not None
    assert attempt.msisdn_sealed.open() == {"calling_code": "229", "national": NATIONAL}
    assert attempt.payer_sealed is not None
    assert attempt.payer_sealed.open() == PAYER


def test_logs_contain_neither_number_nor_key(
    begin: Begin, gateway: ModelGateway, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        for ending, answer in enumerate((cannot_reach, lose_the_answer, refuse("FORBIDDEN", 403), refuse())):
            gateway.next_collects.append(answer)
            begin(**PAYER, merchant_reference=f"order-{ending}")
        gateway.away = True
        clock.advance(60)
        sweep()
        gateway.away = False
        for charge in gateway.charges:
            charge.lies = {"status": "ON HOLD", "reason": f"payer {NATIONAL} is on hold"}
        clock.advance(60)
        sweep()
        clock.advance(900)
        sweep()

    assert len(caplog.records) > 4
    assert_clean(caplog.text)


@pytest.mark.parametrize("ending", ["accepted", "refused", "lost", "expired", "disabled"])
def test_names_and_email_are_erased_when_nothing_will_be_sent_any_more(
    begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure, ending: str
) -> None:
    if ending == "refused":
        gateway.next_collects.append(refuse())
    if ending == "lost":
        gateway.next_collects.append(lose_the_answer)
    if ending in ("expired", "disabled"):
        configure(DISPATCH="queue")
    payment = begin(**PAYER, otp="123456")
    if ending == "expired":
        clock.advance(900)
    if ending == "disabled":
        payment.provider.enabled = False
        payment.provider.save()
    sweep()

    assert only_attempt(payment).payer_sealed is None


def test_names_and_email_are_kept_until_they_are_sent(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_collects.append(cannot_reach)

    payment = begin(**PAYER)

    sealed = only_attempt(payment).payer_sealed
    assert sealed is not None
    assert sealed.open() == PAYER


def test_nothing_is_encrypted_without_names_and_email() -> None:
    assert PayerDetails().sealed() is None


def test_attempt_whose_number_was_erased_before_sending_is_rejected(
    begin: Begin, gateway: ModelGateway, configure: Configure
) -> None:
    configure(DISPATCH="queue")
    payment = begin()
    Attempt.objects.update(msisdn_sealed=None)

    sweep()

    payment.refresh_from_db()
    assert (payment.status, only_attempt(payment).reason_code) == ("rejected", "msisdn_erased")
    assert gateway.charges == []


def test_encrypted_column_refuses_clear_text(begin: Begin, gateway: ModelGateway) -> None:
    begin()

    with pytest.raises(ValidationError):
        Attempt.objects.update(msisdn_sealed=NATIONAL.encode())


def test_feexpays_reason_of_a_failure_is_redacted(begin: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = begin()
    gateway.last().decline()
    gateway.last().reason = f"payer 229{NATIONAL} said no"

    sweep_until_final(payment, clock)

    assert only_attempt(payment).reason_text == "payer ••• no"
    assert Payment.objects.get().status == "failed"


# --- personal data in FeexPay's texts -----------------------------------------------------------------------

SAID = "KOFFI Adjovi (01 97 12 34 50) koffi@mail.bj, Zinsou: 229.01.61.00.00.50"
TOLD = ("KOFFI", "Adjovi", "97 12 34", "koffi@mail", "Zinsou", "61.00.00")


def refuse_with(text: str) -> Callable[[Charge], WireReply]:
    def answer(charge: Charge) -> WireReply:
        charge.status, charge.refused = "FAILED", True
        return reply(400, {"statusCode": 400, "message": text})

    return answer


def test_personal_data_in_feexpays_texts_is_stored_and_shown_nowhere(
    begin: Begin, gateway: ModelGateway, clock: Clock, admin_client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    gateway.next_collects = [refuse_with(SAID)]
    refused = begin(**PAYER)
    failed = begin(**PAYER, amount=700)
    gateway.last().decline()
    gateway.last().reason = SAID
    sweep_until_final(failed, clock)
    body = {"reference": gateway.last().reference, "status": SAID, "type": SAID, "reason": SAID, "callback_info": SAID}
    webhook_hints.receive(
        hint_from(body | {"order_id": SAID, "ref_operator": "0197123450", "reseau": SAID, "date": SAID})
    )

    delivery = WebhookDelivery.objects.get()
    pages = [
        admin_client.get(f"/admin/feexpay/{path}").content.decode()
        for path in (
            *("payment/", "attempt/", "webhookdelivery/", f"webhookdelivery/{delivery.pk}/change/"),
            *(f"payment/{payment.pk}/change/" for payment in (refused, failed)),
            *(f"attempt/{only_attempt(payment).pk}/change/" for payment in (refused, failed)),
        )
    ]
    file = b"".join(exports.download(Payment.objects.all(), "csv").streaming_content).decode()
    shown = json.dumps([payment_body(payment) for payment in Payment.objects.for_reading()], default=str)

    for text in (stored(), *pages, file, shown, caplog.text):
        assert [part for part in (*TOLD, "0197123450") if part in text] == []
    assert only_attempt(refused).reason_text == "•••"
