"""`FeexPayTestCase`: the sandbox, settling, webhooks and the worker for tests that run with `manage.py test`."""

from __future__ import annotations

from django.test import SimpleTestCase, TestCase

from django_feexpay.models import Payment
from django_feexpay.testing import settling
from django_feexpay.testing.running import RunningSandbox, run_sandbox


class FeexPayMixin(SimpleTestCase):
    """For another base class, such as LiveServerTestCase: name the mixin first."""

    feexpay_sandbox: RunningSandbox

    @classmethod
    def setUpClass(cls) -> None:
        """Start one sandbox for the class on a free port: test classes may run in parallel processes."""
        super().setUpClass()
        cls.feexpay_sandbox = cls.enterClassContext(run_sandbox())

    def setUp(self) -> None:
        super().setUp()
        self.enterContext(settling.use_sandbox(self.feexpay_sandbox))

    def feexpay_settle(self, payment: Payment, outcome: str = "successful") -> Payment:
        """FeexPay reports `successful`, `failed`, `declined` or `expired`; your receivers are called."""
        return settling.settle(self.feexpay_sandbox, payment, outcome)

    def feexpay_webhook(self, payment: Payment, event: str = "successful") -> int:
        """Post an event of `feexpay_trigger --list` to your own address; the HTTP code of the answer."""
        return settling.post_webhook(payment, event)

    def feexpay_work(self) -> int:
        """Send, let the sandbox's payers decide, ask FeexPay about every open payment, deliver signals."""
        return settling.work(self.feexpay_sandbox)


class FeexPayTestCase(FeexPayMixin, TestCase):
    """A Django TestCase whose payments go to a sandbox of its own, empty at the start of each test."""
