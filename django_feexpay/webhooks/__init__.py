"""The webhook endpoint: it stores a delivery, makes an attempt due and answers, without any call to FeexPay."""

from __future__ import annotations
