"""Add a row to its chain: its hash is an HMAC over the row and the hash of the row before it.

The events of a payment form a chain, so payments never wait for each other: each move holds its payment's lock anyway,
and the end of the chain is two columns of the payment, which the move reads and writes anyway. A credit's hash covers
the hash of its event. Staff actions form one chain per actor.

What a hash covers cannot change in a release, because every stored hash would be wrong. A new column needs a new
version number in its message.
"""

from __future__ import annotations

import hmac
import json
from datetime import UTC, datetime
from typing import Any

from django_feexpay.models import Credit, Payment, PaymentEvent, StaffAction, StaffChain
from django_feexpay.payments.audit.keys import AuditKey, signing_key

#: Members are sorted, because PostgreSQL returns those of a jsonb in an order of its own.
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def add_event(payment: Payment, event: PaymentEvent, *, chained_later_at: datetime | None = None) -> None:
    """Put an event at the end of its payment's chain. The caller holds the payment's lock and saves both.

    Changes only the attributes of both. Raises: ImproperlyConfigured without a key.
    """
    key = signing_key()
    event.position, event.key_id, event.chained_later_at = payment.event_count + 1, key.id, chained_later_at
    event.hash = event_hash(key, event, payment.chain_hash, payment)
    payment.event_count, payment.chain_hash = event.position, event.hash


def add_action(chain: StaffChain, action: StaffAction, *, chained_later_at: datetime | None = None) -> None:
    """Put a staff action at the end of a chain. The caller holds the chain's lock and saves both."""
    key = signing_key()
    action.position, action.key_id, action.chained_later_at = chain.action_count + 1, key.id, chained_later_at
    action.hash = action_hash(key, action, chain.chain_hash)
    chain.action_count, chain.chain_hash = action.position, action.hash


def lock_actions(actor: str) -> StaffChain:
    """Lock the end of an actor's chain, which is made at the first action. Must run inside a transaction."""
    locked = StaffChain.objects.select_for_update().filter(pk=actor).first()
    if locked is None:
        StaffChain.objects.bulk_create([StaffChain(actor=actor)], ignore_conflicts=True)
        locked = StaffChain.objects.select_for_update().get(pk=actor)
    return locked


def event_hash(key: AuditKey, event: Any, previous: str, payment: Any) -> str:
    """The hash of an event. `event` and `payment`: the models, or rows with the same names.

    The first event also covers what the payer was asked for.
    """
    is_first = event.position == 1
    price = (payment.amount, payment.currency, payment.charged_amount, payment.charged_currency) if is_first else ()
    return _hash(
        key,
        "event 1",
        previous,
        event.position,
        str(event.payment_id),
        str(event.attempt_id),
        *(event.from_status, event.to_status, event.because, event.source, event.actor, event.note, event.request_id),
        _plain(event.evidence),
        *(_time(event.created_at), _time(event.chained_later_at)),
        price,
    )


def credit_hash(key: AuditKey, credit: Any, hash_of_event: str) -> str:
    """The hash of a credit. `credit`: the model, or a row with the same names."""
    about = str(credit.payment_id), str(credit.attempt_id), credit.amount, credit.currency, _time(credit.created_at)
    return _hash(key, "credit 1", hash_of_event, *about)


def bind(credit: Credit, event: PaymentEvent) -> None:
    """Bind an unsaved credit to its event, which has its hash. Changes only the attributes of the credit."""
    credit.hash = credit_hash(signing_key(), credit, event.hash)


def action_hash(key: AuditKey, action: Any, previous: str) -> str:
    """The hash of a staff action. `action`: the model, or a row with the same names."""
    return _hash(
        key,
        "staff action 1",
        previous,
        action.position,
        *(action.action, action.result, action.actor, action.actor_name, action.source),
        str(action.payment_id or ""),
        *(action.target, action.reason, action.request_id),
        _plain(action.detail),
        *(_time(action.created_at), _time(action.chained_later_at)),
    )


def _hash(key: AuditKey, *message: Any) -> str:
    return hmac.digest(key.chains, _encode((key.id, *message)).encode(), "sha256").hex()


def _time(at: datetime | None) -> str:
    return "" if at is None else at.astimezone(UTC).isoformat(timespec="microseconds")


def _plain(value: Any) -> Any:
    """A JSON value as PostgreSQL returns it: jsonb keeps 1e16 as the integer 10000000000000000."""
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(member) for member in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
