"""Purges, and erasures of persons: what was erased, when, and what still waits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from django.contrib import admin
from django.utils.formats import number_format
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from django_feexpay.admin import display
from django_feexpay.admin.display import Tone
from django_feexpay.admin.people import name_of
from django_feexpay.admin.readonly import LedgerAdmin
from django_feexpay.models import Erasure, Purge

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

#: By the name of the step; `privacy.purge.NAMES` has them all.
KINDS: Mapping[str, StrPromise] = {
    "numbers": _("numbers of payments that ended"),
    "payout_numbers": _("numbers of payouts that ended"),
    "payer_details": _("names, e-mail addresses and codes"),
    "delivery_bodies": _("bodies of webhooks"),
    "deliveries": _("webhooks"),
    "idempotency": _("idempotency keys"),
    "outbox": _("delivered signals"),
    "discrepancies": _("differences that ended"),
    "comparisons": _("comparisons with FeexPay"),
    "heartbeats": _("heartbeats of stopped processes"),
    "counters": _("counters of limits"),
    "prompt_lifts": _("lifted prompt limits"),
    "purges": _("earlier purges"),
    "report_files": _("exported files"),
    "payers": _("payers of old payments"),
    "erasures": _("payments of persons to erase"),
}
_TONES = {
    Purge.State.RUNNING: Tone.WAITING,
    Purge.State.COMPLETE: Tone.GOOD,
    Purge.State.STOPPED: Tone.DOUBT,
}


@admin.register(Purge)
class PurgeAdmin(LedgerAdmin):
    """Purges, newest first."""

    list_display = ("started_at", "state_shown", "rows_shown", "source", "night", "finished_at")
    ordering = ("-id",)
    fields = ("started_at", "finished_at", "state_shown", "source", "night", "counts_shown", "outbox_before")

    @admin.display(description=_("state"))
    def state_shown(self, purge: Purge) -> SafeString:
        return display.pill(purge.get_state_display(), _TONES[Purge.State(purge.state)])

    @admin.display(description=_("rows erased or deleted"))
    def rows_shown(self, purge: Purge) -> str:
        return number_format(purge.total, force_grouping=True)

    @admin.display(description=_("rows erased or deleted, by kind"))
    def counts_shown(self, purge: Purge) -> SafeString | str:
        rows = (
            (number_format(count, force_grouping=True), KINDS.get(kind, kind))
            for kind, count in purge.counts.items()
            if count
        )
        return format_html_join("", "<div>{} {}</div>", rows) or display.EMPTY


@admin.register(Erasure)
class ErasureAdmin(LedgerAdmin):
    """Erasures of persons, newest first. `feexpay_erase_subject` asks for one."""

    list_display = ("asked_at", "person", "state_shown", "payment_count", "waiting_count", "actor_shown", "reason")
    ordering = ("-id",)
    fields = (
        *("asked_at", "person", "state_shown", "payment_count", "waiting_count", "done_at"),
        *("actor_shown", "reason"),
    )

    @admin.display(description=_("person"))
    def person(self, erasure: Erasure) -> str:
        """The user, by name while the account exists; never the number."""
        if not erasure.user_key:
            return _t("the owner of a phone number")
        return name_of(erasure.user_key)

    @admin.display(description=_("state"))
    def state_shown(self, erasure: Erasure) -> SafeString:
        tone = Tone.GOOD if erasure.state == Erasure.State.DONE else Tone.WAITING
        return display.pill(erasure.get_state_display(), tone)

    @admin.display(description=_("asked by"))
    def actor_shown(self, erasure: Erasure) -> str:
        return name_of(erasure.actor)
