from __future__ import annotations

from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token

import django_feexpay
from orders.models import Order


def buy(request: HttpRequest) -> HttpResponse:
    """GET: the page with the form's CSRF token. POST: start the payment of an order."""
    if request.method != "POST":
        return HttpResponse(get_token(request))
    order = Order.objects.get(pk=request.POST["order"])
    payment = django_feexpay.start_payment(
        user=get_user_model().objects.get(),
        provider="mtn_bj",
        amount=order.price,
        phone="01 61 00 00 00",
        merchant_reference=str(order.pk),
    )
    return JsonResponse({"id": str(payment.pk)})
