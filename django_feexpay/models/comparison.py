"""Comparisons of a period with FeexPay's history, and the discrepancies they found."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from django_feexpay.models.payment import Attempt, Payment
from django_feexpay.models.primary import PrimaryModel, PrimaryQuerySet
from django_feexpay.models.record_names import day, joined


class Comparison(PrimaryModel):
    """One comparison of the attempts sent on these days (UTC, both included) with FeexPay's history.

    `night`: the UTC date on which the nightly comparison is due; NULL for one by command. Unique, so that one process
    runs it. `beat_at`: heartbeat of that process.
    `gaps`: parts of the history that could not be read, at most a hundred.
    """

    class State(models.TextChoices):
        RUNNING = "running", _("running")
        COMPLETE = "complete", _("complete")
        INCOMPLETE = "incomplete", _("incomplete")
        STOPPED = "stopped", _("stopped")

    first_day = models.DateField(_("first day"))
    last_day = models.DateField(_("last day"))
    night = models.DateField(_("night"), null=True, blank=True, unique=True)
    state = models.CharField(_("state"), max_length=16, choices=State.choices, default=State.RUNNING)
    start_count = models.PositiveSmallIntegerField(_("starts"), default=1)
    question_count = models.PositiveIntegerField(_("questions to FeexPay"), default=0)
    row_count = models.PositiveIntegerField(_("rows of FeexPay's history"), default=0)
    compared_count = models.PositiveIntegerField(_("attempts found there"), default=0)
    foreign_count = models.PositiveIntegerField(_("rows of other systems"), default=0)
    unproven_count = models.PositiveIntegerField(_("attempts that may be in a gap of the history"), default=0)
    found_count = models.PositiveIntegerField(_("differences"), default=0)
    settled_count = models.PositiveIntegerField(_("settled by FeexPay's answer"), default=0)
    open_count = models.PositiveIntegerField(_("left open"), default=0)
    at_stake_count = models.PositiveIntegerField(_("left open, money at stake"), default=0)
    gap_count = models.PositiveIntegerField(_("gaps of the history"), default=0)
    gaps = models.JSONField(_("gaps"), default=list, blank=True)
    started_at = models.DateTimeField(_("started at"))
    beat_at = models.DateTimeField(_("last heartbeat"))
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)

    class Meta:
        verbose_name = _("comparison with FeexPay")
        verbose_name_plural = _("comparisons with FeexPay")
        default_permissions = ("view",)
        ordering = ("-id",)

    def __str__(self) -> str:
        days = (day(self.first_day), day(self.last_day))
        return joined(*dict.fromkeys(days), by=" – ")


class DiscrepancyQuerySet(PrimaryQuerySet["Discrepancy"]):
    def still_open(self) -> DiscrepancyQuerySet:
        return self.filter(state=Discrepancy.State.OPEN)

    def at_stake(self) -> DiscrepancyQuerySet:
        """Open ones in which money may be taken and not credited, or credited and not taken."""
        return self.still_open().filter(money_at_stake=True)


class Discrepancy(PrimaryModel):
    """One difference between our rows and FeexPay's history; a later comparison that finds it again updates the row.

    `identity`: its kind with the attempt or FeexPay's reference. One that staff closed stays closed until the facts
    change. `their_word`, `their_amount`, `their_date`: as in FeexPay's history.
    """

    class Kind(models.TextChoices):
        MISSING_HERE = "missing_here", _("FeexPay has it, we do not")
        MISSING_THERE = "missing_there", _("we have it, FeexPay does not")
        AMOUNT = "amount", _("another amount")
        STATUS = "status", _("another status")
        REFERENCE = "reference", _("we did not know its reference")
        SECOND_ROW = "second_row", _("FeexPay has it twice")

    class State(models.TextChoices):
        OPEN = "open", _("open")
        SETTLED = "settled", _("settled by FeexPay's answer")
        GONE = "gone", _("not found any more")
        CLOSED = "closed", _("closed by staff")

    class Outcome(models.TextChoices):
        NOT_ASKED = "", _("FeexPay was not asked about it")
        MOVED = "moved", _("FeexPay was asked: our status was corrected")
        CONFIRMED = "confirmed", _("FeexPay was asked: our status was right")
        ADOPTED = "adopted", _("its reference was stored")
        NO_ANSWER = "no_answer", _("FeexPay gave no answer; the worker asks again")
        NO_CHANGE = "no_change", _("FeexPay was asked: the difference stays")
        INCIDENT = "incident", _("FeexPay was asked: an incident is open")

    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices)
    identity = models.CharField(_("identity"), max_length=200, unique=True)
    attempt = models.ForeignKey(
        Attempt,
        verbose_name=_("attempt"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="discrepancies",
    )
    payment = models.ForeignKey(
        Payment,
        verbose_name=_("payment"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="discrepancies",
    )
    gateway_reference = models.CharField(_("FeexPay reference"), max_length=128, blank=True)
    echo = models.CharField(_("our id in FeexPay's row"), max_length=200, blank=True)
    our_status = models.CharField(_("our status"), max_length=16, blank=True)
    our_amount = models.BigIntegerField(_("our amount"), null=True, blank=True)
    currency = models.CharField(_("currency"), max_length=3, blank=True)
    their_word = models.CharField(_("FeexPay's status"), max_length=16, blank=True)
    their_amount = models.BigIntegerField(_("FeexPay's amount"), null=True, blank=True)
    their_date = models.CharField(_("FeexPay's date"), max_length=200, blank=True)
    money_at_stake = models.BooleanField(_("money at stake"), default=False)
    state = models.CharField(_("state"), max_length=16, choices=State.choices, default=State.OPEN)
    outcome = models.CharField(_("result of asking FeexPay"), max_length=16, choices=Outcome.choices, blank=True)
    comparison = models.ForeignKey(
        Comparison, verbose_name=_("found by"), on_delete=models.PROTECT, related_name="discrepancies_found"
    )
    last_comparison = models.ForeignKey(
        Comparison, verbose_name=_("last found by"), on_delete=models.PROTECT, related_name="discrepancies"
    )
    ended_by = models.ForeignKey(
        Comparison,
        verbose_name=_("no longer found by"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
    )
    found_at = models.DateTimeField(_("found at"))
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)
    note = models.CharField(_("note"), max_length=500, blank=True)

    objects = DiscrepancyQuerySet.as_manager()  # type: ignore[misc]  # the base's manager, replaced

    class Meta:
        verbose_name = _("difference")
        verbose_name_plural = _("differences")
        default_permissions = ("view", "change")
        ordering = ("-id",)
        indexes = (
            models.Index(fields=("money_at_stake",), name="feexpay_discrepancy_open", condition=Q(state="open")),
        )

    def __str__(self) -> str:
        return joined(self.get_kind_display(), self.gateway_reference)

    def facts(self) -> tuple[Any, ...]:
        """The compared values: a closed discrepancy opens again if one of them changes."""
        return (self.our_status, self.our_amount, self.their_word, self.their_amount)


class Finding(PrimaryModel):
    """A discrepancy as one comparison found it; never changed afterwards. A comparison counts its findings."""

    comparison = models.ForeignKey(
        Comparison, verbose_name=_("comparison"), on_delete=models.CASCADE, related_name="findings"
    )
    difference = models.ForeignKey(
        Discrepancy, verbose_name=_("difference"), on_delete=models.PROTECT, related_name="findings"
    )
    is_open = models.BooleanField(_("left open"))
    money_at_stake = models.BooleanField(_("money at stake"))

    class Meta:
        verbose_name = _("finding")
        verbose_name_plural = _("findings")
        default_permissions = ("view",)
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=("comparison", "difference"), name="feexpay_finding_once_a_comparison"),
        )

    def __str__(self) -> str:
        return str(self.difference) if self.difference_id else ""
