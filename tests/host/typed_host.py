"""A host's typed code, right and wrong. `make check` reads it with mypy; no test runs it.

Mypy refuses a `type: ignore` that it does not need, so it must find each mistake below.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, assert_type
from uuid import UUID

from django.contrib.auth.models import User
from django.http import HttpRequest

import django_feexpay
from django_feexpay import NotAllowedError, ProviderCode, Quote
from django_feexpay.models import Payment


class Orders(django_feexpay.Payable):
    def price(
        self, *, user: Any, merchant_reference: str, amount: int, currency: str, metadata: Mapping[str, Any]
    ) -> int:
        return 5000

    def paid(self, payment: Payment, event_id: UUID) -> None:
        assert_type(payment.credit.amount, int)


def buy(request: HttpRequest, user: User) -> Payment:
    try:
        payment = django_feexpay.start_payment(
            user=user, provider=ProviderCode.MTN_BJ, amount=5000, phone="01 61 00 00 50", merchant_reference="order-17"
        )
    except NotAllowedError as error:
        assert_type(error.code, str)
        raise
    assert_type(payment, Payment)
    assert_type(django_feexpay.retry_payment(payment.pk, phone="01 62 00 00 00"), Payment)
    assert_type(django_feexpay.reconcile_payment(UUID(int=7)), Payment)
    assert_type(django_feexpay.quote(provider="mtn_bj", amount=Decimal(5000)), Quote)
    assert_type(django_feexpay.guess_provider("+229 01 61 00 00 50"), ProviderCode | None)
    django_feexpay.start_payment(user=request.user, provider="mtn_bj", amount=5000)
    django_feexpay.start_payment(user=None, provider="mtn_bj", amount=5000)
    assert_type(django_feexpay.checkout_url(user, "order-17", 5000, "/thanks/", request=request), str)
    assert_type(django_feexpay.read_return(request), Payment | None)
    return payment


async def buy_from_an_asynchronous_view(user: User) -> None:
    assert_type(await django_feexpay.astart_payment(user=user, provider="mtn_bj", amount=5000), Payment)


def mistakes(user: User) -> None:
    django_feexpay.start_payment(user=user, provider="mtn_bj", amount=50.0)  # type: ignore[arg-type]
    django_feexpay.start_payment(user=user, provider="mtn_bj", amount=5, merchant_ref="")  # type: ignore[call-arg]
    django_feexpay.start_payment(user=1, provider="mtn_bj", amount=5000)  # type: ignore[arg-type]
    django_feexpay.start_payment(user, "mtn_bj", 5000)  # type: ignore[call-arg]
    django_feexpay.astart_payment(user=user, provider="mtn_bj", amount=5, merchant_ref="")  # type: ignore[call-arg]
    django_feexpay.checkout_url(user, "order-17", 50.0, "/thanks/")  # type: ignore[arg-type]
    django_feexpay.retry_payment(7)  # type: ignore[arg-type]
    django_feexpay.nonsense()  # type: ignore[attr-defined]
    django_feexpay.ProviderCode.MTN_BENIN.upper()  # type: ignore[attr-defined]
    from django_feexpay import Nonsense  # type: ignore[attr-defined]  # noqa: F401
