"""What the host project may listen to.

Every signal is sent with `payment` (django_feexpay.models.Payment, read afresh) and `event_id` (UUID), from the
background worker, after the money was committed, **at least once**: a receiver that already saw `event_id` must do
nothing. A receiver that raises is called again later, with growing gaps, until it returns; the others are not. One that
has not returned after ten seconds is left, and called again later: give its network calls a timeout.
"""

from __future__ import annotations

from django.dispatch import Signal

payment_succeeded = Signal()
"""The payment is credited. When: once for **every** credit.
Not when: a second attempt of a credited payment succeeds."""

payment_failed = Signal()
"""The payer was told `failed`: refused, declined or expired. When: each time a payment goes from pending to failed.
Not when: a later word only confirms it. A late success may still follow."""

payment_succeeded_late = Signal()
"""The payment is credited although its failure had been announced. When: in addition to `payment_succeeded`."""

payment_needs_review = Signal()
"""The facts disagree (amount, reference, an answer that never came): staff must look. The payer is told `pending`."""

duplicate_charge_found = Signal()
"""The payer was charged twice for one thing. When: once for each second charge. A second attempt of a credited payment,
and a second charge that FeexPay made for one attempt, are not credited: refund them. A second payment for a
merchant_reference of the same user that is paid already is credited, with a `payment_succeeded` of its own: it is yours
to refund or to keep as a balance."""

payment_refunded = Signal()
"""You gave the payer's money back. Reserved: this version records no refunds, so it is never sent. Money that FeexPay
takes back, refunds made in its dashboard included, is `payment_reversed`."""

payment_reversed = Signal()
"""FeexPay took back money that was credited. When: once for each credit, after FeexPay confirmed it when asked.
The credit stays and the payment stays `successful`: what was sold is yours to take back or to leave.
Not when: a webhook says so and FeexPay's status does not."""
