"""Cards on FeexPay's page: found by our id, proven by history and status, credited once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from django_feexpay import conf
from django_feexpay.gateway.reports import WebhookHint, hint_from
from django_feexpay.models import Attempt, Credit, Payment
from django_feexpay.payments import sending, webhook_hints
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile, reconcile_if_due, record_reference
from django_feexpay.payments.reconciliation import discrepancies
from django_feexpay.payments.retry import retry
from tests.payments.conftest import Begin, Configure
from tests.payments.fake_gateway import ModelGateway, lose_the_page, refuse_the_page, reply
from tests.payments.fake_history import FakeHistory, row
from tests.payments.fakes import Clock, Recorder, moves, only_attempt, sweep, sweep_at_next_poll, sweep_until_final

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def pay_by_card(begin: Begin) -> Begin:
    def start(**changes: Any) -> Payment:
        return begin(**{"provider": "visa", "phone": "", **changes})

    return start


def test_new_page_has_an_address_and_no_reference(pay_by_card: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = pay_by_card()

    attempt = payment.attempt
    assert (payment.status, payment.detail) == ("pending", "redirect")
    assert (attempt.gateway_reference, attempt.redirect_url) == (None, "https://link.example/page0001/coins")
    assert (attempt.masked_msisdn, attempt.msisdn_hash, attempt.msisdn_sealed) == ("", "", None)
    assert moves(payment) == ["sending", "pending"]


def test_page_carries_our_id_and_closes_before_the_attempt_expires(
    pay_by_card: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    urls = {"return_url": "https://shop.test/back", "cancel_url": "https://shop.test/no"}
    payment = pay_by_card(description="Pièces d'or", return_hosts=("shop.test",), **urls)

    [asked] = gateway.pages
    assert asked == {
        "shop": asked["shop"],
        "amount": 5000,
        "description": "Pieces d or",
        "paymentMethod": "CARD",
        "range": 1,
        "expireIn": 15,
        "custom_id": str(payment.attempt.pk),
        "callback_url": "https://shop.test/back",
        "callback_error": "https://shop.test/no",
    }


def test_payment_on_the_page_is_found_proven_and_credited_once(
    pay_by_card: Begin, gateway: ModelGateway, clock: Clock, signals: Recorder
) -> None:
    payment = pay_by_card()
    sweep_at_next_poll(clock)
    assert moves(payment) == ["sending", "pending"]

    gateway.pay_on_page().approve()
    sweep_until_final(payment, clock)

    attempt, event = only_attempt(payment), payment.events.get(to_status="successful")
    assert (payment.status, attempt.gateway_reference, Credit.objects.get().amount) == ("successful", "card-0001", 5000)
    assert (event.evidence["echo_matches"], event.evidence["amount"]) == (True, 5000)
    assert signals.names() == ["payment_succeeded"]


def test_card_that_is_declined_leaves_the_page_open_until_it_closes(
    pay_by_card: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    payment = pay_by_card()
    gateway.pay_on_page().decline()
    sweep_at_next_poll(clock)
    payment.refresh_from_db()
    assert (payment.status, payment.detail) == ("pending", "redirect")

    gateway.pay_on_page().approve()
    sweep_until_final(payment, clock)

    assert (payment.status, only_attempt(payment).gateway_reference) == ("successful", "card-0002")


def test_card_that_is_declined_fails_when_the_page_has_closed_and_may_be_retried(
    pay_by_card: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    payment = pay_by_card()
    gateway.pay_on_page().decline()

    sweep_until_final(payment, clock)

    attempt = only_attempt(payment)
    assert (payment.status, attempt.reason_code) == ("failed", "payer_declined")
    assert clock.at >= attempt.expires_at
    again = retry(payment.pk, source=Source.API)
    assert (again.status, again.attempt.ordinal, len(gateway.pages)) == ("pending", 2, 2)


def test_unused_page_expires_and_a_late_payment_is_credited(
    pay_by_card: Begin, gateway: ModelGateway, clock: Clock, signals: Recorder
) -> None:
    payment = sweep_until_final(pay_by_card(), clock)
    assert (payment.status, only_attempt(payment).reason_code) == ("expired", "expired")
    with pytest.raises(NotAllowedError, match="payment_open"):
        retry(payment.pk, source=Source.API)

    gateway.pay_on_page().approve()
    sweep_at_next_poll(clock)

    payment.refresh_from_db()
    assert (payment.status, Credit.objects.count()) == ("successful", 1)
    assert signals.names() == ["payment_failed", "payment_succeeded", "payment_succeeded_late"]


def test_page_does_not_expire_while_history_may_lack_the_payment(
    pay_by_card: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    payment = pay_by_card()
    gateway.history_total = 9999
    clock.advance(3600)
    sweep()
    payment.refresh_from_db()
    assert payment.status == "pending"

    clock.advance(24 * 3600)
    sweep()
    payment.refresh_from_db()
    assert payment.status == "review"


def test_declined_card_is_no_failure_while_the_history_may_hide_one_that_was_charged(
    pay_by_card: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    """Otherwise the payer could be asked to pay a second time."""
    payment = pay_by_card()
    gateway.pay_on_page().decline()
    gateway.history_total = 9999
    clock.advance(3600)
    sweep()
    payment.refresh_from_db()
    assert payment.status == "pending"
    with pytest.raises(NotAllowedError, match="payment_open"):
        retry(payment.pk, source=Source.API)

    gateway.history_total = None
    sweep_until_final(payment, clock)
    assert payment.status == "failed"
    gateway.history_total = 9999
    with pytest.raises(NotAllowedError, match="gateway_unavailable"):
        retry(payment.pk, source=Source.API)


def test_page_open_for_days_is_searched_on_each_day(
    pay_by_card: Begin, history: FakeHistory, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    configure(EXPIRY_SECONDS=7 * 86_400)
    payment = pay_by_card()
    clock.advance(5 * 86_400)
    charge = gateway.pay_on_page()
    charge.approve()
    history.rows.append(row(charge.reference, clock.at, custom_id=charge.custom_id, amount=charge.amount))

    sweep()

    payment.refresh_from_db()
    assert (payment.status, Credit.objects.count()) == ("successful", 1)


# --- missing proof --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lies", "because"),
    [
        ({"amount": 4999}, "amount_mismatch"),
        ({"callback_info": "somebody-else"}, "echo_mismatch"),
        ({"reference": "other"}, "reference_mismatch"),
        ({"reference": None}, "reference_missing"),
    ],
)
def test_page_success_with_a_wrong_fact_goes_to_review(
    pay_by_card: Begin, gateway: ModelGateway, clock: Clock, lies: dict[str, Any], because: str
) -> None:
    payment = pay_by_card()
    charge = gateway.pay_on_page(lies=lies)
    charge.approve()

    sweep_at_next_poll(clock)

    payment.refresh_from_db()
    assert (payment.status, Credit.objects.count()) == ("review", 0)
    assert payment.events.get(to_status="review").because == because


def test_page_success_without_an_amount_goes_to_review(pay_by_card: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = pay_by_card()
    charge = gateway.pay_on_page()
    charge.approve()
    charge.amount = None  # type: ignore[assignment]  # neither the history nor the status gives it

    sweep_at_next_poll(clock)

    payment.refresh_from_db()
    assert (payment.status, payment.events.get(to_status="review").because) == ("review", "amount_missing")


def test_history_alone_is_no_proof(pay_by_card: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = pay_by_card()
    gateway.pay_on_page(lies={"status": "PENDING"}).approve()

    sweep_at_next_poll(clock)

    payment.refresh_from_db()
    assert (payment.status, Credit.objects.count()) == ("pending", 0)


def test_payment_of_another_page_is_not_ours(pay_by_card: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = pay_by_card()
    gateway.pay_on_page(custom_id="another-attempt").approve()

    sweep_at_next_poll(clock)

    payment.refresh_from_db()
    assert (payment.status, only_attempt(payment).gateway_reference) == ("pending", None)


def test_two_payments_with_one_reference_go_to_review(pay_by_card: Begin, gateway: ModelGateway, clock: Clock) -> None:
    first, second = pay_by_card(merchant_reference="a"), pay_by_card(merchant_reference="b")
    gateway.pay_on_page(0).approve()
    gateway.pay_on_page(1).approve()
    gateway.charges[1].reference = gateway.charges[0].reference
    for payment in (first, second):
        reconcile(payment.attempt.pk, source=Source.WORKER)

    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.status, second.status, Credit.objects.count()) == ("successful", "review", 1)


# --- getting the page ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        lose_the_page,
        lambda url: reply(502, "<html>"),
        lambda url: reply(201, {"urlPay": ""}),
        lambda url: reply(201, {"urlPay": "javascript:alert(1)"}),
        lambda url: reply(201, {"urlPay": "http://link.example/in-clear"}),
    ],
)
def test_page_with_a_lost_address_is_requested_again(
    pay_by_card: Begin, gateway: ModelGateway, clock: Clock, answer: Any
) -> None:
    gateway.next_pages = [answer]
    payment = pay_by_card()
    assert (payment.status, payment.detail, payment.attempt.sent_at) == ("created", "queued", None)

    sweep_at_next_poll(clock)

    payment = Payment.objects.for_reading().get(pk=payment.pk)
    assert (payment.status, payment.detail, len(gateway.pages)) == ("pending", "redirect", 2)


def test_page_of_a_dead_sender_is_requested_again(
    pay_by_card: Begin, gateway: ModelGateway, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_mark_page_opened", lambda *args: None)
    payment = pay_by_card()
    monkeypatch.undo()
    assert payment.status == "sending"

    clock.advance(60)
    sweep()
    payment.refresh_from_db()
    assert payment.status == "created"
    sweep_at_next_poll(clock)

    payment.refresh_from_db()
    assert (payment.status, only_attempt(payment).redirect_url) == ("pending", "https://link.example/page0002/coins")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (refuse_the_page("FEEXLINK_EXPIRED", 410), "expired"),
        (refuse_the_page("", 400, "Usage limit reached"), "provider_unavailable"),
        (refuse_the_page("NETWORK_UNAVAILABLE"), "network_unavailable"),
        (refuse_the_page("", 404, "CARD channel not configured"), "provider_not_activated"),
        (refuse_the_page("ERR_SHOP_NOT_FOUND", 404), "unknown_shop"),
    ],
)
def test_refused_page_rejects_the_attempt(
    pay_by_card: Begin, gateway: ModelGateway, clock: Clock, answer: Any, code: str
) -> None:
    gateway.next_pages = [answer]

    payment = pay_by_card()

    assert (payment.status, payment.attempt.reason_code, gateway.charges) == ("rejected", code, [])


def test_page_lifetime_is_the_time_until_expiry(pay_by_card: Begin, gateway: ModelGateway, clock: Clock) -> None:
    gateway.next_pages = [lose_the_page]
    payment = pay_by_card()
    Attempt.objects.filter(payment=payment).update(next_poll_at=clock.at + timedelta(seconds=600))

    sweep_at_next_poll(clock)

    assert [asked["expireIn"] for asked in gateway.pages] == [15, 5]


# --- polls and webhooks -----------------------------------------------------------------------------------


def test_status_read_polls_a_due_page(pay_by_card: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = pay_by_card()
    gateway.pay_on_page().approve()
    assert not reconcile_if_due(payment.attempt, source=Source.API, total_seconds=2.0)

    clock.advance(5)

    assert reconcile_if_due(payment.attempt, source=Source.API, total_seconds=2.0)
    payment.refresh_from_db()
    assert payment.status == "successful"


def hint(link: str) -> WebhookHint:
    return hint_from({"reference": "card-0001", "status": "SUCCESSFUL", "ref_link": link})


@pytest.mark.parametrize(
    ("link", "due"),
    [
        ("page0001", True),
        ("page0002", False),
        ("page", False),
        ("page000", False),
        ("age0001", False),
        ("PAGE0001", False),
        ("page0001/coins", False),
        ("coins", False),
        ("link.example", False),
        ("/link.example/", False),
        ("page_001", False),
        ("%", False),
        ("", False),
    ],
)
def test_webhook_of_a_page_makes_its_attempt_due(
    pay_by_card: Begin, gateway: ModelGateway, clock: Clock, link: str, due: bool
) -> None:
    payment = pay_by_card()

    webhook_hints.receive(hint(link))

    assert (only_attempt(payment).next_poll_at == clock.at) is due


def test_webhook_of_a_page_without_a_title_makes_its_attempt_due(
    pay_by_card: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    payment = pay_by_card()
    Attempt.objects.update(redirect_url="https://link.example/page0001/")

    webhook_hints.receive(hint("page0001"))

    assert only_attempt(payment).next_poll_at == clock.at


def test_webhook_is_matched_when_its_payment_is_found(pay_by_card: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = pay_by_card()
    gateway.pay_on_page().approve()
    webhook_hints.receive(hint("page0001"))

    sweep()

    payment.refresh_from_db()
    assert payment.status == "successful"
    assert only_attempt(payment).deliveries.count() == 1


def test_queued_card_gets_its_page_from_the_worker(
    pay_by_card: Begin, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    configure(DISPATCH="queue")
    payment = pay_by_card()
    assert (payment.status, gateway.pages) == ("created", [])

    sweep()

    payment.refresh_from_db()
    assert (payment.status, only_attempt(payment).redirect_url) == ("pending", "https://link.example/page0001/coins")


def test_comparison_matches_a_page_by_our_id(pay_by_card: Begin, gateway: ModelGateway, clock: Clock) -> None:
    payment = pay_by_card()
    gateway.pay_on_page().decline()
    gateway.pay_on_page().approve()
    sweep_until_final(payment, clock)
    page = conf.gateway().search_history(clock.at.date(), clock.at.date())

    attempts = discrepancies.matching(page.rows)

    assert [attempts[row] for row in page.rows] == [only_attempt(payment)] * 2
    assert [list(discrepancies.between(only_attempt(payment), row)) for row in page.rows] == [[], []]


def test_page_without_an_amount_in_its_status_uses_the_amount_in_history(
    pay_by_card: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    payment = pay_by_card()
    charge = gateway.pay_on_page()
    charge.approve()
    charge.lies = {"amount": None}

    sweep_until_final(payment, clock)

    assert payment.events.get(to_status="successful").evidence["amount"] == 5000


def test_page_with_a_wrong_amount_in_history_is_not_credited(
    pay_by_card: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    payment = pay_by_card()
    charge = gateway.pay_on_page()
    charge.approve()
    charge.amount, charge.lies = 4999, {"amount": None}

    sweep_at_next_poll(clock)

    assert moves(payment)[-1] == "review"
    assert payment.events.get(to_status="review").because == "amount_mismatch"


def test_credited_page_keeps_its_reference(pay_by_card: Begin, gateway: ModelGateway, clock: Clock) -> None:
    """A process that polled before the credit found the second payment of the page."""
    payment = pay_by_card()
    before = only_attempt(payment)
    gateway.pay_on_page().approve()
    sweep_until_final(payment, clock)

    record_reference(before, "card-0002", Source.WORKER)

    assert only_attempt(payment).gateway_reference == "card-0001"
