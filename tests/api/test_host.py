"""The Python API for hosts, and a host with the fewest settings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import transaction

import django_feexpay
from django_feexpay.models import Credit, Payment
from django_feexpay.payments.errors import NotAllowedError
from tests.api.caller import row_counts
from tests.payments.fake_gateway import ModelGateway, refuse

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).resolve().parents[2]


def run_python(code: str) -> str:
    """The output of the code in a new Python process without settings."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def start(player: User, **changes: object) -> Payment:
    fields = {"provider": "mtn_bj", "amount": 5000, "phone": "0161000050", "merchant_reference": "order-7"} | changes
    return django_feexpay.start_payment(user=player, **fields)


def test_package_is_imported_without_django_and_without_settings() -> None:
    printed = run_python(
        "import sys, django_feexpay\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "print(django_feexpay.__version__, loaded & {'django', 'rest_framework', 'requests', 'django_q'})"
    )

    assert printed == f"{django_feexpay.__version__} set()"


def test_package_refuses_unknown_names() -> None:
    with pytest.raises(AttributeError, match="no attribute 'stop_payment'"):
        django_feexpay.stop_payment  # noqa: B018  # the attribute access is the test


def test_host_starts_reconciles_and_retries(player: User, gateway: ModelGateway) -> None:
    payment = start(player)
    gateway.last().decline()
    assert django_feexpay.reconcile_payment(payment.pk).public_status == "failed"

    again = django_feexpay.retry_payment(payment.pk, phone="0161000051")
    gateway.last().approve()

    assert again.attempt.ordinal == 2
    assert django_feexpay.reconcile_payment(payment.pk).public_status == "successful"
    assert Credit.objects.get().payment_id == payment.pk


def test_refusal_names_its_reason(player: User, gateway: ModelGateway) -> None:
    before = row_counts()

    with pytest.raises(NotAllowedError, match="provider_unavailable"):
        start(player, provider="mtn_cm")

    assert row_counts() == before


def test_repeated_call_with_a_key_returns_the_same_payment(player: User, gateway: ModelGateway) -> None:
    first = start(player, idempotency_key="order-7")

    assert start(player, idempotency_key="order-7").pk == first.pk
    assert len(gateway.charges) == 1


def test_start_inside_a_transaction_is_refused_and_nothing_is_sent(player: User) -> None:
    before = row_counts()

    with pytest.raises(RuntimeError), transaction.atomic():
        start(player)

    assert row_counts() == before


def test_unknown_payment_raises(player: User) -> None:
    with pytest.raises(Payment.DoesNotExist):
        django_feexpay.reconcile_payment(uuid4())


def test_payment_without_a_user_can_be_started(gateway: ModelGateway) -> None:
    payment = django_feexpay.start_payment(user=None, provider="mtn_bj", amount=5000, phone="0161000050")

    assert (payment.user, payment.public_status) == (None, "pending")


def test_refused_start_is_a_failed_payment(player: User, gateway: ModelGateway) -> None:
    gateway.next_collects.append(refuse())

    assert start(player).public_status == "failed"


def test_host_closes_a_review(player: User, gateway: ModelGateway) -> None:
    payment = start(player)
    gateway.last().approve()
    gateway.last().lies = {"amount": 4999}
    assert django_feexpay.reconcile_payment(payment.pk).detail == "under_review"
    staff = User.objects.create_user("staff")

    closed = django_feexpay.close_review(payment, decision="credit_taken", reason="Paid in full", actor=staff)

    assert (closed.public_status, closed.detail, Credit.objects.get().amount) == ("successful", "credited", 4999)


@pytest.mark.parametrize("call", ["retry_payment", "reconcile_payment"])
def test_feexpay_is_not_asked_inside_a_transaction(player: User, gateway: ModelGateway, call: str) -> None:
    payment = start(player)

    with pytest.raises(RuntimeError), transaction.atomic():
        getattr(django_feexpay, call)(payment.pk)

    assert gateway.questions == 0


def test_urls_need_only_three_apps() -> None:
    printed = run_python(
        "from django.conf import settings\n"
        "settings.configure(\n"
        "    INSTALLED_APPS=['django.contrib.auth', 'django.contrib.contenttypes', 'django_feexpay'],\n"
        "    DATABASES={'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}},\n"
        "    FEEXPAY={'API_KEY': 'k', 'SHOP_ID': 's'}, DEBUG=True, USE_TZ=True,\n"
        ")\n"
        "import django; django.setup()\n"
        "from django_feexpay import urls\n"
        "print(len(urls.urlpatterns))"
    )

    assert int(printed) >= 8
