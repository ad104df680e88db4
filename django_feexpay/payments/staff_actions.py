"""Record what staff did, with the name they had then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import DEFAULT_DB_ALIAS
from django.utils.translation import gettext as _

from django_feexpay import conf, isolation, request_ids
from django_feexpay.models import PaymentEvent, StaffAction
from django_feexpay.payments.audit import chain
from django_feexpay.payments.errors import invalid

Source = PaymentEvent.Source
Action = StaffAction.Action
Result = StaffAction.Result

LONGEST_REASON = 500


def checked_reason(text: str) -> str:
    """The reason that a person gave, without white space around it. Raises: NotAllowedError `validation_error`."""
    text = text.strip()
    if not text:
        raise invalid("reason", "required", _("A reason is needed: it stays in the payment's history."))
    if len(text) > LONGEST_REASON or "\0" in text:
        raise invalid("reason", "invalid", _("At most %(most)d characters.") % {"most": LONGEST_REASON})
    return text


def record(
    action: StaffAction.Action,
    *,
    actor: str,
    source: Source,
    target: Any = None,
    result: StaffAction.Result = Result.DONE,
    reason: str = "",
    detail: Mapping[str, Any] | None = None,
) -> StaffAction:
    """Write one row of the audit list.

    `actor`: the primary key of a user. `target`: the row that was acted on, None for a list. `detail`: facts without
    personal data, for example the filter and the count of an export.
    Call it in the transaction of the change if there is one, otherwise after the change. It holds the lock of the
    actor's chain until that transaction ends, so lock the payment first. Other actors do not wait.
    Changes: StaffAction, StaffChain. Safe to repeat: no, each call adds a row.
    """
    row = StaffAction(
        action=action,
        result=result,
        actor=actor,
        actor_name=_name_of(actor),
        source=source,
        payment_id=_payment_of(target),
        target="" if target is None else f"{target._meta.model_name}:{target.pk}",
        reason=reason,
        detail=dict(detail or {}),
        request_id=request_ids.current(),
    )
    with isolation.atomic_read_committed(DEFAULT_DB_ALIAS):
        end = chain.lock_actions(row.actor)
        row.created_at = conf.now()
        chain.add_action(end, row)
        row.save(force_insert=True)
        end.save(update_fields=["action_count", "chain_hash"])
    return row


def _payment_of(target: Any) -> Any:
    """The primary key of the payment that a row is, or belongs to."""
    if target is not None and target._meta.model_name == "payment":
        return target.pk
    return getattr(target, "payment_id", None) or getattr(getattr(target, "attempt", None), "payment_id", None)


def _name_of(actor: str) -> str:
    users = get_user_model()
    try:
        user = users._default_manager.filter(pk=users._meta.pk.to_python(actor)).first()
    except ValidationError:
        user = None
    return actor if user is None else user.get_username()
