"""A line on a payment's page: whether its history is as it was written. For staff who may see the audit list."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.utils.translation import gettext as _

from django_feexpay.admin import display
from django_feexpay.admin.display import Tone
from django_feexpay.payments.audit import verification
from django_feexpay.payments.audit.verification import NOT_CHAINED

PERMISSION = "feexpay.view_staffaction"


def of_payment(payment_id: UUID, request: HttpRequest) -> dict[str, Any] | None:
    """The badge, what it means, and the rows that are not as they were written. None: not for this person."""
    if not request.user.has_perm(PERMISSION):
        return None
    try:
        breaks = verification.breaks_of_one(payment_id)
    except ImproperlyConfigured:
        return {
            "badge": display.pill(_("Not checked"), Tone.QUIET),
            "text": _("The server has no key to check this history."),
        }
    if not breaks:
        return {
            "badge": display.pill(_("History intact"), Tone.GOOD),
            "text": _("No event and no credit was changed, deleted or added."),
        }
    if [found.problem for found in breaks] == [NOT_CHAINED]:
        return {
            "badge": display.pill(_("Not chained"), Tone.QUIET),
            "text": _("An earlier release wrote this history. The command feexpay_chain_history was not run yet."),
        }
    return {
        "badge": display.pill(_("History changed"), Tone.BAD),
        "text": _(
            "This history is not as it was written. Do not rely on it, take no decision about the money, and tell the "
            "person who is responsible for the server."
        ),
        "rows": ", ".join(dict.fromkeys(_row_text(found.row) for found in breaks if found.row)),
        "command": f"feexpay_verify_audit --payment {payment_id}",
    }


def _row_text(row: str) -> str:
    """`event 12` or `credit` in the language of the reader."""
    kind, _space, number = row.partition(" ")
    text = {"event": _("event"), "credit": _("credit")}.get(kind, kind)
    return f"{text} {number}".rstrip()
