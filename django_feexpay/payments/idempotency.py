"""Idempotency keys: a repeated request gets the first request's answer and does nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from django_feexpay import conf, crypto
from django_feexpay.conf import feexpay
from django_feexpay.models import IdempotencyRecord, Payment
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.private import PrivateText

#: After this time the first request counts as failed, and the payment's row gives the answer. Longer than any call.
FIRST_REQUEST_TIMEOUT = timedelta(seconds=90)
_RETRY_AFTER_SECONDS = 2


@dataclass(frozen=True, kw_only=True)
class Key:
    """A client's key for one intent, with the fingerprint of the request.

    `earlier_fingerprints`: those of the same request, made with the older keys of HASH_KEY.
    """

    user: Any
    value: str
    fingerprint: str
    earlier_fingerprints: tuple[str, ...] = ()


@dataclass(eq=False)
class AlreadyAnswered(Exception):  # noqa: N818 -- not an error: it holds the answer
    """The key was used before. `status` and `body` are None if the first request died before it answered."""

    payment_id: UUID
    status: int | None
    body: dict[str, Any] | None


def key_of(user: Any, value: str, route: str, body: Mapping[str, Any]) -> Key:
    """The key `value` of a user for a request with this body to that route.

    The fingerprint does not depend on the order of the body's names. It is a keyed hash, because a plain hash of a body
    with a phone number can be reversed by trying all numbers.
    """
    request = PrivateText(json.dumps([route, body], sort_keys=True, separators=(",", ":")))
    newest, *earlier = crypto.keyed_hashes(request, feexpay.hash_keys)
    return Key(user=user, value=value, fingerprint=newest, earlier_fingerprints=tuple(earlier))


def refuse_or_replay(key: Key | None) -> None:
    """Return quietly for a new key, or without one.

    Raises: AlreadyAnswered; NotAllowedError `idempotency_mismatch` (same key, other request) or
    `idempotency_conflict` (the first request is still running).
    """
    if key is None:
        return
    try:
        record = IdempotencyRecord.objects.get(user=key.user, key=key.value)
    except IdempotencyRecord.DoesNotExist:
        return
    if not _is_same_request(record, key):
        raise NotAllowedError("idempotency_mismatch", _("This key was used for another request."))
    if record.answer_status is None and -conf.CLOCK_SLACK < conf.now() - record.created_at < FIRST_REQUEST_TIMEOUT:
        message = _("The first request with this key is still running.")
        raise NotAllowedError("idempotency_conflict", message, retry_after_seconds=_RETRY_AFTER_SECONDS)
    raise AlreadyAnswered(record.payment_id, record.answer_status, record.answer_body)


def _is_same_request(record: IdempotencyRecord, key: Key) -> bool:
    """Whether the key was used for this request.

    True if the hash key was removed since, so that they cannot be compared: the first answer is repeated, and the payer
    is not asked twice.
    """
    if record.fingerprint in (key.fingerprint, *key.earlier_fingerprints):
        return True
    return crypto.is_of_unknown_key(record.fingerprint, feexpay.hash_keys)


def record(key: Key | None, payment: Payment, at: datetime) -> None:
    """Write the key, if there is one, with its payment, in the caller's transaction. Safe to repeat: no (unique)."""
    if key is not None:
        IdempotencyRecord.objects.create(
            user=key.user, key=key.value, fingerprint=key.fingerprint, payment=payment, created_at=at
        )


def forget(key: Key | None) -> None:
    """Free the key of a request that was refused, so that the client may use it again.

    Changes: IdempotencyRecord, unless it holds an answer. Safe to repeat: yes.
    """
    if key is not None:
        IdempotencyRecord.objects.filter(user=key.user, key=key.value, answer_status=None).delete()


def remember(key: Key, status: int, body: Mapping[str, Any]) -> None:
    """Store the answer for repeated requests.

    Changes: IdempotencyRecord. Safe to repeat: yes, the first answer stays.
    """
    unanswered = IdempotencyRecord.objects.filter(user=key.user, key=key.value, answer_status=None)
    unanswered.update(answer_status=status, answer_body=dict(body))
