"""Closing a review in the admin: facts, decision, and one person or two."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import connections
from django.test import Client

from django_feexpay.models import Attempt, Credit, Payment, PaymentEvent, ReviewProposal, StaffAction
from django_feexpay.payments.invariants import violations
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile
from tests.admin.conftest import StaffClient, StartPayment, page_of
from tests.admin.recording_transport import RecordingGateway
from tests.conftest import Configure

pytestmark = pytest.mark.django_db(transaction=True)

MAY = ("view_payment", "close_review")
TOOK = "FeexPay took 4\u00a0999\u00a0F\u00a0CFA of 5\u00a0000\u00a0F\u00a0CFA, reference REF-0001."


def review_of(payment: Payment) -> str:
    return f"/admin/feexpay/payment/close_review/?payment={payment.pk}"


def text_of(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200
    return answer.content.decode()


def hidden(page: str) -> dict[str, str]:
    """What the page sends back of what it showed."""
    names = ("attempt", "seen", "proposed")
    return {name: re.findall(rf'type="hidden" name="{name}" value="([^"]*)"', page)[0] for name in names}


def decide(client: Client, payment: Payment, decision: str, **more: str) -> list[str]:
    """Open the page, choose and send; the messages that staff see."""
    shown = hidden(text_of(client, review_of(payment)))
    given = shown | {"decision": decision, "reason": "The operator's receipt"} | more
    answer = client.post(review_of(payment), given, follow=True)
    assert answer.status_code == 200
    return [str(message) for message in answer.context["messages"]]


def approve(client: Client, payment: Payment) -> list[str]:
    return decide(client, payment, "", approve="Approve")


def options(page: str) -> dict[str, bool]:
    """The decisions, and whether each can be chosen."""
    found = re.findall(r'<input type="radio" name="decision" id="[^"]+" value="(\w+)"[^>]*?( disabled)?>', page)
    return {value: not disabled for value, disabled in found}


# --- the payment's page ----------------------------------------------------------------------------------


def test_payment_page_shows_the_charged_amount_and_links_to_closing(
    superuser_client: Client, start_review: StartPayment
) -> None:
    payment = start_review()

    page = text_of(superuser_client, page_of(payment))

    assert TOOK in page
    assert "FeexPay charged another amount" in page
    assert f'<a class="button" href="{review_of(payment)}">Close the review</a>' in page


def test_page_of_a_payment_under_review_offers_no_retry(superuser_client: Client, start_review: StartPayment) -> None:
    payment = start_review()

    offered = re.findall(rf'payment={payment.pk}">([^<]+)</a></li>', text_of(superuser_client, page_of(payment)))

    assert offered == ["Ask FeexPay now", "Write a note", "Close the review", "Show the phone number"]


def test_page_without_a_review_does_not_mention_one(superuser_client: Client, start_payment: StartPayment) -> None:
    page = text_of(superuser_client, page_of(start_payment()))

    assert "Under review" not in page
    assert "Close the review" not in page


@pytest.mark.parametrize("held", [("view_payment",), ("view_payment", "retry_payment", "reconcile_payment")])
def test_closing_is_offered_only_with_the_permission(
    held: tuple[str, ...], staff_client: StaffClient, start_review: StartPayment
) -> None:
    page = text_of(staff_client(*held), page_of(start_review()))

    assert TOOK in page
    assert "Close the review" not in page


def test_reviews_are_never_closed_in_bulk(superuser_client: Client, start_review: StartPayment) -> None:
    payments = [start_review(), start_review()]
    listed = superuser_client.get("/admin/feexpay/payment/")

    assert not [name for name, _ in listed.context["action_form"].fields["action"].choices if "review" in name]
    superuser_client.post(
        "/admin/feexpay/payment/", {"action": "close_review", ACTION_CHECKBOX_NAME: [p.pk for p in payments]}
    )
    both = f"{review_of(payments[0])}&payment={payments[1].pk}"
    decide(superuser_client, payments[1], "credit_taken")
    assert (
        superuser_client.get(both).status_code == 302
    )  # the last one named is closed already; the first was not touched
    assert Credit.objects.count() == 1


# --- the page that asks ------------------------------------------------------------------------------------


def test_page_shows_the_facts_and_the_effect_of_each_decision(
    superuser_client: Client, start_review: StartPayment, gateway: RecordingGateway
) -> None:
    payment = start_review()

    page = text_of(superuser_client, review_of(payment))

    assert TOOK in page
    assert options(page) == {"credit_taken": True, "credit_price": True, "not_paid": False}
    assert "4\u00a0999\u00a0F\u00a0CFA are credited, and the payer reads that the payment succeeded." in page
    assert "5\u00a0000\u00a0F\u00a0CFA are credited, and the payer reads that the payment succeeded." in page
    assert "Not possible: FeexPay says that money was taken." in page
    assert Credit.objects.count() == 0


def test_page_offers_not_paid_if_feexpay_does_not_know_the_payment(
    superuser_client: Client, start_review: StartPayment, gateway: RecordingGateway
) -> None:
    payment = start_review()
    Attempt.objects.update(gateway_reference=None)

    page = text_of(superuser_client, review_of(payment))

    assert "FeexPay knows no such payment." in page
    assert options(page) == {"credit_taken": False, "credit_price": True, "not_paid": True}
    decide(superuser_client, payment, "not_paid")
    assert "failed" in Payment.objects.values_list("status", flat=True)


@pytest.mark.parametrize(("decision", "amount"), [("credit_taken", 4999), ("credit_price", 5000)])
def test_decision_is_stored_with_its_person_and_reason(
    decision: str, amount: int, superuser_client: Client, start_review: StartPayment
) -> None:
    payment = start_review()

    assert decide(superuser_client, payment, decision) == ["The review is closed."]

    event = PaymentEvent.objects.latest("id")
    assert (event.source, event.actor, event.note) == (
        "admin",
        superuser_client.session["_auth_user_id"],
        "The operator's receipt",
    )
    assert (Credit.objects.get().amount, event.because) == (amount, decision)
    action = StaffAction.objects.get()
    assert (action.action, action.payment_id, action.reason) == ("close_review", payment.pk, "The operator's receipt")
    assert action.detail == {"step": "closed", "decision": decision, "attempt": 1}
    page = text_of(superuser_client, page_of(payment))
    assert "Under review" not in page
    assert TOOK in page[page.index("feexpay-timeline") :]
    assert ("credited: <span" in page) is (decision == "credit_taken")
    assert list(violations()) == []


@pytest.mark.parametrize(
    ("given", "field"),
    [({"decision": ""}, "decision"), ({"decision": "refund"}, "decision"), ({"reason": " "}, "reason")],
    ids=str,
)
def test_incomplete_form_is_shown_again_with_the_facts(
    given: dict[str, str], field: str, superuser_client: Client, start_review: StartPayment
) -> None:
    payment = start_review()
    shown = hidden(text_of(superuser_client, review_of(payment)))

    answer = superuser_client.post(review_of(payment), shown | {"decision": "credit_taken", "reason": "seen"} | given)

    assert field in answer.context["form"].errors
    assert TOOK in answer.content.decode()
    assert Credit.objects.count() == 0


def test_form_without_its_hidden_fields_does_nothing(superuser_client: Client, start_review: StartPayment) -> None:
    payment = start_review()

    superuser_client.post(review_of(payment), {"decision": "credit_taken", "reason": "seen"})

    assert Credit.objects.count() == 0


def test_amount_that_changed_since_the_page_is_not_credited(
    superuser_client: Client, start_review: StartPayment, gateway: RecordingGateway
) -> None:
    payment = start_review()
    shown = hidden(text_of(superuser_client, review_of(payment)))
    gateway.charged_amounts["REF-0001"] = 4000

    answer = superuser_client.post(
        review_of(payment), shown | {"decision": "credit_taken", "reason": "seen"}, follow=True
    )

    assert "FeexPay&#x27;s answer has changed." in answer.content.decode()
    assert TOOK.replace("4\u00a0999", "4\u00a0000") in answer.content.decode()
    assert Credit.objects.count() == 0


def test_page_that_gets_a_deciding_answer_settles_and_says_so(
    superuser_client: Client, start_review: StartPayment, gateway: RecordingGateway
) -> None:
    payment = start_review()
    gateway.charged_amounts.clear()

    answer = superuser_client.get(review_of(payment), follow=True)

    assert [str(message) for message in answer.context["messages"]] == [
        "FeexPay confirms this payment: it counts as paid. There is nothing left to decide."
    ]
    assert answer.redirect_chain[0][0] == page_of(payment)
    assert Credit.objects.get().amount == 5000


def test_page_says_that_feexpay_cannot_be_asked(
    superuser_client: Client, start_review: StartPayment, gateway: RecordingGateway
) -> None:
    payment = start_review()
    gateway.unreachable = True

    answer = superuser_client.get(review_of(payment), follow=True)

    assert "FeexPay cannot be asked at the moment." in answer.content.decode()
    assert answer.redirect_chain[0][0] == page_of(payment)


def test_second_click_closes_nothing(superuser_client: Client, start_review: StartPayment) -> None:
    payment = start_review()
    given = hidden(text_of(superuser_client, review_of(payment))) | {"decision": "credit_taken", "reason": "seen"}
    superuser_client.post(review_of(payment), given)

    answer = superuser_client.post(review_of(payment), given, follow=True)

    assert "This payment is not under review." in answer.content.decode()
    assert Credit.objects.count() == 1


@pytest.mark.parametrize("held", [("view_payment",), ("close_review",), ("view_payment", "retry_payment")])
def test_closing_needs_its_permission(
    held: tuple[str, ...], staff_client: StaffClient, start_review: StartPayment, gateway: RecordingGateway
) -> None:
    payment, client = start_review(), staff_client(*held)
    gateway.status_requests.clear()

    assert client.get(review_of(payment)).status_code == 403
    assert client.post(review_of(payment), {"decision": "credit_taken", "reason": "seen"}).status_code == 403
    assert gateway.status_requests == []


def test_closing_is_refused_without_the_csrf_token(superuser_client: Client, start_review: StartPayment) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = superuser_client.cookies

    assert strict.post(review_of(start_review()), {"decision": "credit_taken"}).status_code == 403


@pytest.mark.parametrize("query", ["", "payment=x", "payment=00000000-0000-4000-8000-000000000000"])
def test_review_of_an_unknown_payment_is_not_found(query: str, superuser_client: Client) -> None:
    assert superuser_client.get(f"/admin/feexpay/payment/close_review/?{query}").status_code == 404


def test_closing_runs_outside_a_transaction_with_atomic_requests(
    superuser_client: Client, start_review: StartPayment, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = start_review()
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)

    assert decide(superuser_client, payment, "credit_taken") == ["The review is closed."]


def test_unknown_status_of_feexpay_is_not_shown(
    superuser_client: Client, start_review: StartPayment, gateway: RecordingGateway
) -> None:
    payment = start_review()
    gateway.statuses["REF-0001"] = "<script>alert(1)</script>"

    page = text_of(superuser_client, review_of(payment))

    assert "alert(1)" not in page
    assert "•••" in page


# --- two persons -----------------------------------------------------------------------------------------


@pytest.fixture
def two_persons(configure: Configure, gateway: RecordingGateway) -> None:
    configure(REVIEW_TWO_PERSON_ABOVE=1000)


@pytest.mark.usefixtures("two_persons")
def test_first_person_proposes_and_a_second_one_approves(staff_client: StaffClient, start_review: StartPayment) -> None:
    payment, first, second = start_review(), staff_client(*MAY), staff_client(*MAY)

    assert decide(first, payment, "credit_taken") == ["Proposed. Nothing happens until a second person approves it."]
    assert Credit.objects.count() == 0
    assert "Approve:" not in text_of(first, review_of(payment))
    assert "You proposed this yourself: a second person must approve it." in text_of(first, review_of(payment))
    page = text_of(second, review_of(payment))
    assert 'value="Approve: Credit what FeexPay took"' in page
    assert "The operator&#x27;s receipt" in page

    assert approve(second, payment) == ["The review is closed."]

    assert Credit.objects.get().event.actor == second.session["_auth_user_id"]
    assert ReviewProposal.objects.get().proposed_by == first.session["_auth_user_id"]
    assert list(violations()) == []


@pytest.mark.usefixtures("two_persons")
def test_first_person_cannot_approve_with_a_forged_form(staff_client: StaffClient, start_review: StartPayment) -> None:
    payment, first = start_review(), staff_client(*MAY)
    decide(first, payment, "credit_taken")

    assert approve(first, payment) == ["You proposed this yourself: a second person must approve it."]
    assert Credit.objects.count() == 0


@pytest.mark.usefixtures("two_persons")
def test_approving_a_replaced_proposal_does_nothing(staff_client: StaffClient, start_review: StartPayment) -> None:
    payment, first, second = start_review(), staff_client(*MAY), staff_client(*MAY)
    decide(first, payment, "credit_taken")
    shown = hidden(text_of(second, review_of(payment)))
    decide(first, payment, "credit_price")

    answer = second.post(review_of(payment), shown | {"reason": "agreed", "approve": "Approve"}, follow=True)

    assert "No decision was proposed for this payment, so there is nothing to approve." in answer.content.decode()
    assert Credit.objects.count() == 0


@pytest.mark.usefixtures("two_persons")
def test_second_person_finds_open_proposals(staff_client: StaffClient, start_review: StartPayment) -> None:
    payment, first = start_review(), staff_client(*MAY)
    decide(first, payment, "credit_taken")
    second = staff_client(*MAY, "view_reviewproposal")

    waiting = text_of(second, "/admin/feexpay/reviewproposal/?outcome__exact=open")

    assert page_of(payment) in waiting
    assert "A decision was proposed: a second person must approve it." in text_of(second, page_of(payment))
    assert "waits for a second person" in text_of(second, page_of(payment))


# --- ask FeexPay now ---------------------------------------------------------------------------------------


def ask(client: Client, payment: Payment) -> list[Any]:
    url = f"/admin/feexpay/payment/reconcile/?payment={payment.pk}"
    return list(client.post(url, {"reason": "The payer called"}, follow=True).context["messages"])


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("SUCCESSFUL", TOOK),
        ("PENDING", "FeexPay still waits for the payer, reference REF-0001."),
        ("ON HOLD", "FeexPay answered with an unknown status: “ON HOLD”, reference REF-0001."),
    ],
)
def test_ask_without_a_change_shows_the_answer_of_feexpay(
    word: str, text: str, superuser_client: Client, start_review: StartPayment, gateway: RecordingGateway
) -> None:
    payment = start_review()
    gateway.statuses["REF-0001"] = word

    summary, words = ask(superuser_client, payment)

    assert (summary.level_tag, words.level_tag) == ("warning", "warning")
    assert str(words) == f"{payment}: Attempt 1 is unchanged. {text}"


def test_ask_that_settles_reports_only_the_count(
    superuser_client: Client, start_payment: StartPayment, gateway: RecordingGateway
) -> None:
    payment = start_payment()
    gateway.statuses["REF-0001"] = "SUCCESSFUL"

    [summary] = ask(superuser_client, payment)

    assert (str(summary), summary.level_tag) == ("Ask FeexPay now: 1 done, 0 skipped, 0 failed.", "success")


def test_retry_of_a_payment_under_review_is_skipped(superuser_client: Client, start_review: StartPayment) -> None:
    payment = start_review()
    reconcile(payment.attempt.pk, source=Source.WORKER)

    answer = superuser_client.post(f"/admin/feexpay/payment/retry/?payment={payment.pk}", {"reason": "x"}, follow=True)

    assert "An earlier attempt may still succeed" in answer.content.decode()
