"""OpenAPI descriptions for a host's own DRF views, made like those of our API. Needs the extra `openapi`."""

from __future__ import annotations

from django_feexpay.api.calls import PROBLEMS_ALWAYS, PROBLEMS_SIGNED_IN, PROBLEMS_WITH_BODY, Answer, Call
from django_feexpay.api.openapi import describe
from django_feexpay.api.schema import AMOUNT, INSTANT, TEXT, UUID, described, nullable, one_of, record

__all__ = [
    "AMOUNT",
    "INSTANT",
    "PROBLEMS_ALWAYS",
    "PROBLEMS_SIGNED_IN",
    "PROBLEMS_WITH_BODY",
    "TEXT",
    "UUID",
    "Answer",
    "Call",
    "described",
    "describe",
    "nullable",
    "one_of",
    "record",
]
