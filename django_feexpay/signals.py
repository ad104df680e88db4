"""The signals that a host project can connect receivers to.

The background worker sends every signal after the commit, with `payment` (django_feexpay.models.Payment, read again)
and `event_id` (UUID), **at least once**: a receiver must do nothing for an `event_id` that it has handled. A receiver
that raises is called again, with growing waits, until it returns; the other receivers are not called again. A receiver
that has not returned after ten seconds is abandoned and called again later: set a timeout on its network calls.
"""

from __future__ import annotations

from django.dispatch import Signal

payment_succeeded = Signal()
"""The payment is credited. Sent once for **every** credit. A credited payment that succeeds again is not credited
again."""

payment_failed = Signal()
"""The payment is `failed`: refused, declined or expired. Sent each time a payment goes from pending to failed. A late
success may still follow."""

payment_succeeded_late = Signal()
"""The payment is credited after `payment_failed` was sent. Sent in addition to `payment_succeeded`."""

payment_needs_review = Signal()
"""FeexPay's data and ours differ (amount, reference), or FeexPay gave no answer: staff must decide. The payer sees
`pending`."""

duplicate_charge_found = Signal()
"""The payer was charged twice for one order. Sent once for each second charge. A second attempt of a credited payment,
and a second charge by FeexPay for one attempt, are not credited: refund them. A second payment for a
merchant_reference that the same user has paid already is credited, with its own `payment_succeeded`: refund it, or
add it to the user's balance."""

payment_refunded = Signal()
"""Staff recorded a refund: the payer got money back from you. Sent once for each recorded refund, never for one that
waits for a second person. `payment.refunds.get(event_id=event_id)` is the refund: its amount may be a part, and it may
be of a second charge that was never credited (`credited` is False). The payment stays `successful`. Money that FeexPay
takes back by itself is `payment_reversed`."""

payout_undone = Signal()
"""FeexPay paid a refund out and undid the payout later: the payer does not have the money. Sent once for each payout,
after a poll confirmed it; a webhook alone does not. The refund stays recorded, and staff find an incident. Nothing is
paid out again by itself."""

payment_reversed = Signal()
"""FeexPay took back money that was credited. Sent once for each credit, after a poll confirmed it; a webhook alone does
not. The credit stays and the payment stays `successful`: decide yourself whether to take back what was sold."""
