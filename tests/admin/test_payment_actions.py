"""*Ask FeexPay now* and *Retry*: permission, reason, run and report.

With real transactions (`transaction=True`), so that rows are committed as on a server.
"""

from __future__ import annotations

import re

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import connections
from django.test import Client

from django_feexpay import failpoints
from django_feexpay.admin.confirm_action import MAX_ROWS
from django_feexpay.models import Credit, Payment, PaymentEvent, StaffAction
from tests.admin.conftest import StaffClient, StartPayment, page_of
from tests.admin.recording_transport import RecordingGateway

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/feexpay/payment/"
REASON = {"reason": "The payer called"}


def ask(*payments: Payment) -> str:
    return address("reconcile", *payments)


def retry(*payments: Payment) -> str:
    return address("retry", *payments)


def address(name: str, *payments: Payment) -> str:
    return f"{LIST}{name}/?" + "&".join(f"payment={payment.pk}" for payment in payments)


def messages_after(client: Client, url: str) -> list[str]:
    """Confirm the action; the messages that staff see."""
    answer = client.post(url, REASON, follow=True)
    assert answer.status_code == 200
    return [str(message) for message in answer.context["messages"]]


# --- permission and reason -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "name"), [("reconcile", "reconcile"), ("retry", "retry")])
def test_action_on_the_list_leads_to_the_page_that_asks_for_a_reason(
    action: str, name: str, superuser_client: Client, start_payment: StartPayment
) -> None:
    older, newer = start_payment(), start_payment()

    answer = superuser_client.post(LIST, {"action": action, ACTION_CHECKBOX_NAME: [older.pk, newer.pk]})

    assert answer["Location"] == address(name, newer, older)


@pytest.mark.parametrize("name", ["reconcile", "retry"])
def test_page_shows_the_payments_and_does_nothing_yet(
    name: str, superuser_client: Client, start_payment: StartPayment, gateway: RecordingGateway
) -> None:
    payment = start_payment()

    page = superuser_client.get(address(name, payment)).content.decode()

    assert str(payment.pk) in page
    assert "5\u00a0000\u00a0F\u00a0CFA" in page
    assert gateway.status_requests == []


@pytest.mark.parametrize("name", ["reconcile", "retry"])
@pytest.mark.parametrize("reason", ["", "   ", "x" * 501])
def test_action_needs_a_reason(
    name: str, reason: str, superuser_client: Client, start_failed: StartPayment, gateway: RecordingGateway
) -> None:
    payment = start_failed()
    gateway.status_requests.clear()

    answer = superuser_client.post(address(name, payment), {"reason": reason})

    assert "reason" in answer.context["form"].errors
    assert gateway.status_requests == []
    assert payment.attempts.count() == 1


@pytest.mark.parametrize(
    ("name", "held"),
    [
        pytest.param("reconcile", ["view_payment"], id="ask: may only view"),
        pytest.param("reconcile", ["view_payment", "retry_payment"], id="ask: may only retry"),
        pytest.param("reconcile", ["reconcile_payment"], id="ask: may not view"),
        pytest.param("retry", ["view_payment"], id="retry: may only view"),
        pytest.param("retry", ["view_payment", "reconcile_payment"], id="retry: may only ask"),
        pytest.param("retry", ["retry_payment"], id="retry: may not view"),
    ],
)
def test_action_needs_its_permission(
    name: str, held: list[str], staff_client: StaffClient, start_failed: StartPayment, gateway: RecordingGateway
) -> None:
    payment, client = start_failed(), staff_client(*held)
    gateway.status_requests.clear()

    assert client.get(address(name, payment)).status_code == 403
    assert client.post(address(name, payment), REASON).status_code == 403
    assert gateway.status_requests == []
    assert payment.attempts.count() == 1


def test_payers_may_not_use_the_action(client: Client, start_payment: StartPayment) -> None:
    payment = start_payment()
    assert payment.user is not None
    client.force_login(payment.user)

    assert client.post(ask(payment), REASON).status_code == 302
    assert PaymentEvent.objects.filter(source="admin").count() == 0


def test_action_is_refused_without_the_csrf_token(superuser_client: Client, start_payment: StartPayment) -> None:
    payment = start_payment()
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = superuser_client.cookies

    assert strict.post(ask(payment), REASON).status_code == 403


@pytest.mark.parametrize("name", ["reconcile", "retry"])
def test_list_offers_an_action_only_with_its_permission(
    name: str, staff_client: StaffClient, start_payment: StartPayment
) -> None:
    payment = start_payment()

    answer = staff_client("view_payment").post(LIST, {"action": name, ACTION_CHECKBOX_NAME: [payment.pk]})

    assert answer.status_code == 200
    assert 'name="action"' not in answer.content.decode()


@pytest.mark.parametrize("query", ["", "payment=x", "payment=00000000-0000-4000-8000-000000000000"])
def test_action_on_an_unknown_payment_is_not_found(query: str, superuser_client: Client) -> None:
    assert superuser_client.get(f"{LIST}reconcile/?{query}").status_code == 404
    assert superuser_client.post(f"{LIST}retry/?{query}", REASON).status_code == 404


def test_action_takes_a_limited_number(
    superuser_client: Client, start_payment: StartPayment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django_feexpay.admin.confirm_action.MAX_ROWS", 1)
    payments = [start_payment(), start_payment()]

    answer = superuser_client.post(
        LIST, {"action": "retry", ACTION_CHECKBOX_NAME: [payment.pk for payment in payments]}, follow=True
    )

    assert [str(message) for message in answer.context["messages"]] == [
        "You chose too many rows. Choose at most 1 at once. Nothing was done."
    ]
    assert superuser_client.post(retry(*payments), REASON).status_code == 404


def test_ids_of_the_most_rows_fit_into_an_address() -> None:
    longest = f"{LIST}reconcile/?" + "&".join(["payment=00000000-0000-4000-8000-000000000000"] * MAX_ROWS)

    assert MAX_ROWS == 50
    assert len(longest) < 4000  # gunicorn's limit is 4094


# --- ask FeexPay now ---------------------------------------------------------------------------------


def test_ask_settles_and_credits_as_the_worker_would(
    superuser_client: Client, start_payment: StartPayment, gateway: RecordingGateway
) -> None:
    payment = start_payment()
    gateway.statuses["REF-0001"] = "SUCCESSFUL"

    assert messages_after(superuser_client, ask(payment)) == ["Ask FeexPay now: 1 done, 0 skipped, 0 failed."]
    assert Credit.objects.get().payment_id == payment.pk


def test_ask_leaves_the_actor_and_the_reason_in_the_history(
    superuser_client: Client, start_payment: StartPayment, gateway: RecordingGateway
) -> None:
    payment = start_payment()
    gateway.statuses["REF-0001"] = "FAILED"

    messages_after(superuser_client, ask(payment))

    event = PaymentEvent.objects.latest("id")
    assert (event.source, event.actor, event.note) == (
        "admin",
        superuser_client.session["_auth_user_id"],
        "The payer called",
    )


def test_ask_without_a_change_still_logs_the_reason(superuser_client: Client, start_payment: StartPayment) -> None:
    messages_after(superuser_client, ask(start_payment()))

    action = StaffAction.objects.get()
    assert (action.action, action.result, action.reason) == ("reconcile", "done", "The payer called")


def test_ask_asks_about_every_attempt(
    superuser_client: Client, start_failed: StartPayment, gateway: RecordingGateway
) -> None:
    payment = start_failed()
    messages_after(superuser_client, retry(payment))
    gateway.status_requests.clear()

    messages_after(superuser_client, ask(payment))

    assert gateway.status_requests == ["REF-0001", "REF-0002"]


def test_ask_reports_a_silent_gateway_as_failed(
    superuser_client: Client, start_payment: StartPayment, gateway: RecordingGateway
) -> None:
    payment = start_payment()
    gateway.unreachable = True

    assert messages_after(superuser_client, ask(payment)) == [
        "Ask FeexPay now: 0 done, 0 skipped, 1 failed.",
        f"{payment}: FeexPay did not answer, or does not know it yet.",
    ]


def test_ask_searches_an_unsent_attempt_and_does_not_send_it(
    superuser_client: Client, start_payment: StartPayment, gateway: RecordingGateway
) -> None:
    gateway.unreachable = True
    unsent = start_payment()
    gateway.unreachable = False

    assert messages_after(superuser_client, ask(unsent))[0] == "Ask FeexPay now: 1 done, 0 skipped, 0 failed."
    unsent.refresh_from_db()
    assert unsent.status == "created"


def test_ask_skips_an_attempt_that_is_being_sent(
    superuser_client: Client, start_payment: StartPayment, gateway: RecordingGateway
) -> None:
    def die() -> None:
        raise KeyboardInterrupt

    with failpoints.arm("before_send", die), pytest.raises(KeyboardInterrupt):
        start_payment()

    assert (
        messages_after(superuser_client, ask(Payment.objects.get()))[0]
        == "Ask FeexPay now: 0 done, 1 skipped, 0 failed."
    )
    assert gateway.status_requests == []


def test_action_begins_no_further_row_after_its_timeout(
    superuser_client: Client, start_payment: StartPayment, gateway: RecordingGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = start_payment()
    monkeypatch.setattr("django_feexpay.admin.confirm_action.TIMEOUT_SECONDS", 0.0)

    assert messages_after(superuser_client, ask(payment)) == [
        "Ask FeexPay now: 0 done, 1 skipped, 0 failed.",
        f"{payment}: The time limit was reached before this row. Choose it again.",
    ]
    assert gateway.status_requests == []


def test_action_on_one_payment_returns_to_its_page(superuser_client: Client, start_payment: StartPayment) -> None:
    payment = start_payment()

    assert superuser_client.post(ask(payment), REASON)["Location"] == page_of(payment)
    assert superuser_client.post(ask(payment, start_payment()), REASON)["Location"] == LIST


# --- retry -------------------------------------------------------------------------------------------


def test_retry_opens_a_new_attempt_and_sends_it(
    superuser_client: Client, start_failed: StartPayment, gateway: RecordingGateway
) -> None:
    payment = start_failed()

    assert messages_after(superuser_client, retry(payment)) == ["Retry: 1 done, 0 skipped, 0 failed."]
    assert list(payment.attempts.order_by("ordinal").values_list("status", flat=True)) == ["failed", "pending"]
    assert list(gateway.collects) == ["REF-0001", "REF-0002"]
    event = PaymentEvent.objects.get(because="retried")
    assert (event.source, event.actor, event.note) == (
        "admin",
        superuser_client.session["_auth_user_id"],
        "The payer called",
    )


def test_report_groups_refusals_by_their_text(
    superuser_client: Client, start_failed: StartPayment, start_payment: StartPayment, gateway: RecordingGateway
) -> None:
    failed, waiting, paid = start_failed(), start_payment(), start_payment()
    gateway.statuses["REF-0003"] = "SUCCESSFUL"
    messages_after(superuser_client, ask(paid))

    messages = messages_after(superuser_client, retry(failed, waiting, paid))

    assert messages[0] == "Retry: 1 done, 2 skipped, 0 failed."
    assert set(messages[1:]) == {
        f"{waiting}: An earlier attempt may still succeed, so no new one was started. Do not pay a second time.",
        f"{paid}: This payment is paid.",
    }


def test_retry_that_feexpay_refuses_is_reported_as_failed(
    superuser_client: Client, start_failed: StartPayment, gateway: RecordingGateway
) -> None:
    payment = start_failed()
    gateway.refusal = "PAYER_NOT_FOUND"

    assert messages_after(superuser_client, retry(payment)) == [
        "Retry: 0 done, 0 skipped, 1 failed.",
        f"{payment}: PAYER_NOT_FOUND",
    ]


def test_retry_twice_opens_one_attempt(
    superuser_client: Client, start_failed: StartPayment, gateway: RecordingGateway
) -> None:
    payment = start_failed()

    messages_after(superuser_client, retry(payment))
    messages_after(superuser_client, retry(payment))

    assert len(gateway.collects) == 2


@pytest.mark.parametrize("name", ["reconcile", "retry"])
def test_actions_run_outside_a_transaction_with_atomic_requests(
    name: str, superuser_client: Client, start_failed: StartPayment, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = start_failed()
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)

    messages = messages_after(superuser_client, address(name, payment))

    assert re.match(r".+: 1 done, 0 skipped, 0 failed\.", messages[0])
