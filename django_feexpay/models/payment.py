"""Payments, their attempts, credits, and the events of every status change."""

from __future__ import annotations

import uuid
from datetime import datetime
from functools import cache
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Case, F, OuterRef, Q, Subquery, When
from django.db.models.lookups import IsNull
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_feexpay.catalogue import money
from django_feexpay.catalogue.outcomes import DOUBTFUL_REFUSALS
from django_feexpay.lifecycle import (
    LIVE,
    OPEN_OR_PAID,
    PAYER_WAS_NOT_ASKED,
    Detail,
    PublicStatus,
    Status,
    detail,
    public,
)
from django_feexpay.models.append_only import AppendOnlyModel, ChainedModel
from django_feexpay.models.fields import HASH_LENGTH, SealedField
from django_feexpay.models.primary import PrimaryModel, PrimaryQuerySet
from django_feexpay.models.provider import Provider
from django_feexpay.models.record_names import amount, joined

_STATUSES = [(status.value, status.name.capitalize()) for status in Status]
#: The admin's badges have the same words, in a form that is found for translation.
_STATUS_WORDS = dict(_STATUSES)
_KNOWN = [status.value for status in Status]

#: Only `payments.audit` reads these, and it reads them under the payment's lock.
_CHAIN_COLUMNS = ("event_count", "chain_hash")
_UNLISTED_ATTEMPT_COLUMNS = (
    *("payment", "amount", "msisdn_hash", "msisdn_sealed", "payer_sealed", "return_url", "cancel_url", "reason_text"),
    *("otp_count", "sent_at", "last_polled_at", "poll_count", "first_empty_search_at"),
    *("created_at", "updated_at", "settled_at"),
)


class PaymentQuerySet(PrimaryQuerySet["Payment"]):
    def for_reading(self) -> PaymentQuerySet:
        """Everything the API shows of a payment, in one statement.

        That is the provider, `provider_name`, the latest attempt, and whether a retry could charge the payer twice: an
        attempt `may_still_succeed`, or another payment of the order is open or paid (`paid_elsewhere`).
        """
        unsure = Attempt.objects.filter(payment=OuterRef("pk")).exclude(Attempt.NOT_CHARGED)
        # Without Django's `Exists`, for which PostgreSQL may hash the whole table of attempts to show one page.
        of_user, of_guest = (_elsewhere(user) for user in (OuterRef("user"), None))
        rows = self.select_related("provider", "latest_attempt").annotate(
            provider_name=F("provider__name"),
            may_still_succeed=_any(unsure),
            # A guest has no user, and in SQL no user equals none.
            paid_elsewhere=Case(When(user=None, then=_any(of_guest)), default=_any(of_user)),
        )
        return rows.defer(*_CHAIN_COLUMNS)

    def of_order(self, user: Any, merchant_reference: Any) -> PaymentQuerySet:
        """The open and paid payments of a user's order, without those that staff released.

        A payment whose payer was erased belongs to no user, so it is not an order of a guest either.
        """
        orders = self.filter(user=user, merchant_reference=merchant_reference, status__in=sorted(OPEN_OR_PAID))
        return orders.filter(released_at=None, pseudonym="")

    def older_than(self, created_at: datetime, pk: uuid.UUID) -> PaymentQuerySet:
        """The payments after this one in a list, newest first."""
        behind = Q(created_at__lt=created_at) | Q(created_at=created_at, id__lt=pk)
        return self.filter(behind, created_at__lte=created_at)  # the second condition lets an index start there

    def newer_than(self, created_at: datetime, pk: uuid.UUID) -> PaymentQuerySet:
        """The payments before this one in a list, newest first."""
        before = Q(created_at__gt=created_at) | Q(created_at=created_at, id__gt=pk)
        return self.filter(before, created_at__gte=created_at)

    def for_listing(self) -> PaymentQuerySet:
        """`for_reading` for many rows, without the columns that lists do not show."""
        rows = self.for_reading().select_related(None).select_related("latest_attempt")
        return rows.defer(
            *("user", "description", "idempotency_key", "language", "pseudonym", "erased_at"),
            *_CHAIN_COLUMNS,
            *(f"latest_attempt__{name}" for name in _UNLISTED_ATTEMPT_COLUMNS),
        )


def _any(rows: models.QuerySet[Any]) -> IsNull:
    """Whether `rows` is not empty, without Django's `Exists`, for the reason given in `for_reading`."""
    return IsNull(Subquery(rows.order_by().values("pk")[:1]), False)


def _elsewhere(user: Any) -> PaymentQuerySet:
    """The other open and paid payments of the order of an outer payment, whose user is `user`; None: a guest."""
    others = Payment.objects.of_order(user, OuterRef("merchant_reference"))
    return others.exclude(merchant_reference="").exclude(pk=OuterRef("pk"))


class Payment(PrimaryModel):
    """One payment of a payer. Its primary key is the API's `id`.

    Amounts are integers in the minor unit of their currency: `amount` is the price, `charged_amount` what FeexPay is
    asked to charge, `fee` FeexPay's fee in the charged currency. `exchange_rate` is NULL if nothing was converted.
    `released_at`: since then the same order may be paid again, as the money went back to the payer.
    `event_count` and `chain_hash`: how many events its chain has, and the hash of the last one.
    `pseudonym`: "" until the payer was erased; then `user` is empty, and the payments of one order have the same one.
    `erased_at`: when; NULL also for a payer whom an earlier release erased.
    Never deleted: a user with payments cannot be deleted before the payer was erased.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("user"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="feexpay_payments",
        db_index=False,
    )
    provider = models.ForeignKey(
        Provider, verbose_name=_("provider"), on_delete=models.PROTECT, related_name="payments"
    )
    latest_attempt = models.OneToOneField(
        "feexpay.Attempt", verbose_name=_("latest attempt"), null=True, on_delete=models.PROTECT, related_name="+"
    )
    status = models.CharField(_("status"), max_length=16, choices=_STATUSES, default=Status.CREATED)
    amount = models.BigIntegerField(_("amount"))
    currency = models.CharField(_("currency"), max_length=3)
    charged_amount = models.BigIntegerField(_("charged amount"))
    charged_currency = models.CharField(_("charged currency"), max_length=3)
    exchange_rate = models.DecimalField(_("exchange rate"), max_digits=18, decimal_places=8, null=True, blank=True)
    fee = models.BigIntegerField(_("fee"), default=0)
    merchant_reference = models.CharField(_("merchant reference"), max_length=64, blank=True)
    description = models.CharField(_("description"), max_length=140, blank=True)
    metadata = models.JSONField(_("metadata"), default=dict, blank=True)
    idempotency_key = models.CharField(_("idempotency key"), max_length=255, blank=True)
    language = models.CharField(
        _("language of the payer"),
        max_length=16,
        blank=True,
        db_default="",
        help_text=_("For notifications. Empty: the language of the project."),
    )
    created_at = models.DateTimeField(_("created at"))
    updated_at = models.DateTimeField(_("updated at"))
    settled_at = models.DateTimeField(_("settled at"), null=True, blank=True)
    released_at = models.DateTimeField(_("order released at"), null=True, blank=True)
    event_count = models.PositiveIntegerField(_("events in its chain"), default=0, db_default=0)
    chain_hash = models.CharField(_("hash of its last event"), max_length=64, blank=True, default="", db_default="")
    pseudonym = models.CharField(
        _("pseudonym of the erased payer"), max_length=80, blank=True, default="", db_default=""
    )

    erased_at = models.DateTimeField(_("payer erased at"), null=True, blank=True)

    objects = PaymentQuerySet.as_manager()  # type: ignore[misc]  # the base's manager, replaced

    class Meta:
        verbose_name = _("payment")
        verbose_name_plural = _("payments")
        default_permissions = ("view",)
        ordering = ("-created_at", "-id")
        permissions: ClassVar[Any] = (
            ("reconcile_payment", _("Can ask FeexPay about a payment")),
            ("retry_payment", _("Can start a new attempt of a payment")),
            ("export_payment", _("Can export payments to a file")),
            ("close_review", _("Can close the review of a payment, or propose and approve it")),
        )
        constraints = (
            models.CheckConstraint(name="feexpay_payment_amount", condition=Q(amount__gt=0)),
            models.CheckConstraint(name="feexpay_payment_charged", condition=Q(charged_amount__gt=0)),
            models.CheckConstraint(name="feexpay_payment_fee", condition=Q(fee__gte=0)),
            models.CheckConstraint(name="feexpay_payment_status", condition=Q(status__in=_KNOWN)),
        )
        indexes = (
            models.Index(fields=("user", "-created_at", "-id"), name="feexpay_pay_owner"),
            models.Index(fields=("-created_at", "-id"), name="feexpay_pay_newest"),
            models.Index(fields=("status", "-created_at"), name="feexpay_pay_status"),
            models.Index(
                fields=("merchant_reference", "user"), name="feexpay_pay_merchant", condition=~Q(merchant_reference="")
            ),
            models.Index(fields=("idempotency_key", "user"), name="feexpay_pay_idem", condition=~Q(idempotency_key="")),
            # Most prices are in this currency, so no list of them is helped by an index.
            models.Index(fields=("currency", "-created_at"), name="feexpay_pay_currency", condition=~Q(currency="XOF")),
        )

    def __str__(self) -> str:
        return joined(self.merchant_reference or str(self.id)[:8], amount(self.amount, self.currency))

    @property
    def public_status(self) -> PublicStatus:
        return public(Status(self.status))

    @property
    def is_erased(self) -> bool:
        """Whether the payer was erased."""
        return bool(self.pseudonym)

    @property
    def charged_price(self) -> int:
        """The price in the charged currency: `charged_amount` without a fee that the payer pays."""
        if self.exchange_rate is None:
            return self.amount
        return money.convert(self.amount, self.currency, self.charged_currency, self.exchange_rate)

    @property
    def attempt(self) -> Attempt:
        """The newest attempt; every payment has one."""
        assert self.latest_attempt is not None  # noqa: S101 -- written with the payment in one transaction
        return self.latest_attempt

    @property
    def detail(self) -> Detail:
        return detail(
            Status(self.status),
            otp_required=self.attempt.otp_required,
            redirect_url=self.attempt.redirect_url,
            is_searched=self.attempt.sought_by_echo,
        )


def read_payments() -> PaymentQuerySet:
    """`Payment.objects.for_reading()`, built once per process and copied for each caller, which is much faster."""
    return _for_reading().all()


def read_unless_live(attempt: Attempt | None, payment_id: uuid.UUID) -> Payment:
    """A payment as `read_payments` gives it; made from its newest attempt without a statement if that one is live.

    attempt: with its payment and provider, as the caller just wrote both; None to read them. It was opened while no
    other payment of its order was open or paid, and no earlier attempt could succeed.
    """
    if attempt is None or attempt.status not in LIVE:
        return read_payments().get(pk=payment_id)
    payment = attempt.payment
    for name in _CHAIN_COLUMNS:
        delattr(payment, name)  # deferred, as in `for_reading`
    payment.latest_attempt = attempt
    payment.provider_name = payment.provider.name  # type: ignore[attr-defined]  # as `for_reading` does
    payment.may_still_succeed, payment.paid_elsewhere = True, False  # type: ignore[attr-defined]  # likewise
    return payment


def listed_payments() -> PaymentQuerySet:
    """`Payment.objects.for_listing()`, cached in the same way."""
    return _for_listing().all()


@cache
def _for_reading() -> PaymentQuerySet:
    return Payment.objects.for_reading()


@cache
def _for_listing() -> PaymentQuerySet:
    return Payment.objects.for_listing()


class Attempt(PrimaryModel):
    """One request to FeexPay for a payment. FeexPay echoes the attempt's id, so we can find it in FeexPay's history.

    `next_poll_at`: when to poll it next; NULL: never. While a worker polls it, this is the end of the worker's lease:
    if the worker is killed, the attempt becomes due again at that time.
    """

    #: As far as we know it took no money, so the payer may try again: FeexPay said so, or it expired before the payer
    #: was asked and was not found since. `is_not_charged` is the same rule for one row.
    NOT_CHARGED: ClassVar[Q] = Q(status__in=[Status.FAILED, Status.REJECTED]) | Q(
        status=Status.EXPIRED, reason_code__in=sorted(PAYER_WAS_NOT_ASKED), gateway_reference__isnull=True
    )

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    payment = models.ForeignKey(
        Payment, verbose_name=_("payment"), on_delete=models.PROTECT, related_name="attempts", db_index=False
    )
    ordinal = models.PositiveSmallIntegerField(_("ordinal"), default=1)
    status = models.CharField(_("status"), max_length=16, choices=_STATUSES, default=Status.CREATED)
    amount = models.BigIntegerField(_("amount asked for"))
    gateway_reference = models.CharField(_("FeexPay reference"), max_length=128, null=True, blank=True)  # noqa: DJ001 -- NULL until known: the unique index allows many NULLs
    masked_msisdn = models.CharField(_("phone"), max_length=32, blank=True)
    msisdn_hash = models.CharField(_("keyed hash of the phone"), max_length=HASH_LENGTH, blank=True)
    msisdn_sealed = SealedField(_("encrypted phone"), null=True, blank=True)
    payer_sealed = SealedField(_("encrypted names, mail, OTP"), null=True, blank=True)
    return_url = models.URLField(_("return URL"), max_length=500, blank=True)
    cancel_url = models.URLField(_("cancel URL"), max_length=500, blank=True)
    redirect_url = models.URLField(_("payment page"), max_length=2048, blank=True)
    otp_required = models.BooleanField(_("OTP required"), default=False)
    otp_count = models.PositiveSmallIntegerField(_("codes sent to FeexPay"), default=0, db_default=0)
    sought_by_echo = models.BooleanField(
        _("searched in FeexPay's history by our id"),
        default=False,
        db_default=False,
        help_text=_(
            "For a payment page, or a code whose answer was lost: found by our id, not by FeexPay's reference."
        ),
    )
    reason_code = models.CharField(_("reason"), max_length=64, blank=True)
    reason_text = models.CharField(_("FeexPay's text"), max_length=200, blank=True)
    sent_at = models.DateTimeField(
        _("sent at"), null=True, blank=True, help_text=_("Empty: nothing was sent to FeexPay.")
    )
    expires_at = models.DateTimeField(_("expires at"))
    next_poll_at = models.DateTimeField(_("next poll"), null=True, blank=True)
    last_polled_at = models.DateTimeField(_("last polled at"), null=True, blank=True)
    poll_count = models.PositiveIntegerField(_("polls"), default=0)
    first_empty_search_at = models.DateTimeField(_("first empty search of the history"), null=True, blank=True)
    created_at = models.DateTimeField(_("created at"))
    updated_at = models.DateTimeField(_("updated at"))
    settled_at = models.DateTimeField(_("settled at"), null=True, blank=True)

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        default_permissions = ("view",)
        permissions: ClassVar[Any] = (("unmask_number", _("Can read the whole phone number of a payment")),)
        ordering = ("payment", "ordinal")
        constraints = (
            models.CheckConstraint(name="feexpay_attempt_amount", condition=Q(amount__gt=0)),
            models.CheckConstraint(name="feexpay_attempt_status", condition=Q(status__in=_KNOWN)),
            models.UniqueConstraint(fields=("payment", "ordinal"), name="feexpay_attempt_ordinal"),
            models.UniqueConstraint(
                fields=("payment",),
                name="feexpay_one_live_attempt",
                condition=Q(status__in=sorted(status.value for status in LIVE)),
            ),
            # One charge at FeexPay must not settle two attempts.
            models.UniqueConstraint(
                fields=("gateway_reference",),
                name="feexpay_attempt_reference",
                condition=Q(gateway_reference__isnull=False),
            ),
        )
        indexes = (
            models.Index(fields=("next_poll_at",), name="feexpay_attempt_due", condition=Q(next_poll_at__isnull=False)),
            models.Index(
                fields=("created_at",),
                name="feexpay_attempt_page",
                condition=Q(status=Status.PENDING.value, sought_by_echo=True),
            ),
            models.Index(fields=("msisdn_hash",), name="feexpay_attempt_msisdn", condition=~Q(msisdn_hash="")),
            models.Index(fields=("created_at",), name="feexpay_attempt_sought", condition=Q(sought_by_echo=True)),
            models.Index(
                fields=("status",), name="feexpay_attempt_unpaid", condition=~Q(status=Status.SUCCESSFUL.value)
            ),
            # What `privacy.numbers` erases.
            models.Index(
                fields=("settled_at",), name="feexpay_attempt_number", condition=Q(msisdn_sealed__isnull=False)
            ),
            models.Index(fields=("id",), name="feexpay_attempt_payer", condition=Q(payer_sealed__isnull=False)),
        )

    def __str__(self) -> str:
        return joined(gettext("Attempt %(ordinal)s") % {"ordinal": self.ordinal}, self.gateway_reference)

    @property
    def life_status(self) -> Status:
        return Status(self.status)

    @property
    def is_not_charged(self) -> bool:
        """`NOT_CHARGED` for this row."""
        if self.life_status is Status.EXPIRED:
            return self.reason_code in PAYER_WAS_NOT_ASKED and self.gateway_reference is None
        return self.life_status in (Status.FAILED, Status.REJECTED)

    @property
    def is_doubtful_refusal(self) -> bool:
        """A refusal that may hide a charge: the payer sees a refusal, and the worker polls it like a failure."""
        return self.life_status is Status.REJECTED and self.reason_code in DOUBTFUL_REFUSALS


class PaymentEvent(ChainedModel):
    """One status change of an attempt. The events of a payment form a chain.

    `evidence`: the facts behind the decision (reference, amount, echo), never personal data.
    `actor`: primary key of the user who acted, or the name of the command or entry point.
    """

    class Source(models.TextChoices):
        API = "api", _("API")
        WORKER = "worker", _("Worker")
        ADMIN = "admin", _("Admin")
        HOST = "host", _("Host project")
        COMMAND = "command", _("Command")

    payment = models.ForeignKey(
        Payment, verbose_name=_("payment"), on_delete=models.PROTECT, related_name="events", db_index=False
    )
    attempt = models.ForeignKey(Attempt, verbose_name=_("attempt"), on_delete=models.PROTECT, related_name="events")
    from_status = models.CharField(_("from"), max_length=16, choices=_STATUSES, blank=True)
    to_status = models.CharField(_("to"), max_length=16, choices=_STATUSES)
    because = models.CharField(_("because"), max_length=64)
    source = models.CharField(_("source"), max_length=16, choices=Source.choices)
    actor = models.CharField(_("actor"), max_length=255, blank=True)
    note = models.CharField(_("note"), max_length=500, blank=True)
    evidence = models.JSONField(_("evidence"), default=dict, blank=True)
    created_at = models.DateTimeField(_("created at"))

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        default_permissions = ("view",)
        ordering = ("id",)
        constraints = (models.UniqueConstraint(fields=("payment", "position"), name="feexpay_event_position"),)
        indexes = (
            models.Index(fields=("-created_at", "-id"), name="feexpay_event_newest"),
            models.Index(
                fields=("-created_at", "-id"),
                name="feexpay_event_by_person",
                condition=~Q(source__in=("api", "worker")),
            ),
        )

    def __str__(self) -> str:
        words = (gettext(_STATUS_WORDS[status]) for status in (self.from_status, self.to_status) if status)
        return joined(*words, by=" → ")


class Credit(AppendOnlyModel):
    """The credit of a payment. Unique constraints make a second credit of a payment or an attempt impossible.

    `hash`: covers the credit and the hash of its event; "" if an earlier release wrote it and feexpay_chain_history has
    not run.
    """

    payment = models.OneToOneField(
        Payment, verbose_name=_("payment"), primary_key=True, on_delete=models.PROTECT, related_name="credit"
    )
    attempt = models.OneToOneField(Attempt, verbose_name=_("attempt"), on_delete=models.PROTECT, related_name="credit")
    event = models.OneToOneField(PaymentEvent, verbose_name=_("event"), on_delete=models.PROTECT, related_name="credit")
    amount = models.BigIntegerField(_("amount"))
    currency = models.CharField(_("currency"), max_length=3)
    created_at = models.DateTimeField(_("credited at"), default=timezone.now)
    hash = models.CharField(_("hash"), max_length=64, blank=True, default="", db_default="")

    class Meta:
        verbose_name = _("credit")
        verbose_name_plural = _("credits")
        default_permissions = ("view",)
        ordering = ("-created_at",)
        permissions: ClassVar[Any] = (("view_statement", _("Can read and export the statement of a period")),)
        constraints = (models.CheckConstraint(name="feexpay_credit_amount", condition=Q(amount__gt=0)),)
        indexes = (models.Index(fields=("created_at",), name="feexpay_credit_day"),)

    def __str__(self) -> str:
        return amount(self.amount, self.currency)
