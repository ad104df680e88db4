"""The minimal tables that the reference views write to."""

from __future__ import annotations

from django.db import models


class ReferencePayment(models.Model):
    reference = models.CharField(max_length=128, unique=True)
    gateway_reference = models.CharField(max_length=128, blank=True)
    status = models.CharField(max_length=16)
    amount = models.BigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.reference


class ReferenceDelivery(models.Model):
    event_id = models.CharField(max_length=64, unique=True)
    reference = models.CharField(max_length=128)
    body = models.JSONField()
    received_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.event_id
