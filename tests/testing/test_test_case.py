"""FeexPayTestCase in a small host project, run with `manage.py test` in one process and in two."""

from __future__ import annotations

from pathlib import Path

import pytest

import django_feexpay.testing
from tests.testing.test_how_to import make_project, run

TESTS = """
import time
import django_feexpay
from django.contrib.auth.models import User
from django.test import LiveServerTestCase
from django_feexpay.testing import FeexPayTestCase
from django_feexpay.testing.test_case import FeexPayMixin
from shop.models import Wallet


def start(user, ending):
    return django_feexpay.start_payment(
        user=user, provider="mtn_bj", amount=500, phone=f"01 61 00 00 {ending}", merchant_reference="pack-1"
    )


class CoinsTest(FeexPayTestCase):
    @classmethod
    def setUpTestData(cls):
        cls.player = User.objects.create_user("ama")

    def test_paid_right_after_the_start(self):
        payment = start(self.player, "00")
        self.feexpay_work()
        payment.refresh_from_db()
        self.assertEqual(payment.status, "successful")
        self.assertEqual(Wallet.objects.get(user=self.player).coins, 50)

    def test_declined(self):
        payment = self.feexpay_settle(start(self.player, "50"), "declined")
        self.assertEqual(payment.attempt.reason_code, "payer_declined")
        self.assertFalse(Wallet.objects.exists())

    def test_webhook_is_not_believed(self):
        payment = start(self.player, "50")
        self.assertEqual(self.feexpay_webhook(payment, "forged"), 200)
        self.feexpay_work()
        self.assertFalse(Wallet.objects.exists())


class EmptySandboxTest(FeexPayTestCase):
    def test_sandbox_is_empty(self):
        self.assertEqual(self.feexpay_sandbox.payments(), [])


class LiveTest(FeexPayMixin, LiveServerTestCase):
    def test_sandbox_posts_webhooks_to_the_live_server(self):
        from django_feexpay.models import WebhookDelivery

        payment = start(User.objects.create_user("ama"), "50")
        self.feexpay_sandbox.change(webhook_url=f"{self.live_server_url}/pay/webhook/")
        self.feexpay_sandbox.approve(payment.attempt.gateway_reference)
        give_up_at = time.monotonic() + 60
        while not WebhookDelivery.objects.filter(attempt=payment.attempt).exists():
            self.assertLess(time.monotonic(), give_up_at)
            time.sleep(0.02)
        self.feexpay_work()
        payment.refresh_from_db()
        self.assertEqual(payment.status, "successful")
"""


@pytest.mark.parametrize("options", [[], ["--parallel", "2"]], ids=["one process", "two processes"])
def test_manage_py_test_runs_the_cases(tmp_path: Path, options: list[str]) -> None:
    make_project(tmp_path, **{"shop/tests.py": TESTS})

    done = run(tmp_path, "manage.py", "test", *options)

    # Not by the line "OK": a thread of the live server may write to the same stream.
    assert done.returncode == 0, done.stdout
    assert "Ran 5 tests in " in done.stdout, done.stdout


def test_package_exports_nothing_else() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Settle'"):
        django_feexpay.testing.Settle  # noqa: B018 -- reading the name is the test
