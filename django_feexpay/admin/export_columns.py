"""The columns of the exported lists: words in the user's language, amounts in units of their currency."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.db.models import TextChoices
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_feexpay.admin import display, payout_pages
from django_feexpay.admin.list_exports import Column
from django_feexpay.lifecycle import Status
from django_feexpay.models import Discrepancy, Incident, Payout, Refund
from django_feexpay.table_files import Cell, in_units


def status_text(status: str) -> str:
    """The text of a status's badge."""
    return str(display.BADGES[Status(status)].text) if status else ""


def feexpay_status_text(status: str) -> str:
    """FeexPay's status by the word for ours of the same name, else as FeexPay wrote it."""
    return status_text(status) if status in set(Status) else status


def amount(value: int | None, currency: str) -> Cell:
    return None if value is None else in_units(value, currency)


def number(masked: str | None) -> str:
    """A masked number without its plus, which a spreadsheet would take for a formula."""
    return (masked or "").lstrip("+")


def yes_or_no(value: bool) -> str:
    return gettext("yes") if value else gettext("no")


def label_of(choices: type[TextChoices]) -> Callable[[str], str]:
    """The label of a choice. A value that is no longer a choice stays as it is."""

    def label(value: str) -> str:
        return str(choices(value).label) if value in choices.values else value

    return label


def _fee(status: str, fee: int, currency: str) -> Cell:
    """FeexPay's fee, only where money was taken."""
    return amount(fee, currency) if status == Status.SUCCESSFUL else None


def _net(status: str, charged: int, fee: int, currency: str) -> Cell:
    return amount(charged - fee, currency) if status == Status.SUCCESSFUL else None


def _rate(rate: Decimal | None) -> Cell:
    return None if rate is None else rate.normalize()


def _incident_state(closed_at: Any) -> str:
    return gettext("Open") if closed_at is None else gettext("Closed")


PAYMENTS = (
    Column(_("id"), ("id",)),
    Column(_("created at"), ("created_at",)),
    Column(_("settled at"), ("settled_at",)),
    Column(_("status"), ("status",), status_text),
    Column(_("code"), ("provider_id",)),
    Column(_("provider"), ("provider__name",)),
    Column(_("amount"), ("amount", "currency"), amount),
    Column(_("currency"), ("currency",)),
    Column(_("charged amount"), ("charged_amount", "charged_currency"), amount),
    Column(_("charged currency"), ("charged_currency",)),
    Column(_("exchange rate"), ("exchange_rate",), _rate),
    Column(_("fee"), ("status", "fee", "charged_currency"), _fee),
    Column(_("net"), ("status", "charged_amount", "fee", "charged_currency"), _net),
    Column(_("refunded"), ("refunded", "charged_currency"), amount),
    Column(_("phone"), ("latest_attempt__masked_msisdn",), number),
    Column(_("merchant reference"), ("merchant_reference",)),
    Column(_("description"), ("description",)),
    Column(_("FeexPay reference"), ("latest_attempt__gateway_reference",)),
    Column(_("attempts"), ("latest_attempt__ordinal",)),
)

ATTEMPTS = (
    Column(_("id"), ("id",)),
    Column(_("payment"), ("payment_id",)),
    Column(_("ordinal"), ("ordinal",)),
    Column(_("status"), ("status",), status_text),
    Column(_("code"), ("payment__provider_id",)),
    Column(_("amount asked for"), ("amount", "payment__charged_currency"), amount),
    Column(_("currency"), ("payment__charged_currency",)),
    Column(_("phone"), ("masked_msisdn",), number),
    Column(_("FeexPay reference"), ("gateway_reference",)),
    Column(_("reason"), ("reason_code",)),
    Column(_("created at"), ("created_at",)),
    Column(_("sent at"), ("sent_at",)),
    Column(_("settled at"), ("settled_at",)),
)

CREDITS = (
    Column(_("payment"), ("payment_id",)),
    Column(_("attempt"), ("attempt_id",)),
    Column(_("credited at"), ("created_at",)),
    Column(_("code"), ("payment__provider_id",)),
    Column(_("amount"), ("amount", "currency"), amount),
    Column(_("currency"), ("currency",)),
    Column(_("fee"), ("payment__fee", "currency"), amount),
    Column(_("net"), ("amount", "payment__fee", "currency"), lambda taken, fee, code: amount(taken - fee, code)),
    Column(_("merchant reference"), ("payment__merchant_reference",)),
    Column(_("FeexPay reference"), ("attempt__gateway_reference",)),
)

INCIDENTS = (
    Column(_("kind"), ("kind",), label_of(Incident.Kind)),
    Column(_("state"), ("closed_at",), _incident_state),
    Column(_("payment"), ("payment_id",)),
    Column(_("attempt"), ("attempt_id",)),
    Column(_("code"), ("payment__provider_id",)),
    Column(_("amount"), ("amount", "currency"), amount),
    Column(_("currency"), ("currency",)),
    Column(_("FeexPay reference"), ("gateway_reference",)),
    Column(_("FeexPay reference of the credited charge"), ("credited_reference",)),
    Column(_("opened at"), ("opened_at",)),
    Column(_("closed at"), ("closed_at",)),
    Column(_("how it ended"), ("resolution",), label_of(Incident.Resolution)),
    Column(_("note"), ("note",)),
)

REFUNDS = (
    Column(_("state"), ("state",), label_of(Refund.State)),
    Column(_("payment"), ("payment_id",)),
    Column(_("attempt"), ("attempt_id",)),
    Column(_("code"), ("payment__provider_id",)),
    Column(_("amount"), ("amount", "currency"), amount),
    Column(_("currency"), ("currency",)),
    Column(_("paid back by"), ("way",), label_of(Refund.Way)),
    Column(_("FeexPay reference of the charge"), ("gateway_reference",)),
    Column(_("reference of the payout"), ("outside_reference",)),
    Column(_("reason"), ("reason",)),
    Column(_("recorded or proposed at"), ("proposed_at",)),
    Column(_("counts since"), ("recorded_at",)),
)

PAYOUTS = (
    Column(_("state"), ("state",), label_of(Payout.State)),
    Column(_("payout"), ("id",)),
    Column(_("payment"), ("payment_id",)),
    Column(_("code"), ("provider_code",)),
    Column(_("amount"), ("amount", "currency"), amount),
    Column(_("currency"), ("currency",)),
    Column(_("phone"), ("masked_msisdn",), number),
    Column(_("route at FeexPay"), ("route",)),
    Column(_("FeexPay reference"), ("gateway_reference",)),
    Column(_("cause"), ("reason_code",), payout_pages.cause_text),
    Column(_("approved at"), ("created_at",)),
    Column(_("sent at"), ("sent_at",)),
    Column(_("ended at"), ("ended_at",)),
    Column(_("what FeexPay's dashboard showed"), ("evidence",)),
)

DISCREPANCIES = (
    Column(_("kind"), ("kind",), label_of(Discrepancy.Kind)),
    Column(_("state"), ("state",), label_of(Discrepancy.State)),
    Column(_("money at stake"), ("money_at_stake",), yes_or_no),
    Column(_("payment"), ("payment_id",)),
    Column(_("attempt"), ("attempt_id",)),
    Column(_("our status"), ("our_status",), status_text),
    Column(_("our amount"), ("our_amount", "currency"), amount),
    Column(_("FeexPay's status"), ("their_word",), feexpay_status_text),
    Column(_("FeexPay's amount"), ("their_amount", "currency"), amount),
    Column(_("currency"), ("currency",)),
    Column(_("FeexPay's date"), ("their_date",)),
    Column(_("FeexPay reference"), ("gateway_reference",)),
    Column(_("result of asking FeexPay"), ("outcome",), label_of(Discrepancy.Outcome)),
    Column(_("found at"), ("found_at",)),
    Column(_("ended at"), ("ended_at",)),
    Column(_("note"), ("note",)),
)
