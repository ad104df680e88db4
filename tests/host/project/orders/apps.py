from __future__ import annotations

from typing import Any

from django.apps import AppConfig


class OrdersConfig(AppConfig):
    name = "orders"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django_feexpay.signals import payment_succeeded

        payment_succeeded.connect(mark_paid, dispatch_uid="orders")


def mark_paid(payment: Any, **kwargs: Any) -> None:
    from orders.models import Order

    Order.objects.filter(pk=int(payment.merchant_reference), price=payment.amount).update(is_paid=True)
