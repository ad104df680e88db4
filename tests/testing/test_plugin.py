"""The pytest fixtures as a host's tests use them. The plugin does nothing in a project without Django."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from pytest_django.live_server_helper import LiveServer

import django_feexpay
from django_feexpay.models import Credit, Payment, WebhookDelivery
from django_feexpay.testing.running import RunningSandbox
from tests.conftest import Configure
from tests.payments.fakes import Recorder

pytestmark = pytest.mark.django_db

Settle = Callable[..., Payment]


@pytest.fixture(autouse=True)
def free_top_up(configure: Configure) -> None:
    configure(PAYABLE="any_amount")


def start(user: Any, ending: str = "50", **changes: Any) -> Payment:
    order = {"provider": "mtn_bj", "amount": 500, "phone": f"01 61 00 00 {ending}"} | changes
    return django_feexpay.start_payment(user=user, **order)


@pytest.fixture
def player(django_user_model: Any) -> Any:
    return django_user_model.objects.create_user("ama")


@pytest.mark.parametrize(
    ("outcome", "status", "reason"),
    [
        ("successful", "successful", ""),
        ("failed", "failed", "low_balance"),
        ("declined", "failed", "payer_declined"),
        ("expired", "failed", "expired"),
    ],
)
def test_settle_settles_a_payment_and_calls_receivers(
    feexpay_settle: Settle, player: Any, outcome: str, status: str, reason: str, signals: Recorder
) -> None:
    payment = feexpay_settle(start(player), outcome)

    assert (payment.public_status, payment.attempt.reason_code) == (status, reason)
    assert Credit.objects.count() == (status == "successful")
    assert signals.names(payment) == [f"payment_{'succeeded' if status == 'successful' else 'failed'}"]


def test_settle_first_sends_a_queued_payment(feexpay_settle: Settle, player: Any, configure: Configure) -> None:
    configure(DISPATCH="queue")
    payment = start(player)
    assert payment.status == "created"

    assert feexpay_settle(payment).status == "successful"


def test_error_of_settle_names_the_reason(feexpay_settle: Settle, player: Any) -> None:
    payment = start(player)
    with pytest.raises(ValueError, match="'paid' is none of successful, failed, declined, expired"):
        feexpay_settle(payment, "paid")
    feexpay_settle(payment, "successful")
    with pytest.raises(AssertionError, match="is successful .* not declined"):
        feexpay_settle(payment, "declined")
    unreachable = start(player, "11")
    with pytest.raises(AssertionError, match="FeexPay was never asked"):
        feexpay_settle(unreachable)


def test_sandbox_is_empty_at_the_start_of_a_test(feexpay_sandbox: RunningSandbox, player: Any) -> None:
    assert (feexpay_sandbox.payments(), feexpay_sandbox.charges()) == ([], 0)
    assert feexpay_sandbox.feexpay.items() <= django_settings.FEEXPAY.items()
    feexpay_sandbox.change(success_code=202)
    payment = start(player)
    assert feexpay_sandbox.prompts(str(payment.attempt.pk)) == 1


@pytest.fixture
def host_with_a_limit(configure: Configure) -> None:
    configure(PROMPTS_PER_PHONE=2)


def test_number_of_prompts_is_not_limited_in_tests(
    host_with_a_limit: None, feexpay_sandbox: RunningSandbox, player: Any
) -> None:
    assert django_settings.FEEXPAY["PROMPTS_PER_PHONE"] == 0
    for number in range(8):
        start(player, merchant_reference=f"order-{number}")

    assert feexpay_sandbox.prompts() == 8


def test_sandbox_settings_are_reset_for_each_test(feexpay_sandbox: RunningSandbox) -> None:
    conditions = feexpay_sandbox.get("/control/conditions").json()["conditions"]
    assert (conditions["success_code"], feexpay_sandbox.payments()) == (200, [])


def test_host_settings_are_restored_after_a_test() -> None:
    assert django_settings.FEEXPAY["BASE_URL"] == "http://127.0.0.1:9/api"


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("00", "successful"),
        ("01", "failed"),
        ("02", "failed"),
        ("03", "failed"),
        ("04", "pending"),
        ("05", "successful"),
        ("06", "successful"),
        ("07", "successful"),
        ("08", "successful"),
        ("09", "successful"),
        ("10", "successful"),
        ("11", "pending"),
        ("12", "failed"),
        ("13", "pending"),
        ("14", "pending"),
        ("15", "successful"),
        ("16", "successful"),
        ("17", "successful"),
        ("18", "successful"),
        ("50", "pending"),
    ],
)
def test_work_right_after_the_start_settles_what_the_payer_decides(
    feexpay_work: Callable[[], int], player: Any, ending: str, status: str
) -> None:
    payment = start(player, ending)

    feexpay_work()

    payment.refresh_from_db()
    assert payment.public_status == status
    assert Credit.objects.count() == (status == "successful")


def test_work_sends_and_settles_queued_payments(
    feexpay_work: Callable[[], int], player: Any, configure: Configure
) -> None:
    configure(DISPATCH="queue")
    payment = start(player, "00")

    assert feexpay_work() == 2

    payment.refresh_from_db()
    assert payment.status == "successful"


@pytest.mark.parametrize(
    "payment_request", [{"provider": "wave_ci", "phone": "07 00 00 00 50"}, {"provider": "visa", "phone": ""}]
)
def test_work_does_not_close_an_open_page(
    feexpay_work: Callable[[], int], player: Any, payment_request: dict[str, Any]
) -> None:
    payment = start(player, **payment_request)

    feexpay_work()

    payment.refresh_from_db()
    assert payment.public_status == "pending"


def test_work_finds_a_reversal_that_a_webhook_reports(
    feexpay_sandbox: RunningSandbox,
    feexpay_settle: Settle,
    feexpay_webhook: Callable[..., int],
    feexpay_work: Callable[[], int],
    player: Any,
    signals: Recorder,
) -> None:
    payment = feexpay_settle(start(player))
    feexpay_sandbox.reverse(str(payment.attempt.gateway_reference), webhook=False)

    assert feexpay_webhook(payment, "failed") == 200
    feexpay_work()

    assert signals.names(payment) == ["payment_succeeded", "payment_reversed"]


def test_error_of_the_sandbox_names_the_unknown_setting(feexpay_sandbox: RunningSandbox) -> None:
    with pytest.raises(OSError, match="there is no setting 'speed'"):
        feexpay_sandbox.change(speed=9)


# --- other host projects ---


def _pytest(folder: Path, test: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(test)
    # Without this repository's settings, because the folder stands for a host's project.
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO", "PYTEST", "COV"))}
    others = [option for name in ("cacheprovider", "xdist", "schemathesis") for option in ("-p", f"no:{name}")]
    command = [sys.executable, "-m", "pytest", "-q", *others, "test_it.py"]
    return subprocess.run(
        command, cwd=folder, env=plain | environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_plugin_imports_nothing_in_a_project_without_django(tmp_path: Path) -> None:
    test = """
import sys
def test_nothing_was_imported():
    heavy = ("django_feexpay.models", "django_feexpay.testing.running", "requests", "starlette", "rest_framework")
    assert [name for name in heavy if name in sys.modules] == []
"""
    done = _pytest(tmp_path, test)
    assert "1 passed" in done.stdout, done.stdout


def test_error_of_a_fixture_names_the_missing_settings(tmp_path: Path) -> None:
    test = "def test_it(feexpay_sandbox): pass\ndef test_too(feexpay_work): pass\n"
    done = _pytest(tmp_path, test)
    assert done.stdout.count("the feexpay fixtures need Django settings") >= 2, done.stdout
    assert "2 errors" in done.stdout


def test_plugin_can_be_switched_off(tmp_path: Path) -> None:
    done = _pytest(tmp_path, "def test_it(feexpay_work): pass\n", PYTEST_ADDOPTS="-p no:feexpay")
    assert "fixture 'feexpay_work' not found" in done.stdout


@pytest.mark.django_db(transaction=True)
def test_sandbox_sends_webhooks_to_a_live_server(
    feexpay_sandbox: RunningSandbox, live_server: LiveServer, feexpay_work: Callable[[], int], player: Any
) -> None:
    feexpay_sandbox.change(webhook_url=f"{live_server.url}/api/v1/payments/feexpay/webhook/")
    payment = start(player, "00")

    give_up_at = time.monotonic() + 60
    while not WebhookDelivery.objects.filter(attempt=payment.attempt).exists():
        assert time.monotonic() < give_up_at, feexpay_sandbox.payments()
        time.sleep(0.02)
    feexpay_work()

    assert Credit.objects.filter(payment=payment).count() == 1


@pytest.mark.parametrize("outcome", ["successful", "declined"])
@pytest.mark.parametrize(
    "payment_request",
    [
        {"provider": "coris_bj"},
        {"provider": "orange_bf", "phone": "70 00 00 50", "otp": "123456"},
        {"provider": "wave_ci", "phone": "07 00 00 00 50"},
        {"provider": "visa", "phone": ""},
    ],
    ids=lambda payment_request: payment_request["provider"],
)
def test_settle_supports_every_flow(
    feexpay_settle: Settle, player: Any, payment_request: dict[str, Any], outcome: str
) -> None:
    payment = feexpay_settle(start(player, **payment_request), outcome)

    assert payment.public_status == ("successful" if outcome == "successful" else "failed")
