"""Serializers of request bodies: they check the form, `payments.terms` checks the meaning."""

from __future__ import annotations

import re
from typing import Any

from django.core.validators import EmailValidator
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from django_feexpay.api.errors import unknown_field
from django_feexpay.payments.terms import METADATA_BYTES, compact_json
from django_feexpay.private import PrivateText

_LARGEST = 2**63 - 1


class StrictString(serializers.CharField):
    """A JSON string, unchanged. Other types are refused, not converted."""

    default_error_messages = {"not_a_string": _("Must be a string.")}

    def __init__(self, **options: Any) -> None:
        super().__init__(trim_whitespace=False, **options)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("not_a_string")
        return super().to_internal_value(data)


class PrivateString(StrictString):
    """A text about the payer: masked in tracebacks (`PrivateText`)."""

    def to_internal_value(self, data: Any) -> str:
        return PrivateText(super().to_internal_value(data))


class StrictInteger(serializers.IntegerField):
    """A JSON integer: not 5.0, not "5", not true."""

    default_error_messages = {"not_an_integer": _("Must be an integer, without quotes and without a decimal point.")}

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("not_an_integer")
        return data


class WrittenInteger(serializers.IntegerField):
    """An integer in a query string, in ASCII digits as JSON writes them."""

    default_error_messages = {"not_an_integer": _("Must be an integer.")}

    def to_internal_value(self, data: Any) -> int:
        if not re.fullmatch("0|[1-9][0-9]{0,18}", str(data)):
            self.fail("not_an_integer")
        return int(data)


class Metadata(serializers.JSONField):
    """A small JSON object that FeexPay never gets."""

    default_error_messages = {
        "not_an_object": _("Must be an object."),
        "too_large": _("At most {limit} bytes of JSON."),
    }

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.fail("not_an_object")
        if len(compact_json(data).encode()) > METADATA_BYTES:
            self.fail("too_large", limit=METADATA_BYTES)
        return data


class StrictInput(serializers.Serializer[Any]):
    """Refuses unknown fields."""

    def to_internal_value(self, data: Any) -> Any:
        unknown = [name for name in data if name not in self.fields]
        if unknown:
            raise serializers.ValidationError(unknown_field(unknown[0]))
        return super().to_internal_value(data)


class InitiateInput(StrictInput):
    provider = StrictString(max_length=32)
    amount = StrictInteger(min_value=1, max_value=_LARGEST)
    currency = StrictString(max_length=3, required=False)
    phone = PrivateString(max_length=40, required=False, allow_blank=True)  # the form for a card may leave it empty
    merchant_reference = StrictString(max_length=64, required=False, allow_blank=True)
    description = PrivateString(max_length=140, required=False, allow_blank=True)
    metadata = Metadata(required=False)
    otp = PrivateString(max_length=16, required=False)
    return_url = StrictString(max_length=500, required=False)
    cancel_url = StrictString(max_length=500, required=False)
    first_name = PrivateString(max_length=100, required=False, allow_blank=True)
    last_name = PrivateString(max_length=100, required=False, allow_blank=True)
    email = PrivateString(max_length=254, required=False, allow_blank=True, validators=[EmailValidator()])


class QuoteInput(StrictInput):
    provider = StrictString(max_length=32)
    amount = WrittenInteger(min_value=1, max_value=_LARGEST)
    currency = StrictString(max_length=3, required=False)


class OtpInput(StrictInput):
    otp = PrivateString(max_length=40)


class RetryInput(StrictInput):
    phone = PrivateString(max_length=40, required=False)
    otp = PrivateString(max_length=16, required=False)
