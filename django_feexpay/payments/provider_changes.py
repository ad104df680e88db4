"""Change a provider, with a reason: its limits, fee, flow, texts, and whether payers may choose it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.models import Provider
from django_feexpay.payments import staff_actions
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Source

#: In English and in French, because payers read either.
MAINTENANCE = (
    "Under maintenance, back soon. Please choose another way to pay.",
    "En maintenance, de retour bientôt. Merci de choisir un autre moyen de paiement.",
)


def why_not_enabled(code: str) -> str:
    """Why this provider cannot be switched on, in the reader's language; "" if staff can."""
    spec = CATALOGUE.get(code)
    if spec is None:
        return _("This version's catalogue does not have this provider.")
    if not spec.unavailable_reason:
        return ""
    text = spec.unavailable_text_fr if (get_language() or "").startswith("fr") else spec.unavailable_text_en
    return text or spec.unavailable_reason


@transaction.atomic
def change(
    code: str, values: Mapping[str, Any], *, before: Mapping[str, Any], reason: str, actor: str, source: Source
) -> None:
    """Set these fields of a provider, which still hold the values of `before`.

    `values` were checked against the catalogue. `actor`: the primary key of a user.
    Changes: Provider, StaffAction with the old and the new value of every field.
    Raises: NotAllowedError `validation_error` on `reason`; `provider_changed` if another change came first.
    Safe to repeat: yes, a second call is refused with `provider_changed`.
    """
    reason = staff_actions.checked_reason(reason)
    provider = _locked(code)
    if any(getattr(provider, name) != value for name, value in before.items()):
        message = _("Another member of staff changed this provider in the meantime. Look again.")
        raise NotAllowedError("provider_changed", message)
    _write(provider, values, {}, reason, actor, source)


@transaction.atomic
def close_for_maintenance(code: str, *, reason: str, actor: str, source: Source) -> None:
    """Switch a provider off, with a text for payers. Payments in progress continue.

    Changes: Provider, StaffAction. Raises: NotAllowedError `validation_error` on `reason`; `switched_off_already`.
    Safe to repeat: yes, a second call is refused and keeps the text that payers read.
    """
    reason = staff_actions.checked_reason(reason)
    provider = _locked(code)
    if not provider.enabled:
        raise NotAllowedError("switched_off_already", _("It was switched off already."))
    english, french = MAINTENANCE
    values = {"enabled": False, "disabled_reason": english, "disabled_reason_fr": french}
    _write(provider, values, {"step": "closed_for_maintenance"}, reason, actor, source)


@transaction.atomic
def open_again(code: str, *, reason: str, actor: str, source: Source) -> None:
    """Switch a provider on and erase the text for payers, unless the catalogue marks it unavailable.

    Changes: Provider, StaffAction.
    Raises: NotAllowedError `validation_error` on `reason`; `switched_on_already`; `provider_unavailable`.
    Safe to repeat: yes, a second call is refused.
    """
    reason = staff_actions.checked_reason(reason)
    provider = _locked(code)
    if provider.enabled:
        raise NotAllowedError("switched_on_already", _("It was switched on already."))
    if objection := why_not_enabled(code):
        raise NotAllowedError("provider_unavailable", objection)
    values = {"enabled": True, "disabled_reason": "", "disabled_reason_fr": ""}
    _write(provider, values, {"step": "opened_again"}, reason, actor, source)


def _locked(code: str) -> Provider:
    return Provider.objects.select_for_update().get(pk=code)


def _write(
    provider: Provider,
    values: Mapping[str, Any],
    detail: Mapping[str, Any],
    reason: str,
    actor: str,
    source: Source,
) -> None:
    """Save the values that differ, and the audit row with each before and after."""
    changed = {name: value for name, value in values.items() if getattr(provider, name) != value}
    before = {name: _plain(getattr(provider, name)) for name in changed}
    for name, value in changed.items():
        setattr(provider, name, value)
    provider.save()
    staff_actions.record(
        staff_actions.Action.SWITCH_PROVIDER,
        actor=actor,
        source=source,
        target=provider,
        reason=reason,
        detail={**detail, "before": before, "after": {name: _plain(value) for name, value in changed.items()}},
    )


def _plain(value: Any) -> Any:
    """The value as JSON stores it."""
    return f"{value:.2f}" if isinstance(value, Decimal) else value
