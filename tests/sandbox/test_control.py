"""The control interface: list payments, decide for the payer, reset."""

from __future__ import annotations

import pytest

from tests.sandbox.feexpay import collect, status_of
from tests.sandbox.running import RunningSandbox


def test_listed_payment_has_a_masked_number(sandbox: RunningSandbox) -> None:
    reference = collect(sandbox, callback_info="attempt-1").json()["reference"]
    (payment,) = sandbox.payments()
    assert payment.pop("id") >= 1
    assert payment.pop("created_at").endswith("Z")
    assert payment == {
        "reference": reference,
        "type": "PAYMENT_API",
        "suffix": "mtn",
        "msisdn": "+229 01 •••••• 50",
        "amount": 5000,
        "paid_amount": 0,
        "currency": "XOF",
        "status": "PENDING",
        "reason": None,
        "echo": "attempt-1",
        "custom_id": None,
        "link": None,
        "waits_for": "phone",
        "charged": False,
        "prompts": 1,
        "settled_at": None,
        "webhooks": [],
    }


def test_list_filters_by_echo(sandbox: RunningSandbox) -> None:
    for echo in ("a", "b", "a"):
        collect(sandbox, callback_info=echo)
    assert [payment["echo"] for payment in sandbox.payments("a")] == ["a", "a"]
    assert sandbox.payments("nobody") == []


def test_one_payment_is_read_as_in_the_list(sandbox: RunningSandbox) -> None:
    reference = collect(sandbox).json()["reference"]
    assert sandbox.get(f"/control/payments/{reference}").json() == sandbox.payments()[0]


@pytest.mark.parametrize(
    ("choice", "status", "reason", "paid_amount"),
    [
        ("approve", "SUCCESSFUL", None, 5000),
        ("decline", "FAILED", "APPROVAL_REJECTED", 0),
        ("expire", "FAILED", "EXPIRED", 0),
    ],
)
def test_choice_settles_the_payment(
    sandbox: RunningSandbox, choice: str, status: str, reason: str | None, paid_amount: int
) -> None:
    reference = collect(sandbox).json()["reference"]
    answer = sandbox.post(f"/control/payments/{reference}/{choice}").json()
    assert (answer["status"], answer["reason"], answer["paid_amount"]) == (status, reason, paid_amount)
    assert sandbox.charges() == (1 if paid_amount else 0)
    assert (status_of(sandbox, reference)["status"], status_of(sandbox, reference)["reason"]) == (status, reason)


def test_failed_payment_may_still_be_approved(sandbox: RunningSandbox) -> None:
    reference = collect(sandbox).json()["reference"]
    sandbox.decline(reference)
    sandbox.approve(reference)
    body = status_of(sandbox, reference)
    assert (body["status"], body["reason"]) == ("SUCCESSFUL", None)


@pytest.mark.parametrize("choice", ["approve", "decline", "expire"])
def test_paid_payment_refuses_another_choice(sandbox: RunningSandbox, choice: str) -> None:
    reference = collect(sandbox).json()["reference"]
    sandbox.approve(reference)
    answer = sandbox.post(f"/control/payments/{reference}/{choice}")
    assert (answer.status_code, answer.json()) == (409, {"error": "the payment is already SUCCESSFUL"})
    assert sandbox.charges() == 1


@pytest.mark.parametrize("path", ["nobody/approve", "nobody/resend", "nobody"])
def test_unknown_payment_is_not_found(sandbox: RunningSandbox, path: str) -> None:
    ask = sandbox.get if path == "nobody" else sandbox.post
    assert ask(f"/control/payments/{path}").status_code == 404


def test_unknown_choice_is_not_found(sandbox: RunningSandbox) -> None:
    reference = collect(sandbox).json()["reference"]
    assert sandbox.post(f"/control/payments/{reference}/refund").status_code == 404


def test_get_never_makes_a_choice(sandbox: RunningSandbox) -> None:
    reference = collect(sandbox).json()["reference"]
    assert sandbox.get(f"/control/payments/{reference}/approve").status_code == 405
    assert status_of(sandbox, reference)["status"] == "PENDING"


def test_reset_forgets_payments_and_balances(sandbox: RunningSandbox) -> None:
    sandbox.approve(collect(sandbox).json()["reference"])
    collect(sandbox, "05")
    sandbox.reset()
    assert sandbox.payments() == []
