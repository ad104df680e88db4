"""The registry of health facts: what is measured, when it is trouble, what that means, and what to do.

One entry serves the health report, the doctor, the metrics, the alerts and the admin. A new alert rule is one entry
here with a method of `Measurements`. FEEXPAY["MONITOR_THRESHOLDS"] replaces thresholds by the names of the entries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from django_feexpay.conf import feexpay
from django_feexpay.monitoring.measurements import Measurements, Values

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise


class Unit(StrEnum):
    SECONDS = "seconds"
    COUNT = "count"
    PERCENT = "percent"


class Severity(StrEnum):
    """`critical`: money or every payer is affected, so an alert is sent in quiet hours, too."""

    CRITICAL = "critical"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that is measured.

    measured: in English, for metrics and documentation. `words` and `advice`: for people, translated.
    threshold: the fact is trouble above it, with `below` under it.
    component, word: where the health report shows it, and how; "": the report leaves it out.
    """

    name: str
    measured: str
    measure: Callable[[Measurements], Values | None]
    unit: Unit
    threshold: float
    words: StrPromise
    advice: StrPromise
    severity: Severity = Severity.WARNING
    below: bool = False
    component: str = ""
    word: str = ""

    @property
    def limit(self) -> float:
        """The threshold of the settings, else of this entry."""
        return feexpay.monitor_thresholds.get(self.name, self.threshold)

    def is_trouble(self, value: float) -> bool:
        return value < self.limit if self.below else value > self.limit


def _hours(number: float) -> float:
    return timedelta(hours=number).total_seconds()


#: In the order of the health report; of one component, the first fact in trouble gives the word.
FACTS: tuple[Fact, ...] = (
    Fact(
        name="database_unreachable",
        measured="1 while the database does not answer",
        measure=Measurements.answered,
        unit=Unit.COUNT,
        threshold=0,
        words=_("The database does not answer. No payment can start and none is settled."),
        advice=_("Start the database again, and check DATABASES and the network."),
        severity=Severity.CRITICAL,
        component="database",
        word="unreachable",
    ),
    Fact(
        name="migrations_pending",
        measured="migrations of django_feexpay that the database does not have",
        measure=Measurements.migrations_pending,
        unit=Unit.COUNT,
        threshold=0,
        words=_("The database lacks migrations of this release."),
        advice=_("Run `manage.py migrate`."),
        severity=Severity.CRITICAL,
        component="migrations",
        word="pending",
    ),
    Fact(
        name="cache_silent",
        measured="1 while the shared cache does not answer",
        measure=Measurements.cache_silent,
        unit=Unit.COUNT,
        threshold=0,
        words=_("The shared cache does not answer. New payments are refused, because they cannot be counted."),
        advice=_("Start Redis again, and check CACHES."),
        severity=Severity.CRITICAL,
        component="cache",
        word="silent",
    ),
    Fact(
        name="worker_silent",
        measured="seconds since the newest heartbeat of feexpay_worker or of a cluster",
        measure=Measurements.worker_silence,
        unit=Unit.SECONDS,
        threshold=180,
        words=_("No background process runs. No payment is checked and no signal is sent."),
        advice=_("Start `manage.py feexpay_worker`, or a qcluster after `manage.py feexpay_schedule`."),
        severity=Severity.CRITICAL,
        component="worker",
        word="silent",
    ),
    Fact(
        name="polls_late",
        measured="seconds by which the most overdue poll is late",
        measure=Measurements.poll_delay,
        unit=Unit.SECONDS,
        threshold=300,
        words=_("Payments are due for a poll and are not polled. Their payers wait."),
        advice=_("Start more workers, and look for errors in the log of the worker."),
        severity=Severity.CRITICAL,
        component="attempts",
        word="late",
    ),
    Fact(
        name="receiver_hangs",
        measured="signals whose receiver did not return within its time limit",
        measure=Measurements.signals_hanging,
        unit=Unit.COUNT,
        threshold=0,
        words=_("A receiver of the shop does not return. Its orders stay unpaid."),
        advice=_("`manage.py feexpay_doctor` names the receiver. Fix it and restart the worker."),
        component="outbox",
        word="hanging",
    ),
    Fact(
        name="signals_late",
        measured="seconds since the oldest undelivered signal was written",
        measure=Measurements.signal_delay,
        unit=Unit.SECONDS,
        threshold=45,
        words=_("A receiver of the shop fails or is not called. Paid orders may stay unpaid."),
        advice=_("Fix the receiver and restart the worker, which calls the receiver again."),
        severity=Severity.CRITICAL,
        component="outbox",
        word="late",
    ),
    Fact(
        name="circuit_open",
        measured="seconds since a circuit breaker opened, by provider, or `gateway` for FeexPay",
        measure=Measurements.open_circuits,
        unit=Unit.SECONDS,
        threshold=0,
        words=_("FeexPay or an operator fails. New payments with it are refused; nothing is lost."),
        advice=_("Wait, or close the provider for maintenance in the admin. Call FeexPay if it lasts."),
        severity=Severity.CRITICAL,
        component="breaker",
    ),
    Fact(
        name="gateway_asks_to_wait",
        measured="seconds for which FeexPay asked to send nothing",
        measure=Measurements.gateway_pause,
        unit=Unit.SECONDS,
        threshold=0,
        words=_("FeexPay answered that there are too many requests."),
        advice=_("Lower GATEWAY_PER_SECOND, or ask FeexPay for a higher limit."),
        component="budget",
        word="slowed",
    ),
    Fact(
        name="money_at_stake",
        measured="open differences with FeexPay's history that have money at stake",
        measure=Measurements.differences,
        unit=Unit.COUNT,
        threshold=0,
        words=_("The payments here and FeexPay's history differ, with money at stake."),
        advice=_("Open the list of differences in the admin and close each with a reason."),
        severity=Severity.CRITICAL,
        component="comparison",
        word="money_at_stake",
    ),
    Fact(
        name="comparison_late",
        measured="seconds since the newest nightly comparison ended",
        measure=Measurements.comparison_age,
        unit=Unit.SECONDS,
        threshold=_hours(50),
        words=_("The nightly comparison with FeexPay's history did not run."),
        advice=_("Check that the worker runs at COMPARE_AT, and that FeexPay answers with its history."),
        component="comparison",
        word="late",
    ),
    Fact(
        name="erasure_waits",
        measured="seconds since the oldest request for erasure that was not carried out",
        measure=Measurements.erasure_wait,
        unit=Unit.SECONDS,
        threshold=_hours(25 * 24),
        words=_("A person has waited almost a month for the erasure of their data."),
        advice=_("The log says what it waits for. The law gives a month."),
        component="purge",
        word="erasure_waits",
    ),
    Fact(
        name="purge_late",
        measured="seconds since the newest nightly purge ended",
        measure=Measurements.purge_age,
        unit=Unit.SECONDS,
        threshold=_hours(50),
        words=_("The nightly purge did not run. Data are kept longer than promised."),
        advice=_("Check that the worker runs at PURGE_AT."),
        component="purge",
        word="late",
    ),
    Fact(
        name="numbers_kept",
        measured="1 while a phone number is kept an hour too long",
        measure=Measurements.numbers_kept,
        unit=Unit.COUNT,
        threshold=0,
        words=_("Phone numbers are kept longer than promised."),
        advice=_("Run `manage.py feexpay_purge` and read what it says."),
        component="purge",
        word="late",
    ),
    Fact(
        name="secrets_not_read",
        measured="1 while the source of secrets does not answer",
        measure=Measurements.secrets_not_read,
        unit=Unit.COUNT,
        threshold=0,
        words=_("The source of secrets does not answer. The values of the last read are kept."),
        advice=_("Check SECRETS_BACKEND and the rights of this server there."),
        component="secrets",
        word="not_read",
    ),
    Fact(
        name="keys_ended",
        measured="1 while no API key, or no webhook secret of a mode, is left",
        measure=Measurements.keys_ended,
        unit=Unit.COUNT,
        threshold=0,
        words=_("The last API key or webhook secret has ended."),
        advice=_("Put a new one first in API_KEY or WEBHOOK_SECRETS."),
        severity=Severity.CRITICAL,
        component="secrets",
        word="ended",
    ),
    Fact(
        name="keys_end_soon",
        measured="1 while the last API key or webhook secret ends within a week",
        measure=Measurements.keys_end_soon,
        unit=Unit.COUNT,
        threshold=0,
        words=_("The last API key or webhook secret ends within a week."),
        advice=_("Put a new one first in API_KEY or WEBHOOK_SECRETS."),
        component="secrets",
        word="ends_soon",
    ),
    Fact(
        name="gateway_silent",
        measured="seconds since FeexPay last answered the probe, which asks for the balance every 300 s",
        measure=Measurements.gateway_silence,
        unit=Unit.SECONDS,
        threshold=600,
        words=_("FeexPay does not answer the shop's key."),
        advice=_("Check the key, the network, and whether FeexPay's list has this server's address."),
        severity=Severity.CRITICAL,
        component="gateway",
        word="silent",
    ),
    Fact(
        name="webhook_flood",
        measured="webhooks dropped in the last ten minutes because of their number",
        measure=Measurements.webhooks_dropped,
        unit=Unit.COUNT,
        threshold=0,
        words=_("More webhooks arrive than are stored. Payments go on."),
        advice=_("Block the sender at your proxy."),
        component="webhooks",
        word="webhook_flood",
    ),
    Fact(
        name="backup_failed",
        measured="1 while the newest backup or restore test failed, by which of them",
        measure=Measurements.backups_failed,
        unit=Unit.COUNT,
        threshold=0,
        words=_("The newest backup of the database, or the test that restores one, failed."),
        advice=_("Read its log (`journalctl -u shop-backup -u shop-restore-test`), and run it again."),
        component="backup",
        word="failed",
    ),
    Fact(
        name="backup_late",
        measured="seconds since the newest backup, from the first one that was noted",
        measure=Measurements.backup_age,
        unit=Unit.SECONDS,
        threshold=_hours(26),
        words=_("The database was not backed up last night."),
        advice=_("Check that the timer or the cron job of the backup runs."),
        component="backup",
        word="late",
    ),
    Fact(
        name="restore_test_late",
        measured="seconds since a backup was last restored and verified, from the first backup that was noted",
        measure=Measurements.restore_test_age,
        unit=Unit.SECONDS,
        threshold=_hours(8 * 24),
        words=_("No backup was restored and verified for more than a week."),
        advice=_("Run the restore test, and check that its timer or cron job runs."),
        component="backup",
        word="untested",
    ),
    # --- not in the health report: payments work, and a person should look -------------------------------
    Fact(
        name="success_rate_low",
        measured="percent of the payments ended in the window that succeeded, by provider, from ten payments on",
        measure=Measurements.success_rates,
        unit=Unit.PERCENT,
        threshold=60,
        below=True,
        words=_("Few payments with this provider succeed."),
        advice=_("The dashboard lists the reasons. If they are the operator's, close the provider for maintenance."),
    ),
    Fact(
        name="uptime_low",
        measured="percent of the last 24 hours in which a worker reached the database",
        measure=Measurements.uptime,
        unit=Unit.PERCENT,
        threshold=99.9,
        below=True,
        words=_("Payments were not worked on for longer than a minute and a half today."),
        advice=_("Look in the logs for restarts and for outages of the database."),
    ),
    Fact(
        name="webhook_acceptance_low",
        measured="percent of the webhooks in the window that were accepted, from twenty webhooks on",
        measure=Measurements.webhook_acceptance,
        unit=Unit.PERCENT,
        threshold=99.5,
        below=True,
        words=_("Webhooks are refused. Payments are settled by polling instead, which is slower."),
        advice=_("Compare WEBHOOK_SECRETS with FeexPay's dashboard, and read the log of django_feexpay.webhooks."),
    ),
    Fact(
        name="webhooks_rejected",
        measured="webhooks without a valid proof in the window",
        measure=Measurements.webhooks_rejected,
        unit=Unit.COUNT,
        threshold=20,
        words=_("Webhooks come without a valid proof. Nothing of them is stored."),
        advice=_("A wrong secret, or a stranger: compare WEBHOOK_SECRETS with FeexPay's dashboard."),
    ),
    Fact(
        name="responses_slow",
        measured="percent of the API's answers in the window that took over two seconds, from twenty answers on",
        measure=Measurements.slow_answers,
        unit=Unit.PERCENT,
        threshold=5,
        words=_("More than one answer in twenty takes longer than two seconds."),
        advice=_("Look at the latency of FeexPay and of the database. DISPATCH=queue answers without waiting."),
    ),
    Fact(
        name="errors_many",
        measured="percent of the API's answers in the window with a status of 500 or above, from fifty answers on",
        measure=Measurements.server_errors,
        unit=Unit.PERCENT,
        threshold=1,
        words=_("The API answers with server errors."),
        advice=_("Read the errors in the log of django_feexpay.api."),
        severity=Severity.CRITICAL,
    ),
    Fact(
        name="pending_old",
        measured="seconds since the oldest open payment was started",
        measure=Measurements.oldest_pending,
        unit=Unit.SECONDS,
        threshold=_hours(2),
        words=_("A payment has been open for hours. Its payer does not know whether it counts."),
        advice=_("Open the list of stuck payments in the admin: it says what each waits for."),
    ),
    Fact(
        name="duplicate_charges",
        measured="open incidents of payers who were charged twice",
        measure=Measurements.duplicate_charges,
        unit=Unit.COUNT,
        threshold=0,
        words=_("A payer was charged twice."),
        advice=_("Open the incident in the admin and refund one of the charges."),
        severity=Severity.CRITICAL,
    ),
    Fact(
        name="reversals",
        measured="open incidents of credited payments that FeexPay took back",
        measure=Measurements.reversals,
        unit=Unit.COUNT,
        threshold=0,
        words=_("FeexPay took a credited payment back."),
        advice=_("Open the incident in the admin and decide whether the buyer keeps the goods."),
        severity=Severity.CRITICAL,
    ),
    Fact(
        name="payouts_undone",
        measured="open incidents of refunds whose payout FeexPay paid and undid later",
        measure=Measurements.undone_payouts,
        unit=Unit.COUNT,
        threshold=0,
        words=_("FeexPay undid a payout. Its payer does not have the refund."),
        advice=_("Open the incident in the admin, look for the money in FeexPay's dashboard, and pay the payer back."),
        severity=Severity.CRITICAL,
    ),
    Fact(
        name="review_old",
        measured="seconds since the payment under review that waits the longest came there",
        measure=Measurements.oldest_review,
        unit=Unit.SECONDS,
        threshold=_hours(24),
        words=_("A payment has been under review for a day. Its payer waits."),
        advice=_("Open the payments under review in the admin and close each with a decision."),
    ),
)

BY_NAME: Mapping[str, Fact] = {fact.name: fact for fact in FACTS}


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fact beyond its threshold. `subject`: the provider or circuit; "" for the whole shop."""

    fact: Fact
    subject: str
    value: float

    @property
    def headline(self) -> str:
        """What happens, with the subject: `Few payments with this provider succeed. (mtn_bj: 40 %)`."""
        shown = shown_value(self.value, self.fact.unit)
        return f"{self.fact.words} ({f'{self.subject}: {shown}' if self.subject else shown})"


def within(name: str) -> timedelta:
    """The threshold of a fact that is measured in seconds."""
    return timedelta(seconds=BY_NAME[name].limit)


def measured_now(measurements: Measurements) -> dict[str, Values | None]:
    """The values of every fact by name; None: not known yet. Raises: DatabaseError."""
    return {fact.name: fact.measure(measurements) for fact in FACTS}


def troubles(values: Mapping[str, Values | None]) -> list[Trouble]:
    """The facts beyond their threshold, in the order of the registry."""
    return [
        Trouble(fact, subject, value)
        for fact in FACTS
        for subject, value in sorted((values.get(fact.name) or {}).items())
        if fact.is_trouble(value)
    ]


def shown_value(value: float, unit: Unit) -> str:
    """`90 s`, `5 min`, `3 h`, `2 d`; `40 %`; a number."""
    if unit is Unit.PERCENT:
        return f"{value:.4g}\u00a0%"
    if unit is Unit.COUNT:
        return f"{value:.0f}"
    if value == float("inf"):
        return str(_("never"))
    for seconds, word, many in ((86_400, "d", 172_800), (3600, "h", 7200), (60, "min", 120)):
        if value >= many:
            return f"{value / seconds:.0f}\u00a0{word}"
    return f"{value:.0f}\u00a0s"


def translated(text: StrPromise | str) -> str:
    """The text in the language that is active now."""
    return str(text) if isinstance(text, Promise) else text
