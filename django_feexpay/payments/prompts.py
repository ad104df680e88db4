"""Limit of payment prompts per phone, across all users and keys, which protects a person's phone from a flood.

At most `PROMPTS_PER_PHONE` prompts per number in any hour, and at most SAME_AMOUNT of one amount in any ten minutes.
Only push flows prompt a phone. Staff can lift the limit for a number (`lift`).

Attempts are counted: those that wait to be sent, and those that were or may have been sent within the period. An
attempt that surely never left does not count, nor one whose refusal proves that no prompt was shown. The transaction
that writes the next attempt counts under a lock on the number, so concurrent starts never exceed the limit.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.utils.translation import ngettext

from django_feexpay import conf
from django_feexpay.catalogue.outcomes import DOUBTFUL_REFUSALS
from django_feexpay.catalogue.phone import Msisdn
from django_feexpay.catalogue.providers import CATALOGUE, ProviderSpec
from django_feexpay.conf import feexpay
from django_feexpay.lifecycle import Status
from django_feexpay.models import Attempt, PromptLift
from django_feexpay.models.fields import hash_msisdn
from django_feexpay.payments import advisory_locks, staff_actions
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.payments.ledger import Source

PERIOD = timedelta(hours=1)
SAME_AMOUNT, SAME_AMOUNT_PERIOD = 3, timedelta(minutes=10)
#: The longest time that staff may lift the limit for.
LONGEST_LIFT = timedelta(hours=24)

#: Synchronous providers answer after their payer has acted, so their refusals come after the prompt.
_ANSWER_AFTER_THE_PROMPT = sorted(code for code, spec in CATALOGUE.items() if spec.synchronous)


def lock_msisdn(spec: ProviderSpec, hashes: Collection[str]) -> None:
    """Lock this number until the transaction ends, so that one start at a time adds a prompt.

    `hashes`: all of `msisdn_hashes`. There is one lock for each key, so that two processes that share one key exclude
    each other while HASH_KEY is rotated. All are taken in one order, after the locks on the user and the payment, so
    that two starts cannot deadlock.
    """
    if _is_limited(spec, hashes):
        numbers = {advisory_locks.number_of(each) for each in hashes if ":" in each}
        advisory_locks.lock(advisory_locks.MSISDN, sorted(numbers))


def refuse_too_many(spec: ProviderSpec, hashes: Collection[str], amount: int) -> None:
    """Refuse one more prompt of `amount` to this number if it is over the limit. `hashes`: as in `lock_msisdn`.

    Raises: NotAllowedError `too_many_prompts` with `retry_after_seconds`. Exact only under `lock_msisdn`.
    """
    if not _is_limited(spec, hashes):
        return
    now = conf.now()
    wait = _wait(hashes, amount, now)
    if not wait or PromptLift.objects.filter(msisdn_hash__in=hashes, until__gt=now).exists():
        return
    seconds = math.ceil(wait.total_seconds())
    minutes = (seconds + 59) // 60
    text = ngettext(
        "This number was asked to pay too often. Nothing was sent. Try again in %(minutes)d minute,"
        " or use another number.",
        "This number was asked to pay too often. Nothing was sent. Try again in %(minutes)d minutes,"
        " or use another number.",
        minutes,
    )
    raise NotAllowedError("too_many_prompts", text % {"minutes": minutes}, retry_after_seconds=seconds)


@transaction.atomic
def lift(msisdn: Msisdn, *, lasts: timedelta, actor: str, reason: str, source: Source = Source.ADMIN) -> PromptLift:
    """Lift the limit for a number, for at most LONGEST_LIFT.

    Changes: PromptLift, StaffAction. Raises: ValueError for a longer time, or without actor or reason.
    Safe to repeat: yes, each is kept and the latest end counts.
    """
    if not timedelta() < lasts <= LONGEST_LIFT or not actor or not reason.strip():
        raise ValueError("a lift needs an actor, a reason and at most a day")
    now = conf.now()
    row = PromptLift.objects.create(
        msisdn_hash=hash_msisdn(msisdn),
        masked_msisdn=msisdn.masked,
        lifted_at=now,
        until=now + lasts,
        actor=actor,
        reason=reason,
    )
    staff_actions.record(
        staff_actions.Action.LIFT_PROMPTS,
        actor=actor,
        source=source,
        target=row,
        reason=reason,
        detail={"minutes": round(lasts.total_seconds() / 60)},
    )
    return row


def counted() -> QuerySet[Attempt]:
    """The attempts that are prompts: of a push flow, sent or waiting to be sent, and not refused before the prompt."""
    return _counted().all()


@cache
def _counted() -> QuerySet[Attempt]:
    """Built once per process and copied for each caller, because every start counts twice."""
    waiting = Q(status=Status.CREATED)
    after_prompt = Q(payment__provider__in=_ANSWER_AFTER_THE_PROMPT) | Q(reason_code__in=sorted(DOUBTFUL_REFUSALS))
    sent = Q(sent_at__isnull=False) & (~Q(status=Status.REJECTED) | after_prompt)
    return Attempt.objects.filter(waiting | sent, payment__provider__flow="push").exclude(msisdn_hash="")


def beyond_the_limit() -> Iterator[tuple[UUID, int, int | None, int]]:
    """Numbers over the limit that have no lift, each as (newest attempt, prompts, amount or None for any, limit)."""
    if not feexpay.prompts_per_phone:
        return
    now = conf.now()
    lifted = PromptLift.objects.filter(until__gt=now - PERIOD).values("msisdn_hash")
    rows = counted().exclude(msisdn_hash__in=lifted).order_by()
    for period, columns, limit in (
        (PERIOD, ("msisdn_hash",), feexpay.prompts_per_phone),
        (SAME_AMOUNT_PERIOD, ("msisdn_hash", "amount"), SAME_AMOUNT),
    ):
        recent = rows.filter(_within(period, now))
        many = recent.values(*columns).annotate(prompts=Count("pk")).filter(prompts__gt=limit)
        for row in many.order_by("msisdn_hash"):
            newest = recent.filter(msisdn_hash=row["msisdn_hash"]).order_by("-created_at", "-pk").values_list("pk")
            yield newest[0][0], row["prompts"], row.get("amount"), limit


def _is_limited(spec: ProviderSpec, hashes: Collection[str]) -> bool:
    return bool(feexpay.prompts_per_phone and hashes) and spec.flow == "push"


def _wait(hashes: Collection[str], amount: int, now: datetime) -> timedelta:
    """How long until the limit allows one more prompt; zero if it does now."""
    recent = counted().filter(_within(PERIOD, now), msisdn_hash__in=hashes).order_by()
    # An attempt that waits to be sent will prompt now at the earliest.
    sent = [(sent_at or now, charged) for sent_at, charged in recent.values_list("sent_at", "amount")]
    return max(
        _until_below([at for at, _charged in sent], feexpay.prompts_per_phone, PERIOD, now),
        _until_below([at for at, charged in sent if charged == amount], SAME_AMOUNT, SAME_AMOUNT_PERIOD, now),
    )


def _within(period: timedelta, now: datetime) -> Q:
    """Attempts that wait to be sent, or were sent within the period; not those that a clock far ahead wrote."""
    return Q(status=Status.CREATED) | Q(sent_at__gt=now - period, sent_at__lte=now + PERIOD)


def _until_below(sent: Sequence[datetime], limit: int, period: timedelta, now: datetime) -> timedelta:
    """How long until fewer than `limit` of these times are within the period."""
    within = sorted(at for at in sent if at > now - period)
    return timedelta() if len(within) < limit else within[-limit] + period - now
