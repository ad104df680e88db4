"""Reference views: for each endpoint a minimal view that does the same job with the ORM."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from django_feexpay.models import Payment
from django_feexpay.models.payment import read_payments
from tools.bench.authentication import player
from tools.bench.models import ReferenceDelivery, ReferencePayment

PAGE = 100


@csrf_exempt
def bare(request: HttpRequest) -> JsonResponse:
    return JsonResponse({})


class EmptyView(APIView):
    authentication_classes = ()
    permission_classes = ()

    def get(self, request: Request) -> Response:
        return Response({})


@csrf_exempt
def webhook(request: HttpRequest) -> HttpResponse:
    """Check the HMAC, store the delivery, lock and update the payment."""
    good = hmac.new(settings.WEBHOOK_SECRET.encode(), request.body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(good, request.headers.get("X-FeexPay-Signature", "")):
        return HttpResponse(status=401)
    body = json.loads(request.body)
    delivery = ReferenceDelivery(event_id=good, reference=body["reference"], body=body)
    with transaction.atomic():
        ReferenceDelivery.objects.bulk_create([delivery], ignore_conflicts=True)
        payment = ReferencePayment.objects.select_for_update().get(reference=body["reference"])
        payment.status = body["status"]
        payment.save(update_fields=["status", "updated_at"])
    return JsonResponse({"received": True})


def status(request: HttpRequest, payment_id: UUID) -> JsonResponse:
    """Run the SELECT of `GET {id}/status/` and answer its columns."""
    payment = read_payments().get(user=player(), pk=payment_id)
    return JsonResponse(
        {
            "id": str(payment.pk),
            "status": payment.status,
            "provider": payment.provider.name,
            "amount": payment.amount,
            "currency": payment.currency,
            "reference": payment.attempt.gateway_reference,
            "phone": payment.attempt.masked_msisdn,
            "created_at": payment.created_at.isoformat(),
            "updated_at": payment.updated_at.isoformat(),
        }
    )


class PaymentSerializer(serializers.ModelSerializer[Payment]):
    """The public columns of a payment. Computed fields are left out, which favours the reference."""

    provider_name = serializers.CharField(source="provider.name")
    phone = serializers.CharField(source="latest_attempt.masked_msisdn")
    reference = serializers.CharField(source="latest_attempt.gateway_reference")
    redirect_url = serializers.CharField(source="latest_attempt.redirect_url")
    otp_required = serializers.BooleanField(source="latest_attempt.otp_required")
    attempt_count = serializers.IntegerField(source="latest_attempt.ordinal")
    expires_at = serializers.DateTimeField(source="latest_attempt.expires_at")

    class Meta:
        model = Payment
        fields = (
            *("id", "status", "provider", "provider_name", "amount", "currency", "charged_amount"),
            *("charged_currency", "exchange_rate", "fee", "phone", "merchant_reference", "reference", "redirect_url"),
            *("otp_required", "attempt_count", "created_at", "updated_at", "expires_at", "settled_at", "metadata"),
        )


class HistoryView(APIView):
    """Rows through a ModelSerializer, as in a usual DRF project."""

    def get(self, request: Request) -> Response:
        rows = Payment.objects.select_related("provider", "latest_attempt").filter(user=player())
        page = rows.order_by("-created_at", "-id")[:PAGE]
        return Response({"results": PaymentSerializer(page, many=True).data})


@csrf_exempt
def initiate(request: HttpRequest) -> JsonResponse:
    """One INSERT before the gateway call and one UPDATE after it, without the call itself."""
    body: dict[str, Any] = json.loads(request.body)
    payment = ReferencePayment.objects.create(reference=uuid4().hex, status="sending", amount=body["amount"])
    payment.status, payment.gateway_reference = "pending", uuid4().hex
    payment.save(update_fields=["status", "gateway_reference", "updated_at"])
    return JsonResponse({"id": payment.pk, "status": payment.status}, status=201)
