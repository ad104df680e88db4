"""Turn an HTTP error into an `ApiError`. Only our server's problem JSON is a refusal."""

from __future__ import annotations

import email.utils
from collections.abc import Mapping
from datetime import UTC, datetime

from feexpay_client.core import errors
from feexpay_client.core.json_reader import Fields, parse

_DEFAULT_WAIT_SECONDS = 5.0


def problem_of(status: int, content_type: str, raw: bytes, wait: float | None) -> errors.ApiError:
    """The error for an unsuccessful answer. `wait`: its Retry-After in seconds, or None."""
    try:
        if content_type.split(";")[0].strip().lower() != "application/problem+json":
            raise errors.MalformedAnswer(f"HTTP {status}, not a problem")
        return _refusal(status, Fields(parse(raw, "problem"), "problem"), wait)
    except errors.MalformedAnswer as malformed:
        return errors.ServerError(status) if status >= 500 else malformed


def retry_after(headers: Mapping[str, str], now: datetime | None) -> float | None:
    """The seconds of a Retry-After header (seconds or a date); None if missing or invalid."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(min(int(text[:9]), 86_400))
    try:
        at = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if at.tzinfo is None:
        return None
    return max(0.0, (at - (now or datetime.now(UTC))).total_seconds())


def _refusal(status: int, fields: Fields, wait: float | None) -> errors.ApiError:
    code, message, request_id = fields.text("code"), fields.text("detail"), fields.text("request_id")
    details = (message, request_id)
    match status:
        case 401:
            return errors.Unauthorized(code, *details)
        case 404:
            return errors.NotFound(code, *details)
        case 409:
            return errors.Conflict(code, *details, payment_id=fields.optional_text("payment_id"), retry_after=wait)
        case 429 if code == "too_many_prompts":  # waiting seconds does not help: it takes an hour or another number
            return errors.Refused(code, *details)
        case 429:
            return errors.Throttled(_DEFAULT_WAIT_SECONDS if wait is None else wait, *details)
        case 503:
            return errors.Unavailable(code, _DEFAULT_WAIT_SECONDS if wait is None else wait, *details)
        case 400 | 422:
            return errors.Invalid(code, *details, fields=_field_problems(fields))
        case _ if 400 <= status < 500:
            return errors.Refused(code, *details)
        case _:
            return errors.ServerError(status)


def _field_problems(fields: Fields) -> tuple[errors.FieldProblem, ...]:
    rows = (Fields(row, "error") for row in fields.objects("errors"))
    return tuple(errors.FieldProblem(row.text("field"), row.text("code"), row.text("message")) for row in rows)
