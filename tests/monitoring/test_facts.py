"""The health facts: what each measures, on rows and counts as they come about."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone, translation

from django_feexpay import conf
from django_feexpay.models import Counter, Heartbeat, Incident, Payment
from django_feexpay.monitoring import facts, http_counts, minutely
from django_feexpay.monitoring.facts import BY_NAME, FACTS
from django_feexpay.monitoring.measurements import Measurements
from tests.api.caller import BASE
from tests.api.test_history import store_payment
from tests.conftest import Configure
from tests.payments.fakes import Clock
from tests.webhooks.webhook_requests import delivery, raw

pytestmark = pytest.mark.django_db


def measured() -> dict[str, Any]:
    """Every fact's values."""
    return facts.measured_now(Measurements(conf.now()))


def troubles() -> set[str]:
    return {trouble.fact.name for trouble in facts.troubles(measured())}


@pytest.fixture
def player(db: None) -> User:
    return User.objects.create_user("ama")


@pytest.fixture(autouse=True)
def healthy(db: None) -> None:
    for name in ("worker", "gateway", "gateway_probe"):
        Heartbeat.objects.create(name=name, beat_at=timezone.now())


def test_empty_shop_with_a_worker_has_no_trouble_and_every_fact_is_measured() -> None:
    assert set(measured()) == {fact.name for fact in FACTS}
    assert troubles() == set()


def test_success_rate_is_judged_by_provider_and_from_ten_payments_on(player: User, configure: Configure) -> None:
    statuses = ["successful"] * 5 + ["failed"] * 3 + ["expired"] + ["pending"] * 4
    for status in statuses:
        store_payment(player, at=timezone.now(), status=status)
    assert measured()["success_rate_low"] == {}  # nine have ended

    store_payment(player, at=timezone.now(), status="rejected")
    assert measured()["success_rate_low"] == {"mtn_bj": 50.0}
    (trouble,) = facts.troubles(measured())
    assert trouble.headline == "Few payments with this provider succeed. (mtn_bj: 50\u00a0%)"
    with translation.override("fr"):
        assert trouble.headline.startswith("Peu de paiements avec ce moyen de paiement réussissent. (mtn_bj")

    configure(MONITOR_THRESHOLDS={"success_rate_low": 40})
    assert troubles() == set()
    Payment.objects.update(created_at=timezone.now() - timedelta(minutes=61))
    assert measured()["success_rate_low"] == {}


def test_money_that_waits_for_a_person_is_measured(player: User) -> None:
    charged_twice = store_payment(player, status="successful")
    Incident.objects.create(
        kind="duplicate_charge", payment=charged_twice, attempt=charged_twice.attempt, opened_at=timezone.now()
    )
    old = timezone.now() - timedelta(hours=25)
    for status in ("review", "pending"):
        Payment.objects.filter(pk=store_payment(player, status=status).pk).update(created_at=old, updated_at=old)

    assert troubles() == {"duplicate_charges", "review_old", "pending_old"}


def test_undone_payout_is_in_trouble_until_its_incident_is_closed(player: User) -> None:
    paid = store_payment(player, status="successful")
    Incident.objects.create(kind="payout_undone", payment=paid, attempt=paid.attempt, opened_at=timezone.now())
    assert troubles() == {"payouts_undone"}

    Incident.objects.update(closed_at=timezone.now())
    assert troubles() == set()


def test_slow_failing_and_refused_answers_are_counted_for_all_processes(configure: Configure, client: Client) -> None:
    for _ in range(57):
        client.get(f"{BASE}health/live/")
    assert troubles() == set()

    for _ in range(3):
        http_counts.note("status", 500, 2.5)
    found = measured()
    assert (found["responses_slow"], found["errors_many"]) == ({"": 5.0}, {"": 5.0})
    assert troubles() == {"errors_many"}  # five percent slow is the limit

    configure(WEBHOOK_MODES="status,header", WEBHOOK_SECRETS="header:Bearer a-good-secret-of-feexpay")
    for _ in range(21):
        client.post(f"{BASE}webhook/", raw(delivery("ref")), content_type="application/json")
    found = measured()
    assert (found["webhooks_rejected"], found["webhook_acceptance_low"]) == ({"": 21.0}, {"": 0.0})
    assert {"webhooks_rejected", "webhook_acceptance_low"} <= troubles()


def test_uptime_counts_the_minutes_without_a_worker(clock: Clock) -> None:
    Heartbeat.objects.update(beat_at=clock.at)
    assert measured()["uptime_low"] == {}  # not known before the first report
    for _ in range(5):
        minutely.run()
        clock.advance(60)
    assert measured()["uptime_low"] == {"": 100.0}

    clock.advance(120)
    minutely.run()
    assert measured()["uptime_low"][""] == pytest.approx(100 * (1 - 120 / 86_400))
    assert BY_NAME["uptime_low"].is_trouble(measured()["uptime_low"][""])

    for _ in range(2):  # a second worker in the same minute, and a process with the old heartbeat
        minutely.run()
    assert Counter.objects.filter(pk__startswith="feexpay:uptime:down").values_list("value", flat=True).get() == 120
    clock.advance(25 * 3600)
    assert measured()["uptime_low"] == {"": 100.0}
