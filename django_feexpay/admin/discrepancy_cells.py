"""The cells of differences: on their list, on the page of a comparison and on the page of a payment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_feexpay.admin import display
from django_feexpay.admin.display import Tone
from django_feexpay.lifecycle import Status
from django_feexpay.models import Comparison, Discrepancy

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

_TONES: Mapping[str, Tone] = {
    Comparison.State.RUNNING: Tone.WAITING,
    Comparison.State.COMPLETE: Tone.GOOD,
    Comparison.State.INCOMPLETE: Tone.DOUBT,
    Comparison.State.STOPPED: Tone.QUIET,
    Discrepancy.State.OPEN: Tone.BAD,
    Discrepancy.State.SETTLED: Tone.GOOD,
    Discrepancy.State.GONE: Tone.QUIET,
    Discrepancy.State.CLOSED: Tone.QUIET,
}


#: The badges of a difference that ended, in one word: lists have a column for what FeexPay answered.
_WORDS: Mapping[str, str | StrPromise] = {
    Discrepancy.State.SETTLED: gettext_lazy("settled"),
    Discrepancy.State.GONE: gettext_lazy("gone"),
    Discrepancy.State.CLOSED: gettext_lazy("closed"),
}


def state(row: Any) -> SafeString:
    """The badge of a difference's or a comparison's state."""
    return display.pill(_WORDS.get(row.state) or row.get_state_display(), _TONES[row.state])


def ours(row: Discrepancy) -> SafeString | str:
    if row.our_amount is None:
        return display.EMPTY
    return format_html("{} {}", display.status_badge(row.our_status), display.amount(row.our_amount, row.currency))


def theirs(row: Discrepancy) -> SafeString | str:
    """FeexPay's status in the badge of our status of the same name; a status we do not know in the badge for doubt."""
    if not row.their_word:
        return display.EMPTY
    known = row.their_word in set(Status)
    status = display.status_badge(row.their_word) if known else display.pill(_("unknown status"), Tone.DOUBT)
    if row.their_amount is None:
        return status
    # A payment that only FeexPay has comes without a currency.
    amount = display.amount(row.their_amount, row.currency) if row.currency else display.line(str(row.their_amount))
    return format_html("{} {}", status, amount)
