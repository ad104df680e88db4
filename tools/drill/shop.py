"""What the drill does with the sample shop: pay, approve, compare, count. Needs Django set up."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any

import psycopg
from django.contrib.auth import get_user_model
from django.db import Error, connection
from django.db.models import Count, Max, Min

from django_feexpay import conf, start_payment
from django_feexpay.background.worker import Worker
from django_feexpay.models import Attempt, Credit, Discrepancy, Payment
from django_feexpay.payments.ledger import Source
from django_feexpay.payments.reconciliation.run import begin, compare
from django_feexpay.testing.running import RunningSandbox
from tools.drill.cluster import wait_until


class Shop:
    """Payments are named by their order."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        self._sandbox = sandbox
        self._user = get_user_model().objects.create_user("payer")
        self._references: dict[str, str] = {}
        self._number = 0

    def started_payments(self, group: str, count: int) -> list[str]:
        return [self._start(f"{group}-{number}") for number in range(count)]

    def credited_payments(self, group: str, count: int) -> list[str]:
        orders = self.started_payments(group, count)
        self.approve(orders)
        return orders

    def approve(self, orders: list[str]) -> None:
        """The payers pay, and the worker credits."""
        for order in orders:
            self._sandbox.approve(self._references[order])
        wait_until(lambda: self._swept_until_credited(orders))

    def try_payment(self, order: str) -> str:
        """Empty while the database is away."""
        try:
            return self._start(order)
        except Error:
            self.disconnect()
            return ""

    def credits(self) -> int:
        return Credit.objects.count()

    def doubled(self) -> int:
        """Charges with more than one credit, and credits without a charge."""
        twice = Credit.objects.values("attempt_id").annotate(times=Count("pk")).filter(times__gt=1).count()
        return twice + max(0, self.credits() - self._sandbox.charges())

    def known(self, orders: list[str]) -> int:
        return Payment.objects.filter(merchant_reference__in=orders, credit__isnull=False).count()

    def references(self, orders: list[str]) -> set[str]:
        return {self._references[order] for order in orders}

    def compare(self) -> set[str]:
        """Compare with FeexPay's history; the references of charges that no row knows."""
        clock, ahead = conf.DatabaseClock(), timedelta(hours=25)
        with conf.use_clock(lambda: clock() + ahead):
            sent = Attempt.objects.aggregate(first=Min("sent_at"), last=Max("sent_at"))
            first, last = (sent[name].astimezone(UTC).date() for name in ("first", "last"))
            compare(begin(first, last), source=Source.COMMAND)
        rows = Discrepancy.objects.filter(attempt__isnull=True)
        return {str(reference) for reference in rows.values_list("gateway_reference", flat=True)}

    def use_either(self, *ports: int) -> None:
        """Connect to whichever server accepts writes: libpq tries all of them."""
        self.disconnect()
        settings: dict[str, Any] = connection.settings_dict
        settings["HOST"] = ",".join(["127.0.0.1"] * len(ports))
        settings["PORT"] = ",".join(map(str, ports))
        settings["OPTIONS"] = {**settings.get("OPTIONS", {}), "target_session_attrs": "read-write"}

    def stored_in(self, address: str, order: str) -> bool:
        with psycopg.connect(address) as replica:
            sql = "SELECT count(*) FROM feexpay_payment WHERE merchant_reference = %s"
            row = replica.execute(sql, [order]).fetchone()
        return bool(row and row[0])

    def disconnect(self) -> None:
        connection.close()

    def _start(self, order: str) -> str:
        self._number += 1
        payment = start_payment(
            user=self._user,
            provider="mtn_bj",
            amount=100 + self._number,
            phone=f"0196{self._number:04}50",
            merchant_reference=order,
        )
        self._references[order] = str(payment.attempt.gateway_reference)
        return order

    def _swept_until_credited(self, orders: list[str]) -> bool:
        Attempt.objects.filter(payment__merchant_reference__in=orders, credit__isnull=True).update(
            next_poll_at=conf.now()
        )
        with Worker(concurrency=4) as worker:
            worker.sweep()
        return self.known(orders) == len(orders)
