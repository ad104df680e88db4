"""The parser of JSON bodies, by the rules of `strict_json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import APIException
from rest_framework.parsers import BaseParser

from django_feexpay import strict_json
from django_feexpay.private import PrivateBytes


class MalformedRequest(APIException):
    """400 `malformed_request`."""

    status_code = 400
    default_code = "malformed_request"


class PayloadTooLarge(APIException):
    """413 `payload_too_large`."""

    status_code = 413
    default_code = "payload_too_large"


class StrictJSONParser(BaseParser):
    """Accepts one JSON object of at most 64 kB."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        try:
            return strict_json.load(PrivateBytes(stream.read(strict_json.MAX_BYTES + 1)))
        except strict_json.BodyTooLargeError as error:
            raise PayloadTooLarge(str(error)) from None
        except strict_json.MalformedBodyError as error:
            raise MalformedRequest(str(error)) from None
