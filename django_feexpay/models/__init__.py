"""The tables. Only `payments.ledger` writes a status; money rows are never deleted."""

from __future__ import annotations

from django_feexpay.models.alert import Alert
from django_feexpay.models.checkout import Checkout
from django_feexpay.models.comparison import Comparison, Discrepancy, Finding
from django_feexpay.models.counter import Counter
from django_feexpay.models.daily_total import DailyTotal, TotalsCursor
from django_feexpay.models.delivery import WebhookDelivery
from django_feexpay.models.heartbeat import Heartbeat
from django_feexpay.models.idempotency import IdempotencyRecord
from django_feexpay.models.incident import Incident
from django_feexpay.models.notification_opt_out import NotificationOptOut
from django_feexpay.models.outbox import OutboxMessage, OutboxReceipt
from django_feexpay.models.payment import Attempt, Credit, Payment, PaymentEvent
from django_feexpay.models.payout import LIVE_PAYOUTS, Payout, PayoutEvent, PayoutState
from django_feexpay.models.prompt_lift import PromptLift
from django_feexpay.models.provider import Provider
from django_feexpay.models.purge import Erasure, Purge
from django_feexpay.models.refund import Refund
from django_feexpay.models.report_file import ReportFile
from django_feexpay.models.review import ReviewDecision, ReviewProposal
from django_feexpay.models.staff_action import StaffAction, StaffChain

__all__ = [
    "LIVE_PAYOUTS",
    "Alert",
    "Attempt",
    "Checkout",
    "Discrepancy",
    "Comparison",
    "Counter",
    "Credit",
    "DailyTotal",
    "Erasure",
    "Finding",
    "Heartbeat",
    "IdempotencyRecord",
    "Incident",
    "NotificationOptOut",
    "OutboxMessage",
    "OutboxReceipt",
    "Payment",
    "PaymentEvent",
    "Payout",
    "PayoutEvent",
    "PayoutState",
    "PromptLift",
    "Provider",
    "Purge",
    "Refund",
    "ReportFile",
    "ReviewDecision",
    "ReviewProposal",
    "StaffAction",
    "StaffChain",
    "TotalsCursor",
    "WebhookDelivery",
]
