"""The admin: read-only ledgers, adjustable providers, and actions that need a permission and a reason.

The actions call the functions of `payments` that the API calls too.
"""

from __future__ import annotations

from django_feexpay.admin.alerts import AlertAdmin
from django_feexpay.admin.checkouts import CheckoutAdmin
from django_feexpay.admin.comparisons import ComparisonAdmin, DiscrepancyAdmin, FindingAdmin
from django_feexpay.admin.incidents import IncidentAdmin
from django_feexpay.admin.payments import PaymentAdmin
from django_feexpay.admin.payouts import PayoutAdmin
from django_feexpay.admin.prompt_lifts import PromptLiftAdmin
from django_feexpay.admin.proposals import ReviewProposalAdmin
from django_feexpay.admin.providers import ProviderAdmin
from django_feexpay.admin.purges import ErasureAdmin, PurgeAdmin
from django_feexpay.admin.records import (
    AttemptAdmin,
    CreditAdmin,
    DailyTotalAdmin,
    HeartbeatAdmin,
    IdempotencyRecordAdmin,
    OutboxMessageAdmin,
    PaymentEventAdmin,
    WebhookDeliveryAdmin,
)
from django_feexpay.admin.refunds import RefundAdmin
from django_feexpay.admin.staff_actions import StaffActionAdmin

__all__ = [
    "AlertAdmin",
    "AttemptAdmin",
    "CheckoutAdmin",
    "DiscrepancyAdmin",
    "ComparisonAdmin",
    "CreditAdmin",
    "DailyTotalAdmin",
    "ErasureAdmin",
    "FindingAdmin",
    "HeartbeatAdmin",
    "IdempotencyRecordAdmin",
    "IncidentAdmin",
    "OutboxMessageAdmin",
    "PaymentAdmin",
    "PaymentEventAdmin",
    "PayoutAdmin",
    "PromptLiftAdmin",
    "ProviderAdmin",
    "PurgeAdmin",
    "RefundAdmin",
    "ReviewProposalAdmin",
    "StaffActionAdmin",
    "WebhookDeliveryAdmin",
]
