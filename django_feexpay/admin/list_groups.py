"""The lists of the back office by subject, in the order of a day's work, for the index of the app.

Django sorts them by name, which hides the two or three lists that staff open each day.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise


@dataclass(frozen=True, slots=True)
class Group:
    """Lists about one subject, by the names of their models."""

    title: StrPromise
    models: tuple[str, ...]


GROUPS = (
    Group(_("Payments"), ("Payment", "Attempt", "Checkout", "Credit")),
    Group(_("Decisions"), ("Incident", "Refund", "Payout", "ReviewProposal")),
    Group(_("Comparison with FeexPay"), ("Discrepancy", "Comparison", "Finding")),
    Group(_("Providers and limits"), ("Provider", "PromptLift")),
    Group(_("Messages and changes"), ("WebhookDelivery", "OutboxMessage", "PaymentEvent", "IdempotencyRecord")),
    Group(_("Operation and records"), ("Alert", "Heartbeat", "DailyTotal", "StaffAction", "Purge", "Erasure")),
)


def grouped(listed: Sequence[dict[str, Any]]) -> Iterator[tuple[StrPromise, list[dict[str, Any]]]]:
    """The titles with their lists, of the lists that these staff may open: Django's dictionaries of models."""
    by_name = {model["object_name"]: model for model in listed if model["admin_url"]}
    for group in GROUPS:
        lists = [by_name[name] for name in group.models if name in by_name]
        if lists:
            yield group.title, lists
