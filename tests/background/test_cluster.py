"""A real django-q2 cluster on the Redis and on the database broker, killed with signal 9: nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from django_feexpay.background.worker import CLUSTER
from django_feexpay.models import Attempt, Credit, Heartbeat, Payment
from tests.conftest import Configure
from tests.payments.conftest import Begin
from tests.sandbox.running import API_KEY, ROOT, SHOP_ID, RunningSandbox, run_sandbox

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_only]

TIMEOUT_SECONDS = 120.0


@pytest.fixture
def sandbox(configure: Configure) -> Iterator[RunningSandbox]:
    """Only ten times as fast as life: a slow answer takes two seconds, time enough to be killed in."""
    with run_sandbox(time_scale=0.1) as sandbox:
        configure(BASE_URL=sandbox.api_url, DISPATCH="queue")
        yield sandbox


@pytest.fixture(params=["orm", "redis"])
def environment(request: pytest.FixtureRequest, sandbox: RunningSandbox) -> dict[str, str]:
    """What the cluster's processes get: this test's database, the sandbox, and one of the two brokers."""
    name = connection.settings_dict["NAME"]
    ours = {
        "DATABASE_URL": urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}")),
        "DJANGO_SETTINGS_MODULE": "config.settings.development",
        "PYTHONPATH": f"{ROOT}:{ROOT}/sample_project",
        "Q_BROKER": request.param,
        "FEEXPAY_BASE_URL": sandbox.api_url,
        "FEEXPAY_API_KEY": API_KEY,
        "FEEXPAY_SHOP_ID": SHOP_ID,
        "FEEXPAY_FIELD_KEYS": ",".join(settings.FEEXPAY["FIELD_KEYS"]),
        "FEEXPAY_HASH_KEY": settings.FEEXPAY["HASH_KEY"],
        "FEEXPAY_POLL_SECONDS": "1,1,1,1",
    }
    if request.param == "redis":
        ours["REDIS_URL"] = request.getfixturevalue("redis_url")
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")} | ours


@contextmanager
def cluster(environment: dict[str, str]) -> Iterator[Callable[[], None]]:
    """A running qcluster; yields what kills it, with all its processes, by signal 9."""
    process = subprocess.Popen(
        [sys.executable, "sample_project/manage.py", "qcluster"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def kill() -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)

    try:
        yield kill
    finally:
        kill()


@contextmanager
def waking(environment: dict[str, str]) -> Iterator[None]:
    """As the door does after a start, beside the block: the heartbeat says that a cluster works here, nobody else."""
    Heartbeat.objects.update_or_create(name=CLUSTER, defaults={"beat_at": timezone.now()})
    command = [sys.executable, "-m", "tests.background.wake_process"]
    with subprocess.Popen(command, cwd=ROOT, env=environment):
        yield


def until(come_true: Callable[[], Any], environment: dict[str, str]) -> None:
    """Wake the cluster until it has done it: a lost task costs a minute in life, and another task here."""
    give_up_at = time.monotonic() + TIMEOUT_SECONDS
    while not come_true():
        assert time.monotonic() < give_up_at, list(Attempt.objects.values("status", "next_poll_at", "sent_at"))
        with waking(environment):
            for _ in range(30):
                if come_true():
                    break
                time.sleep(0.1)


def test_cluster_sends_asks_and_credits_and_a_kill_loses_nothing(
    environment: dict[str, str], sandbox: RunningSandbox, begin: Begin
) -> None:
    first = [begin(merchant_reference=f"order-{number}") for number in range(3)]
    with cluster(environment) as kill:
        until(lambda: Attempt.objects.filter(status="pending").count() == 3, environment)
        kill()

    second = begin(merchant_reference="order-3")
    with waking(environment):  # a task that nobody takes; one that a killed Redis cluster took is gone for ever
        pass
    for row in sandbox.payments():
        sandbox.approve(row["reference"])
    Attempt.objects.update(next_poll_at=timezone.now())  # the leases of the killed end

    with cluster(environment):
        until(lambda: Credit.objects.count() == 3 and sandbox.prompts() == 4, environment)
        until(lambda: Attempt.objects.get(payment=second).status == "pending", environment)
        sandbox.approve(str(Attempt.objects.get(payment=second).gateway_reference))
        until(lambda: Credit.objects.count() == 4, environment)

    assert (sandbox.prompts(), sandbox.charges()) == (4, 4)
    assert set(Payment.objects.values_list("status", flat=True)) == {"successful"}
    assert {payment.pk for payment in [*first, second]} == set(Credit.objects.values_list("payment_id", flat=True))


@pytest.mark.parametrize("environment", ["redis"], indirect=True)
def test_cluster_killed_in_the_middle_of_sending_asks_nobody_twice(
    environment: dict[str, str], sandbox: RunningSandbox, begin: Begin
) -> None:
    """Killed while it waits for the slow answer of number 17: what it sent is unknown, is found, and is credited."""
    begin(phone_ending="17")
    with cluster(environment) as kill, waking(environment):
        give_up_at = time.monotonic() + TIMEOUT_SECONDS
        while sandbox.prompts() == 0 and time.monotonic() < give_up_at:
            time.sleep(0.05)
        kill()
    assert sandbox.prompts() == 1

    Attempt.objects.update(next_poll_at=timezone.now())  # its lease ends
    with cluster(environment):
        until(lambda: Credit.objects.count() == 1, environment)

    assert (sandbox.prompts(), sandbox.charges()) == (1, 1)
