"""A flood of forged webhooks: what is stored is bounded, what is dropped is counted, and no true one is lost."""

from __future__ import annotations

import logging
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.cache.backends.locmem import LocMemCache
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_feexpay import cache_state, tally
from django_feexpay.gateway.reports import hint_from
from django_feexpay.gateway.transport import WireReply
from django_feexpay.models import Attempt, Counter, WebhookDelivery
from django_feexpay.models import delivery as delivery_model
from django_feexpay.monitoring import health
from django_feexpay.payments import webhook_bounds, webhook_drops, webhook_hints
from tests.conftest import Configure
from tests.payments.conftest import Begin
from tests.payments.fake_gateway import Charge, ModelGateway, accept
from tests.payments.fakes import Clock, only_attempt, sweep
from tests.payments.threads import at_once

pytestmark = pytest.mark.django_db

TABLE = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}


def receive(reference: str, address: str = "10.0.0.1", **body: Any) -> None:
    body = {"reference": reference, "status": "SUCCESSFUL"} | body
    webhook_hints.receive(hint_from(body), sender=address)


def flood(number: int = 20, address: str = "10.6.6.6") -> None:
    for turn in range(number):
        receive(f"forged-{turn}-of-{address}", address)


def unknown() -> list[str]:
    rows = WebhookDelivery.objects.filter(attempt=None).order_by("pk")
    return list(rows.values_list("gateway_reference", flat=True))


@pytest.fixture(params=["cache", "table"])
def few(request: pytest.FixtureRequest, configure: Configure, settings: Any) -> None:
    """Six unknown webhooks in a minute, four of them from one address. With a cache that counts, and with one that
    does not."""
    configure(UNKNOWN_WEBHOOKS_PER_MINUTE=6, RATE_LIMITS={"webhook": "4/min"})
    if request.param == "table":
        settings.CACHES = TABLE


def test_flood_is_bounded_by_minute_and_by_address_and_reported(few: None, gateway: ModelGateway, clock: Clock) -> None:
    assert health.check().components["webhooks"] == "ok"

    flood(20, "10.6.6.6")
    assert len(unknown()) == 4
    receive("of-another-address", "10.7.7.7")
    assert unknown()[-1] == "of-another-address"
    for sender in range(20):
        flood(2, f"10.8.8.{sender}")

    assert len(unknown()) == 6
    report = health.check()
    assert (report.components["webhooks"], report.dropped_webhooks) == ("webhook_flood", 16 + 39)
    clock.advance(67)
    receive("a-minute-later", "10.6.6.6")
    assert unknown()[-1] == "a-minute-later"
    clock.advance(601)
    assert (sweep(), gateway.questions) == (0, 0)
    report = health.check()
    assert (report.components["webhooks"], report.dropped_webhooks) == ("ok", 55)
    clock.advance(3600)
    assert (health.check().dropped_webhooks, webhook_drops.read(clock.at).day) == (0, 55)


def test_dropped_webhook_costs_one_read_and_no_write(few: None, clock: Clock) -> None:
    flood()

    with CaptureQueriesContext(connection) as seen:
        for _ in range(5):
            flood(4)

    assert [query["sql"].split()[0] for query in seen.captured_queries] == ["SELECT"] * 20


def test_events_are_counted_at_once_and_then_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    time, written = SimpleNamespace(now=100.0), list[tuple[str, int]]()
    monkeypatch.setattr(tally, "time", SimpleNamespace(monotonic=lambda: time.now))
    monkeypatch.setattr(tally, "_WRITE_EVERY_SECONDS", 1.0)
    events = tally.Tally(lambda name, number: written.append((name, number)))

    events.note("dropped")
    assert written == [("dropped", 1)]
    events.note("dropped", number=2)
    time.now += 0.9
    events.note("dropped")
    assert written == [("dropped", 1)]

    time.now += 0.1
    events.note("dropped")
    assert written == [("dropped", 1), ("dropped", 4)]


def test_true_webhook_in_a_flood_is_stored_and_makes_its_attempt_due(
    few: None, begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    attempt = only_attempt(begin())
    flood()

    receive("ref-0001", "10.6.6.6")

    attempt.refresh_from_db()
    assert (attempt.deliveries.count(), attempt.next_poll_at) == (1, clock.at)


def test_webhook_that_comes_first_survives_a_flood_by_our_echo(
    few: None, begin: Begin, gateway: ModelGateway, clock: Clock, configure: Configure
) -> None:
    """The attempt is being sent and its reference is not known, but the echo is: garbage cannot push it out."""
    configure(UNKNOWN_WEBHOOKS_KEPT=2)

    def answer_late(charge: Charge) -> WireReply:
        flood()
        receive(charge.reference, "10.6.6.6", callback_info=charge.echo)
        flood(20, "10.7.7.7")
        return accept(charge)

    gateway.next_collects = [answer_late]
    attempt = only_attempt(begin())

    assert attempt.deliveries.get().gateway_reference == "ref-0001"
    assert attempt.next_poll_at == clock.at
    assert len(unknown()) == 2


def test_webhook_that_names_an_open_page_is_stored_in_a_flood(
    few: None, begin: Begin, gateway: ModelGateway, clock: Clock
) -> None:
    attempt = only_attempt(begin())
    Attempt.objects.update(sought_by_echo=True, redirect_url="https://link.example/page0001/coins", next_poll_at=None)
    flood()

    receive("of-the-page", "10.6.6.6", ref_link="page0001")
    receive("of-no-page", "10.6.6.6", ref_link="page0002")

    attempt.refresh_from_db()
    assert unknown()[-1] == "of-the-page"
    assert attempt.next_poll_at == clock.at


def test_old_webhooks_give_way_without_a_flood(configure: Configure, clock: Clock) -> None:
    configure(UNKNOWN_WEBHOOKS_KEPT=3)
    flood(3)
    clock.advance(25 * 3600)
    flood(2, "10.7.7.7")

    assert unknown() == ["forged-2-of-10.6.6.6", "forged-0-of-10.7.7.7", "forged-1-of-10.7.7.7"]
    assert health.check().dropped_webhooks == 0
    flood(2, "10.8.8.8")
    assert (health.check().dropped_webhooks, len(unknown())) == (1, 3)


def test_lower_bound_is_reached_with_the_next_webhook(configure: Configure, clock: Clock) -> None:
    flood(20)
    configure(UNKNOWN_WEBHOOKS_KEPT=3)

    receive("one-more")

    assert unknown() == ["forged-18-of-10.6.6.6", "forged-19-of-10.6.6.6", "one-more"]


def test_payer_can_fill_neither_their_attempts_nor_the_table(
    begin: Begin, gateway: ModelGateway, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A payer knows the references of their own payments. Each attempt has some rows for itself, then a user shares."""
    monkeypatch.setattr(webhook_bounds, "FREE_EACH", 2)
    monkeypatch.setattr(webhook_bounds, "MAX_EACH", 5)
    monkeypatch.setattr(webhook_bounds, "OF_USER", (4, 3600))
    attempts = [only_attempt(begin(merchant_reference=str(number))) for number in range(3)]

    for attempt in attempts:
        for number in range(10):
            receive(str(attempt.gateway_reference), date=str(number))

    assert [attempt.deliveries.count() for attempt in attempts] == [5, 3, 2]
    assert Attempt.objects.filter(next_poll_at=clock.at).count() == 3
    report = health.check()
    assert (report.components["webhooks"], report.dropped_webhooks) == ("webhook_flood", 20)
    clock.advance(4000)
    receive(str(attempts[2].gateway_reference), date="an hour later")
    assert attempts[2].deliveries.count() == 3


def test_all_users_together_share_a_bound(
    begin: Begin, gateway: ModelGateway, clock: Clock, monkeypatch: pytest.MonkeyPatch, django_user_model: Any
) -> None:
    monkeypatch.setattr(webhook_bounds, "FREE_EACH", 1)
    monkeypatch.setattr(webhook_bounds, "OF_ALL_USERS", (3, 60))
    users = [django_user_model.objects.create_user(f"user-{number}") for number in range(3)]
    attempts = [only_attempt(begin(user=user)) for user in users]

    for attempt in attempts:
        for number in range(3):
            receive(str(attempt.gateway_reference), date=str(number))

    assert [attempt.deliveries.count() for attempt in attempts] == [3, 2, 1]


def test_repeats_are_counted_up_to_a_bound(
    begin: Begin, gateway: ModelGateway, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_model, "MAX_REPEATS", 3)
    attempt = only_attempt(begin())

    for _ in range(10):
        receive("ref-0001")
    monkeypatch.setattr(webhook_bounds, "FREE_EACH", 1)
    receive("ref-0001")

    assert (attempt.deliveries.count(), attempt.deliveries.get().repeat_count) == (1, 3)
    assert health.check().dropped_webhooks == 0


class BrokenCache(LocMemCache):
    """A cache whose server is down."""

    def _raise(self, *args: Any, **kwargs: Any) -> Any:
        raise ConnectionError("redis is down")

    get = set = add = incr = touch = get_many = delete_many = delete = get_or_set = _raise


def test_bounds_hold_without_a_cache(
    configure: Configure, settings: Any, monkeypatch: pytest.MonkeyPatch, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Each process counts for itself. The true webhook of an attempt needs no count."""
    configure(UNKNOWN_WEBHOOKS_PER_MINUTE=6, RATE_LIMITS={"webhook": "4/min"})
    settings.CACHES = {"default": {"BACKEND": f"{__name__}.BrokenCache"}}
    monkeypatch.setattr(cache_state, "_availability", cache_state._Availability())

    with caplog.at_level(logging.ERROR):
        flood()
        for sender in range(5):
            flood(2, f"10.7.7.{sender}")

    assert len(unknown()) == 6
    assert len(caplog.records) == 1
    clock.advance(61)
    receive("a-minute-later")
    assert unknown()[-1] == "a-minute-later"


@pytest.mark.postgres_only
@pytest.mark.django_db(transaction=True)
def test_bound_is_exact_while_webhooks_arrive_at_once(configure: Configure) -> None:
    configure(UNKNOWN_WEBHOOKS_KEPT=5)
    most = []

    def send(number: int) -> None:
        for turn in range(10):
            receive(f"at-once-{number}-{turn}")
            most.append(len(unknown()))

    assert at_once(8, send) == [None] * 8
    assert max(most) == 5
    assert health.check().dropped_webhooks == 75


def test_counts_of_drops_are_deleted_after_a_day(clock: Clock) -> None:
    for _ in range(3):
        webhook_drops.note()
        webhook_drops.read(clock.at)
        clock.advance(timedelta(hours=9).total_seconds())

    assert Counter.objects.filter(pk__contains="dropped").count() == 3
    clock.advance(timedelta(hours=9).total_seconds())
    webhook_drops.note()
    webhook_drops.read(clock.at)
    assert Counter.objects.filter(pk__contains="dropped").count() == 2
