"""What a host project's Python code calls. The same functions the API and the admin use, with a host's arguments.

Call them outside a transaction: what is sent to a payer's phone cannot be rolled back, so calling inside
`transaction.atomic` raises RuntimeError. Where autocommit is off nothing would ever be committed: they raise
NotAllowedError `not_configured`.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django_feexpay.models import Payment
from django_feexpay.payments import idempotency, initiate, retry, reviews
from django_feexpay.payments import otp as otp_step
from django_feexpay.payments.durability import refuse_outer_atomic
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconcile import reconcile
from django_feexpay.payments.terms import PERSONAL, PaymentRequest
from django_feexpay.private import PrivateText


def start_payment(
    *, user: Any, provider: str, amount: int, phone: str = "", idempotency_key: str = "", **order: Any
) -> Payment:
    """Ask a payer for money; returns the payment as it stands when the gateway has answered, or has not.

    `amount`: integer in the minor unit of the currency (XOF and XAF have none). `order`: further fields of
    `payments.terms.PaymentRequest`, such as merchant_reference, description, metadata, return_url.
    With `idempotency_key`, the same call again returns the same payment.
    Raises: payments.errors.NotAllowedError; then nothing was written and nobody was asked.
    """
    order = _masked({"provider": provider, "amount": amount, "phone": phone, **order})
    phone = ""  # from here on only the masked one is in a variable
    wish = PaymentRequest(user=user, **order)
    key = _key(user, idempotency_key, order)
    try:
        payment = initiate.start(wish, source=Source.HOST, key=key)
    except idempotency.AlreadyAnswered as answered:
        return _read(answered.payment.pk)
    if key is not None:
        idempotency.remember(key, 201, {"id": str(payment.pk)})  # a host is given the payment itself, not a body
    return payment


def retry_payment(payment_id: UUID, *, phone: str = "", otp: str = "") -> Payment:
    """Start a new attempt of a payment whose earlier ones surely failed, after asking FeexPay about each.

    Raises: payments.errors.NotAllowedError `payment_open`, `not_retryable`, `provider_unavailable`.
    """
    phone, otp = PrivateText(phone), PrivateText(otp)
    refuse_outer_atomic()
    return retry.retry(payment_id, source=Source.HOST, phone=phone, otp=otp)


def submit_otp(payment_id: UUID, otp: str) -> Payment:
    """Send the code that a payer was sent after the start; returns the payment as it stands afterwards.

    Raises: payments.errors.NotAllowedError `otp_not_expected`, `otp_rejected`, `gateway_unavailable` or
    `validation_error`.
    """
    otp = PrivateText(otp)
    refuse_outer_atomic()
    return otp_step.submit(payment_id, otp, source=Source.HOST)


def reconcile_payment(payment_id: UUID, *, total_seconds: float | None = None) -> Payment:
    """Ask FeexPay about every attempt of a payment now, and settle it by the answers; returns it as it then stands.

    `total_seconds` bounds each question, for a page that a payer comes back to.
    """
    refuse_outer_atomic()
    for attempt_id in _read(payment_id).attempts.values_list("pk", flat=True):
        reconcile(attempt_id, source=Source.HOST, total_seconds=total_seconds)
    return _read(payment_id)


def close_review(
    payment: Payment | UUID | str, *, decision: str, reason: str, actor: Any, approve: bool = False
) -> Payment:
    """Close a payment under review by a person's decision, after asking FeexPay; returns it as it then stands.

    `decision`: `credit_taken` (the amount FeexPay says it took), `credit_price` (what was asked for) or `not_paid`.
    `actor`: the user who decides, or the user name. Where two persons are needed (`REVIEW_TWO_PERSON_ABOVE`) the
    payment returned is still under review, and another actor calls this again with `approve`.
    Raises: payments.errors.NotAllowedError; then nothing was decided. `decided_by_gateway`: FeexPay's answer settled
    the payment, whatever the person wanted. Payment.DoesNotExist.
    """
    refuse_outer_atomic()
    payment_id = payment.pk if isinstance(payment, Payment) else _read(payment).pk
    closing = reviews.close(
        payment_id,
        decision,
        reason=reason,
        actor=reviews.actor_of(actor),
        source=Source.HOST,
        approve=approve,
    )
    return closing.payment


def _masked(order: dict[str, Any]) -> dict[str, Any]:
    """The same order with what is personal in it masked."""
    return order | {name: PrivateText(order[name]) for name in PERSONAL if type(order.get(name)) is str}


def _key(user: Any, value: str, body: dict[str, Any]) -> idempotency.Key | None:
    if not value:
        return None
    if user is None:
        raise ValueError("an idempotency key is a user's: give a user, or no key")
    return idempotency.Key(user=user, value=value, fingerprint=idempotency.fingerprint("start_payment", body))


def _read(payment_id: UUID | str) -> Payment:
    return Payment.objects.for_reading().get(pk=payment_id)
