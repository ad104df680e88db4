from __future__ import annotations

from django.test import TestCase

from orders.models import Order


class OrderTest(TestCase):
    def test_new_order_is_unpaid(self) -> None:
        assert not Order.objects.create(price=500).is_paid
