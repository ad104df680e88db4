"""Make a year of payments and write it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta

from django.db import connection, transaction
from django.db.models import QuerySet

from django_feexpay import conf
from django_feexpay.models import Payment, Provider
from django_feexpay.payments import daily_totals
from shop.demo_data import MAIL_DOMAIN, endings, people, volumes
from shop.demo_data.differences import Differences
from shop.demo_data.endings import Action
from shop.demo_data.one_payment import OnePayment, World
from shop.demo_data.rows import Rows
from shop.models import CoinPack

#: Payments whose rows are kept in memory before they are written.
_AT_ONCE = 1000

_Ending = Callable[..., None]

#: One payment in this many ends in this way; in a small set each way still occurs a few times.
_SPECIAL: dict[_Ending, int] = {
    endings.review: 700,
    endings.charged_twice: 900,
    endings.paid_late: 450,
    endings.taken_back: 6000,
    endings.paid_back: 800,
}
_FEWEST_OF_EACH = 40
_STUCK = 6

_USUAL = {
    endings.paid: 815,
    endings.paid_at_second_try: 25,
    endings.failed: 75,
    endings.expired: 62,
    endings.refused: 23,
}
_IN_TROUBLE = {endings.paid: 35, endings.trouble: 45, endings.expired: 15, endings.refused: 5}
_OUTAGE_EVERY, _OUTAGE_HOURS = 26, 5
_CARD_SHARE = 0.03


def made_by_us() -> QuerySet[Payment]:
    """The payments of this command."""
    return Payment.objects.filter(user__email__endswith=f"@{MAIL_DOMAIN}")


def make(count: int, seed: int, report: Callable[[int], None]) -> None:
    """Write `count` payments of the last 365 days; `report` is called with the number written so far.

    Changes: all ledgers, User, Group, CoinEntry, DailyTotal. All or nothing, but for the daily totals.
    Safe to repeat: no. The same seed at the same time of the same clock makes the same rows.
    """
    with transaction.atomic():
        _make(count, random.Random(seed), report)  # noqa: S311 -- made-up data must be repeatable
    daily_totals.rebuild()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")  # without statistics of the new rows a query may take minutes


def _make(count: int, chance: random.Random, report: Callable[[int], None]) -> None:
    now = conf.now()
    everybody = people.create(count, chance)
    providers = {row.pk: row for row in Provider.objects.all()}
    packs = list(CoinPack.objects.filter(active=True).order_by("position"))
    world = World(now, chance, everybody, providers, packs, Rows())
    differences = Differences(now)
    special: dict[_Ending, int] = {
        ending: max(2, min(every, count // _FEWEST_OF_EACH)) for ending, every in _SPECIAL.items()
    }
    outages = _outages(now, chance)
    number = 0
    for number, at in enumerate(_starts(count, now, chance), start=1):
        one = _payment(world, at, number)
        provider, day = one.payment.provider_id, at.astimezone(UTC).date()
        if number > count - _STUCK:
            endings.stuck(one)
        else:
            _end(one, number, special, outages.get((provider, day)), differences)
        differences.sent[day] += 1
        if number % _AT_ONCE == 0:
            world.rows.write()
            report(number)
    for ago in range(1, 5):
        differences.add_foreign(now - timedelta(days=2 * ago), chance.choice((500, 2000, 5000)), chance)
    _daily_work(world)
    world.rows.write()
    differences.write()


def _starts(count: int, now: datetime, chance: random.Random) -> Iterator[datetime]:
    stuck = min(_STUCK, count)
    for day in volumes.year(count - stuck, now, chance):
        yield from day.starts
    for _ in range(stuck):
        yield now - timedelta(minutes=chance.uniform(1, 39))


def _payment(world: World, at: datetime, number: int) -> OnePayment:
    player = world.people.player(world.chance)
    provider = player.provider
    if world.chance.random() < _CARD_SHARE:
        provider = world.chance.choices(list(people.CARDS), list(people.CARDS.values()))[0]
    return OnePayment(world, at, number, provider, player)


def _end(
    one: OnePayment,
    number: int,
    special: dict[_Ending, int],
    outage: tuple[datetime, datetime] | None,
    differences: Differences,
) -> None:
    at, chance = one.at, one.world.chance
    for position, (ending, every) in enumerate(special.items()):
        if number % every == position + 1 and endings.may_end(ending, at, one.world.now):
            needs_differences = ending in (endings.review, endings.charged_twice, endings.paid_late)
            ending(one, differences) if needs_differences else ending(one)
            return
    in_trouble = outage is not None and outage[0] < at < outage[1]
    weights = _IN_TROUBLE if in_trouble else _USUAL
    chance.choices(list(weights), list(weights.values()))[0](one)


def _outages(now: datetime, chance: random.Random) -> dict[tuple[str, date], tuple[datetime, datetime]]:
    """Some hours in which a provider is in trouble, once in a while."""
    codes = list(people.MOBILE_MONEY)[:12]
    found = {}
    for ago in range(9, volumes.DAYS, _OUTAGE_EVERY):
        begins = (now - timedelta(days=ago)).replace(hour=15, minute=chance.randrange(60))
        provider = chance.choice(codes)
        found[provider, begins.astimezone(UTC).date()] = (begins, begins + timedelta(hours=_OUTAGE_HOURS))
    return found


def _daily_work(world: World) -> None:
    """What else staff did: exports at the end of a month, look-ups and notes by support."""
    chance = world.chance
    for ago in range(1, volumes.DAYS, 3):
        at = (world.now - timedelta(days=ago)).replace(hour=9, minute=chance.randrange(60))
        detail = {"found": chance.randrange(1, 4)}
        world.staff_action(Action.LOOK_UP_NUMBER, "Support", at, reason="Appel d'un joueur.", detail=detail)
        if at.day <= 3:
            about = {"list": "payment", "format": "xlsx", "count": chance.randrange(2000, 9000), "filter": ""}
            world.staff_action(Action.EXPORT, "Finance", at, detail=about)
