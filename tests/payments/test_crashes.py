"""The process is killed between any two commits: no second prompt, and exactly one credit of a paid payment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import datetime, timedelta
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.contrib.auth.models import User
from django.db import connection

from django_feexpay import failpoints
from django_feexpay.models import Attempt, Credit, OutboxMessage, Payment
from tests.payments.conftest import Begin, Configure
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import (
    Clock,
    KilledError,
    Recorder,
    only_attempt,
    sweep,
    sweep_at_next_poll,
    sweep_until_final,
)
from tests.sandbox.running import ROOT, RunningSandbox

pytestmark = pytest.mark.django_db


class Kill:
    """Raises KilledError the first time its failpoint is reached."""

    def __init__(self) -> None:
        self.done = False

    def __call__(self) -> None:
        if not self.done:
            self.done = True
            raise KilledError


BEFORE_THE_PAYER_IS_ASKED = {"started", "before_send"}


@pytest.mark.parametrize("dispatch", ["inline", "queue"])
@pytest.mark.parametrize("place", failpoints.NAMES)
def test_kill_at_any_failpoint_prompts_once_at_most_and_credits_a_paid_payment_once(
    begin: Begin,
    gateway: ModelGateway,
    clock: Clock,
    configure: Configure,
    signals: Recorder,
    place: str,
    dispatch: str,
) -> None:
    configure(DISPATCH=dispatch)
    kill = Kill()
    with failpoints.arm(place, kill):
        with suppress(KilledError):
            begin()
        with suppress(KilledError):
            sweep()
        for charge in gateway.charges:
            charge.approve()
        with suppress(KilledError):
            sweep_at_next_poll(clock)
    assert kill.done

    _work_until_idle(clock)
    if not gateway.charges:
        clock.advance(86_400)
        _work_until_idle(clock)

    payment = Payment.objects.get()
    assert len(gateway.charges) <= 1
    assert Credit.objects.count() == len(gateway.paid())
    if gateway.charges:
        assert payment.status == "successful"
        assert {name for name, _, _ in signals.received} == {"payment_succeeded"}
        assert len({event_id for _, _, event_id in signals.received}) == 1
    else:
        assert (place in BEFORE_THE_PAYER_IS_ASKED, payment.status) == (True, "expired")
        assert only_attempt(payment).reason_code == "never_arrived"


def test_unknown_failpoint_cannot_be_armed() -> None:
    with pytest.raises(KeyError), failpoints.arm("nowhere", Kill()):
        pass


def test_failpoint_acts_only_while_it_is_armed() -> None:
    hits: list[str] = []
    with failpoints.arm("settled", lambda: hits.append("settled")):
        failpoints.hit("settled")
        failpoints.hit("sent")
    for name in failpoints.NAMES:
        failpoints.hit(name)

    assert hits == ["settled"]


def test_signal_is_delivered_after_a_kill_right_after_the_credit(
    begin: Begin, gateway: ModelGateway, clock: Clock, signals: Recorder
) -> None:
    payment = begin()
    gateway.last().approve()
    with failpoints.arm("settled", Kill()), pytest.raises(KilledError):
        sweep_at_next_poll(clock)
    assert (Credit.objects.count(), signals.received) == (1, [])

    sweep_until_final(payment, clock)

    assert signals.names() == ["payment_succeeded"]


@pytest.mark.postgres_only
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("place", "asked"), [("before_send", 0), ("after_send", 1)])
def test_attempt_of_a_process_killed_with_signal_9_is_not_resent(
    player: User, sandbox: RunningSandbox, clock: Clock, signals: Recorder, place: str, asked: int
) -> None:
    killed = subprocess.run(
        [sys.executable, "-m", "tests.payments.killed_sender", str(player.pk), sandbox.api_url, place],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": _url_of_test_database(), "PYTHONPATH": f"{ROOT}:{ROOT}/sample_project"},
        check=False,
        timeout=60,
    )
    assert killed.returncode == -signal.SIGKILL
    payment = Payment.objects.get()
    assert (payment.status, sandbox.prompts()) == ("sending", asked)
    for row in sandbox.payments():
        sandbox.approve(row["reference"])

    clock.advance(60)
    _work_until_idle(clock)
    clock.advance(86_400)
    _work_until_idle(clock)

    payment.refresh_from_db()
    assert payment.status == ("successful" if asked else "expired")
    assert only_attempt(payment).ordinal == 1
    assert (sandbox.prompts(), sandbox.charges(), Credit.objects.count()) == (asked, asked, asked)
    assert signals.names() == (["payment_succeeded"] if asked else ["payment_failed"])


def _work_until_idle(clock: Clock) -> None:
    """Run only the worker, for half an hour: whenever a poll or a delivery is due."""
    ends_at = clock.at + timedelta(minutes=30)
    for _ in range(200):
        due = [*_due(Attempt, "next_poll_at"), *_due(OutboxMessage, "next_delivery_at")]
        if not due or min(due) > ends_at:
            clock.advance_to(ends_at)
            return
        clock.advance_to(min(due))
        sweep()
    raise AssertionError(f"still due after 200 sweeps: {due}")


def _due(model: type[Attempt | OutboxMessage], column: str) -> list[datetime]:
    return list(model.objects.exclude(**{column: None}).values_list(column, flat=True))


def _url_of_test_database() -> str:
    name = connection.settings_dict["NAME"]
    return urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))
