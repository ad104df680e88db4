"""The pytest plugin: fixtures for projects that take payments with django_feexpay.

pytest loads this file in every project where the package is installed, so it imports nothing but pytest: Django,
its settings and the sandbox are met when a fixture is used. `-p no:feexpay` leaves it out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from django_feexpay.models import Payment
    from django_feexpay.testing.running import RunningSandbox


# Test runners switch DEBUG off, and with it the built-in keys of development.
_TESTING_KEYS = {
    "FIELD_KEYS": ["ZGphbmdvLWZlZXhwYXktdGVzdGluZy1maWVsZC1rZXk="],
    "HASH_KEY": "only for tests, and public",
}

pytest.register_assert_rewrite("django_feexpay.testing.settling", "django_feexpay.testing.webhook_cases")


@pytest.fixture(scope="session")
def feexpay_sandbox_process() -> Iterator[RunningSandbox]:
    """One sandbox for the whole run, on a free port of this machine; delays are a hundred times shorter there."""
    from django_feexpay.testing.running import run_sandbox

    with run_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def feexpay_sandbox(feexpay_sandbox_process: RunningSandbox) -> Iterator[RunningSandbox]:
    """A FeexPay that remembers nothing yet, and FEEXPAY pointed at it for this test, without a limit of prompts for a
    phone. Ask it what it saw: `payments()`, `prompts()`, `charges()`; decide for the payer: `approve(reference)`;
    break it: `change(…)`.
    """
    _require_settings()
    from django.conf import settings
    from django.test import override_settings

    feexpay_sandbox_process.reset()
    own = getattr(settings, "FEEXPAY", {})
    keys = {name: key for name, key in _TESTING_KEYS.items() if not own.get(name)}
    sandbox = feexpay_sandbox_process.feexpay
    with override_settings(FEEXPAY={**own, **keys, **sandbox, "PROMPTS_PER_PHONE": 0}):
        yield feexpay_sandbox_process


@pytest.fixture
def feexpay_settle(feexpay_sandbox: RunningSandbox) -> Callable[..., Payment]:
    """`feexpay_settle(payment, "successful")`, or `failed`, `declined`, `expired`: FeexPay says so, it is asked,
    signals are delivered, and the payment is returned as it then stands. The test needs the database.
    """
    from django_feexpay.testing.settling import settle

    def bring(payment: Payment, outcome: str = "successful") -> Payment:
        return settle(feexpay_sandbox, payment, outcome)

    return bring


@pytest.fixture
def feexpay_webhook() -> Callable[..., int]:
    """`feexpay_webhook(payment, "successful")` posts what FeexPay would, to your own address, in this process, signed
    as your settings ask; the HTTP code of the (last) answer. Events: those of `feexpay_trigger --list`.
    """
    _require_settings()
    from django_feexpay import sample_webhooks

    def post(payment: Payment, event: str = "successful") -> int:
        return [sample_webhooks.post(delivery) for delivery in sample_webhooks.deliveries(payment.attempt, event)][-1]

    return post


@pytest.fixture
def feexpay_work() -> Callable[[], int]:
    """`feexpay_work()` is one round of `feexpay_worker`, in the test's own thread and transaction."""
    _require_settings()
    from django_feexpay.testing.settling import work

    return work


def _require_settings() -> None:
    """In words, where there is no Django project around the test."""
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
