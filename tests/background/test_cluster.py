"""A real django-q2 cluster, on the Redis broker and on the database broker: it settles, stops and loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone
from django_q.models import Schedule

from django_feexpay.background import tasks
from django_feexpay.models import Attempt, Credit, Heartbeat, Payment
from tests.conftest import Configure
from tests.payments.conftest import Begin
from tests.sandbox.running import API_KEY, ROOT, SHOP_ID, RunningSandbox, run_sandbox

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres_only]

TIMEOUT_SECONDS = 120.0


@pytest.fixture
def sandbox(configure: Configure) -> Iterator[RunningSandbox]:
    """A sandbox at ten times real speed, so that a slow answer takes two seconds, long enough for a kill."""
    with run_sandbox(time_scale=0.1) as sandbox:
        configure(BASE_URL=sandbox.api_url, DISPATCH="queue")
        yield sandbox


@pytest.fixture(params=["orm", "redis"])
def environment(request: pytest.FixtureRequest, sandbox: RunningSandbox) -> dict[str, str]:
    """The environment of the cluster: the test's database, the sandbox, and one of the two brokers."""
    tasks.schedule()
    Schedule.objects.update(next_run=timezone.now() + timedelta(hours=1))  # each task enqueues the next one without it
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
def cluster(environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A running qcluster, killed at the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "sample_project/manage.py", "qcluster"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the cluster with all its processes by signal 9."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=30)


def wake(environment: dict[str, str]) -> None:
    """Wake the cluster, as a web process does after the commit of a start or a webhook."""
    subprocess.run([sys.executable, "-m", "tests.background.wake_process"], cwd=ROOT, env=environment, check=True)


def forget_task() -> None:
    """Treat the task of the killed cluster as lost, as the schedule does 30 s after a kill."""
    Heartbeat.objects.filter(name=tasks.SWEEP_TASK).delete()


def wait_until(condition: Callable[[], Any]) -> None:
    give_up_at = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < give_up_at, list(Attempt.objects.values("status", "next_poll_at", "sent_at"))
        time.sleep(0.1)


def test_cluster_sends_polls_and_credits_after_one_wake_up(
    environment: dict[str, str], sandbox: RunningSandbox, begin: Begin
) -> None:
    """The schedule is not due: the wake-up enqueues the first task, and each task enqueues the next."""
    begin()
    with cluster(environment) as process:
        wake(environment)
        wait_until(lambda: Attempt.objects.filter(status="pending").exists())
        sandbox.approve(str(Attempt.objects.get().gateway_reference))
        wait_until(lambda: Credit.objects.count() == 1)

        process.terminate()
        assert process.wait(TIMEOUT_SECONDS) == 0


def test_kill_of_a_cluster_loses_nothing(environment: dict[str, str], sandbox: RunningSandbox, begin: Begin) -> None:
    first = [begin(merchant_reference=f"order-{number}") for number in range(3)]
    with cluster(environment) as process:
        wake(environment)
        wait_until(lambda: Attempt.objects.filter(status="pending").count() == 3)
        kill(process)

    second = begin(merchant_reference="order-3")
    for row in sandbox.payments():
        sandbox.approve(row["reference"])
    Attempt.objects.update(next_poll_at=timezone.now())  # end the leases of the killed cluster

    with cluster(environment):
        forget_task()
        wake(environment)
        wait_until(lambda: Credit.objects.count() == 3 and sandbox.prompts() == 4)
        wait_until(lambda: Attempt.objects.get(payment=second).status == "pending")
        sandbox.approve(str(Attempt.objects.get(payment=second).gateway_reference))
        wait_until(lambda: Credit.objects.count() == 4)

    assert (sandbox.prompts(), sandbox.charges()) == (4, 4)
    assert set(Payment.objects.values_list("status", flat=True)) == {"successful"}
    assert {payment.pk for payment in [*first, second]} == set(Credit.objects.values_list("payment_id", flat=True))


def test_sigterm_ends_a_cluster_between_sweeps_and_the_next_cluster_continues(
    environment: dict[str, str], sandbox: RunningSandbox, begin: Begin
) -> None:
    begin()
    with cluster(environment) as process:
        wake(environment)
        wait_until(lambda: Attempt.objects.filter(status="pending").exists())
        process.terminate()
        assert process.wait(TIMEOUT_SECONDS) == 0

    sandbox.approve(str(Attempt.objects.get().gateway_reference))
    with cluster(environment):  # its first task is the one that the other left in the broker
        wait_until(lambda: Credit.objects.count() == 1)


@pytest.mark.parametrize("environment", ["redis"], indirect=True)
def test_cluster_killed_while_sending_prompts_no_payer_twice(
    environment: dict[str, str], sandbox: RunningSandbox, begin: Begin
) -> None:
    """It is killed during the slow answer of number 17. The attempt becomes unknown, is found and credited."""
    begin(phone_ending="17")
    with cluster(environment) as process:
        wake(environment)
        wait_until(lambda: sandbox.prompts() == 1)
        kill(process)

    Attempt.objects.update(next_poll_at=timezone.now())  # its lease ends
    with cluster(environment):
        forget_task()
        wake(environment)
        wait_until(lambda: Credit.objects.count() == 1)

    assert (sandbox.prompts(), sandbox.charges()) == (1, 1)
