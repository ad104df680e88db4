from __future__ import annotations

from django.db import models


class Order(models.Model):
    price = models.PositiveIntegerField()
    is_paid = models.BooleanField(default=False)
