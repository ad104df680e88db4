"""Alerts to the team, received by a real mail server and a real HTTP server."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from django_feexpay import conf
from django_feexpay.models import Alert, Heartbeat
from django_feexpay.monitoring import alerts, facts, minutely
from django_feexpay.monitoring.facts import FACTS, Fact
from tests.api.test_health import database_unavailable
from tests.api.test_history import store_payment
from tests.conftest import Configure
from tests.notifications.mail_server import MailServer
from tests.payments.fakes import Clock, in_transaction

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning"),  # apprise imports it on Python 3.11 and 3.12
]


class Team:
    """An HTTP server that keeps the notices it received. `status`: what it answers; `delay`: seconds before that."""

    def __init__(self) -> None:
        self.notices: list[dict[str, str]] = []
        self.status, self.delay = 200, threading.Event()
        team = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                notice = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if team.status == 200:
                    team.notices.append(notice)
                self.send_response(team.status)
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                """Stay quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def titles(self) -> list[str]:
        """The titles so far, without the site's name; forgets them."""
        taken, self.notices = self.notices, []
        return [notice["title"].partition(": ")[2] for notice in taken]


@pytest.fixture
def team(configure: Configure) -> Iterator[Team]:
    team = Team()
    configure(ALERT_URLS=[team.url])
    yield team
    team.close()


@pytest.fixture
def shop(clock: Clock) -> Clock:
    """A healthy shop, whose clock stands still."""
    for name in ("worker", "gateway", "gateway_probe"):
        Heartbeat.objects.create(name=name, beat_at=clock.at)
    return clock


def minutes(clock: Clock, number: int, *, worker: bool = True) -> None:
    """Let this many minutes pass, with one look in each."""
    for _ in range(number):
        clock.advance(60)
        Heartbeat.objects.filter(name="gateway").update(beat_at=clock.at)
        if worker:
            Heartbeat.objects.filter(name="worker").update(beat_at=clock.at)
        minutely.run()


def test_trouble_is_told_once_and_its_end_once(team: Team, shop: Clock) -> None:
    minutes(shop, 2)
    assert team.titles() == []

    minutes(shop, 10, worker=False)
    (notice,) = team.notices
    assert notice["title"].endswith("No background process runs. No payment is checked and no signal is sent.")
    assert "Start `manage.py feexpay_worker`" in notice["message"]
    assert notice["type"] == "failure"
    team.titles()

    minutes(shop, 1)  # well again, but not for five minutes
    minutes(shop, 4, worker=False)
    assert team.titles() == []
    minutes(shop, 7)
    assert team.titles() == ["over: No background process runs. No payment is checked and no signal is sent."]
    row = Alert.objects.get()
    assert row.closed_at is not None
    assert row.recovery_sent_at is not None

    minutes(shop, 5, worker=False)
    assert len(team.titles()) == 1
    assert Alert.objects.count() == 2


@pytest.mark.parametrize("fact", [fact for fact in FACTS if fact.name != "database_unreachable"], ids=lambda f: f.name)
def test_every_fact_is_told_and_its_end_too(
    team: Team, shop: Clock, fact: Fact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The values are given here; tests/monitoring/test_facts.py and test_health.py bring them about."""
    values: dict[str, Any] = {fact.name: {"mtn_bj": fact.limit + (-1 if fact.below else 1)}}
    monkeypatch.setattr(facts, "measured_now", lambda measurements: values)
    minutes(shop, 1)
    assert team.titles() == [f"mtn_bj: {fact.words}"]

    values.clear()
    minutes(shop, 6)
    assert team.titles() == [f"over: mtn_bj: {fact.words}"]


def test_database_that_does_not_answer_is_told_once_and_its_return(team: Team, shop: Clock) -> None:
    for _ in range(3):
        with database_unavailable(), pytest.raises(Exception, match="the server closed the connection"):
            minutely.run()
    assert team.titles() == ["The database does not answer. No payment can start and none is settled."]

    minutes(shop, 2)
    assert team.titles() == ["The database answers again."]


def test_several_troubles_are_one_notice_in_the_language_of_the_project(
    team: Team, shop: Clock, settings: Any, django_user_model: Any
) -> None:
    settings.LANGUAGE_CODE = "fr"
    store_payment(django_user_model.objects.create_user("ama"), at=shop.at - timedelta(hours=3))
    minutes(shop, 4, worker=False)

    assert [len(team.notices), Alert.objects.count()] == [2, 2]
    assert "Aucun processus d'arrière-plan ne tourne." in team.notices[1]["message"]
    assert "Un paiement est en cours depuis des heures." in team.notices[0]["message"]
    Alert.objects.update(sent_at=None, claimed_at=None)
    alerts.send(shop.at)
    assert team.notices[2]["title"].endswith(": 2 défauts")


def test_quiet_hours_keep_back_what_can_wait(team: Team, shop: Clock, configure: Configure, settings: Any) -> None:
    settings.TIME_ZONE = "UTC"
    configure(ALERT_URLS=[team.url], ALERT_QUIET_HOURS="22:00-06:00")
    shop.advance_to((shop.at + timedelta(days=1)).replace(hour=23, minute=0, second=0, microsecond=0))
    at = shop.at
    for name, severity in (("review_old", "warning"), ("duplicate_charges", "critical")):
        Alert.objects.create(fact=name, severity=severity, value=1, opened_at=at, seen_at=at)

    assert alerts.send(at) == 1
    assert team.titles() == ["A payer was charged twice."]
    assert alerts.send(at + timedelta(hours=6, minutes=59)) == 0
    assert alerts.send(at + timedelta(hours=7)) == 1
    assert team.titles() == ["A payment has been under review for a day. Its payer waits."]


def test_notice_is_sent_again_until_one_address_takes_it(
    team: Team, shop: Clock, configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    team.status = 503
    minutes(shop, 4, worker=False)
    assert Alert.objects.get().sent_at is None
    assert team.url not in caplog.text  # addresses hold passwords
    assert "an alert could not be sent by json" in caplog.text

    team.status = 200
    minutes(shop, 3, worker=False)
    assert len(team.titles()) == 1

    configure(ALERT_URLS=["json://user:secret-word@127.0.0.1:9/", team.url])
    Alert.objects.update(sent_at=None, claimed_at=None)
    minutes(shop, 3, worker=False)
    assert len(team.titles()) == 1  # the broken address does not repeat it here
    assert "secret-word" not in caplog.text


def test_notice_holds_nothing_personal(team: Team, shop: Clock, django_user_model: Any) -> None:
    """Every text of a notice is the registry's, a provider's code or a number."""
    user = django_user_model.objects.create_user("ama", email="ama@example.com")
    store_payment(user, at=shop.at - timedelta(hours=3), merchant_reference="order-77", reference="FEEX-9")
    minutes(shop, 4, worker=False)

    text = json.dumps(team.notices)
    assert len(team.notices) == 2
    assert not [word for word in ("ama", "order-77", "FEEX-9", "229", "••") if word in text]


def test_alert_by_mail_and_the_test_command(configure: Configure, db: None, capsys: pytest.CaptureFixture[str]) -> None:
    server = MailServer()
    server.start()
    try:
        good = f"mailto://127.0.0.1:{server.port}/?from=shop@shop.example&to=team@shop.example"
        configure(ALERT_URLS=[good])
        out = io.StringIO()
        call_command("feexpay_alert_test", stdout=out)
        assert out.getvalue() == "✔ mailto\n"
        message = server.only()
        assert message["To"] == "team@shop.example"
        assert "test of the alerts" in message["Subject"]
        assert "Nothing is wrong." in message.get_body(("plain", "html")).get_content()

        configure(ALERT_URLS=[good, "json://user:secret-word@127.0.0.1:9/", "nonsense"])
        out = io.StringIO()
        with pytest.raises(CommandError, match="2 of 3 addresses") as failed:
            call_command("feexpay_alert_test", stdout=out)
        assert out.getvalue() == "✔ mailto\n✘ json\n✘ ?\n"
        assert "secret-word" not in f"{out.getvalue()}{failed.value}"
    finally:
        server.stop()
    configure(ALERT_URLS=[])
    with pytest.raises(CommandError, match="ALERT_URLS is not set"):
        call_command("feexpay_alert_test")


@pytest.mark.postgres_only
@pytest.mark.django_db(transaction=True)
def test_two_workers_send_one_notice_outside_transactions(
    team: Team, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty rounds of two workers that look and send at the same instant."""
    inside: list[bool] = []
    notify = alerts.alert_channels.notify
    monkeypatch.setattr(
        alerts.alert_channels, "notify", lambda *a, **k: (inside.append(in_transaction()), notify(*a, **k))[1]
    )
    start = threading.Barrier(2)
    now = conf.now()

    def work() -> None:
        try:
            for _ in range(20):
                start.wait(30)
                alerts.update(now)
                alerts.send(now)
                start.wait(30)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert list(Alert.objects.values_list("fact", flat=True)) == ["worker_silent"]  # no heartbeat at all
    assert len(team.notices) == 1
    assert inside == [False]
