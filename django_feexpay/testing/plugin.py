"""The pytest plugin: fixtures for projects that take payments with django_feexpay.

pytest loads this file in every project where the package is installed, so it imports only pytest: Django and the
sandbox are imported when a fixture is used. `-p no:feexpay` leaves it out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from django_feexpay.models import Payment
    from django_feexpay.testing.running import RunningSandbox

pytest.register_assert_rewrite("django_feexpay.testing.settling", "django_feexpay.testing.webhook_cases")


@pytest.fixture(scope="session")
def feexpay_sandbox_process() -> Iterator[RunningSandbox]:
    """One sandbox process for the whole run, on a free port; delays are a hundred times shorter there."""
    from django_feexpay.testing.running import run_sandbox

    with run_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def feexpay_sandbox(feexpay_sandbox_process: RunningSandbox) -> Iterator[RunningSandbox]:
    """An empty sandbox with FEEXPAY pointed at it for this test, without a limit of prompts per phone.

    Read what it received: `payments()`, `prompts()`, `charges()`. Decide for the payer: `approve(reference)`.
    Inject faults: `change(…)`.
    """
    _require_settings()
    from django_feexpay.testing.settling import use_sandbox

    with use_sandbox(feexpay_sandbox_process):
        yield feexpay_sandbox_process


@pytest.fixture
def feexpay_settle(feexpay_sandbox: RunningSandbox) -> Callable[..., Payment]:
    """`feexpay_settle(payment, "successful")`, or `failed`, `declined`, `expired`: FeexPay reports it, your receivers
    are called, the payment is returned. The test needs the database.
    """
    from django_feexpay.testing.settling import settle

    def settle_payment(payment: Payment, outcome: str = "successful") -> Payment:
        return settle(feexpay_sandbox, payment, outcome)

    return settle_payment


@pytest.fixture
def feexpay_webhook() -> Callable[..., int]:
    """`feexpay_webhook(payment, "successful")` posts the webhook of FeexPay to your own address, in this process,
    signed as your settings require; returns the HTTP code of the last answer. Events: `feexpay_trigger --list`.
    """
    _require_settings()
    from django_feexpay.testing.settling import post_webhook

    return post_webhook


@pytest.fixture
def feexpay_work(feexpay_sandbox: RunningSandbox) -> Callable[[], int]:
    """`feexpay_work()` sends what is queued, lets the sandbox's payers decide, asks FeexPay about every open payment
    and delivers signals, in the test's own thread and transaction.
    """
    from django_feexpay.testing.settling import work

    return lambda: work(feexpay_sandbox)


def _require_settings() -> None:
    """Fail with a plain message when the test has no Django project."""
    from django.apps import apps
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured

    try:
        configured = bool(settings.INSTALLED_APPS) and apps.ready
    except ImproperlyConfigured:
        configured = False
    if not configured:
        pytest.fail("the feexpay fixtures need Django settings: install pytest-django and name them", pytrace=False)
    if not apps.is_installed("django_feexpay"):
        pytest.fail("the feexpay fixtures need django_feexpay in INSTALLED_APPS", pytrace=False)
