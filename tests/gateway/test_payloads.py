"""FeexPay's bodies, documented or captured, one per file with its source and grade.

Malformed bodies must never settle a payment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_feexpay.catalogue.outcomes import Word
from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.gateway.client import Gateway
from django_feexpay.gateway.errors import (
    GatewayError,
    MisconfiguredError,
    NotSentError,
    OutcomeUnknownError,
    RefusedError,
)
from django_feexpay.gateway.reports import Accepted, HistoryPage, HostedPage, StatusReport, hint_from
from django_feexpay.gateway.request_bodies import PageRequest
from tests.gateway.fixed_reply import ATTEMPT, REFERENCE, attempt, gateway_that_answers

FOLDER = Path(__file__).resolve().parents[1] / "payloads"
PAYLOADS = sorted(FOLDER.glob("*.json"))


def ask(call: str, gateway: Gateway) -> Any:
    """Make the call that such a body replies to."""
    if call.startswith("collect"):
        return gateway.collect(attempt())
    if call.startswith("page"):
        return gateway.open_page(PageRequest(provider=CATALOGUE["visa"], amount=5000, attempt_id=ATTEMPT, minutes=14))
    if call == "status":
        return gateway.fetch_status(REFERENCE)
    return gateway.search_history(date(2026, 7, 1), date(2026, 7, 1))


def read(call: str, status: int, body: Mapping[str, object]) -> dict[str, object]:
    """The parsed body as a flat dict, with the names that the files use."""
    if call == "webhook":
        hint = hint_from(body)
        return {name: getattr(hint, name) for name in ("reference", "reported_status", "link")}
    try:
        value = ask(call, gateway_that_answers(status, body))
    except GatewayError as error:
        return {"error": type(error).__name__, "code": error.code}
    if isinstance(value, HistoryPage):
        return {"custom_id": value.rows[0].custom_id} | _facts(value.rows[0].report)
    return _facts(value)


def _facts(value: Accepted | StatusReport | HostedPage) -> dict[str, object]:
    names = ("reference", "word", "redirect_url", "amount", "echo", "url")
    return {name: getattr(value, name, None) for name in names} | {"reason": getattr(value, "reason_code", None)}


@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: path.stem)
def test_body_of_feexpay_is_read_as_the_file_says(path: Path) -> None:
    payload = json.loads(path.read_text(encoding="utf-8"))

    assert payload["source"]
    assert payload["grade"] in {"A", "B", "C", "D"}
    found = read(payload["call"], payload["http_status"], payload["body"])
    assert {name: found[name] for name in payload["means"]} == payload["means"]


def test_every_kind_of_reply_has_files() -> None:
    calls = {json.loads(path.read_text(encoding="utf-8"))["call"] for path in PAYLOADS}

    assert calls == {"collect", "collect_error", "page", "page_error", "status", "history", "webhook"}


# --- malformed bodies ------------------------------------------------------------------------------------------

_WORDS = st.sampled_from(
    [
        "PENDING",
        "SUCCESSFUL",
        "FAILED",
        "successful ",
        "SUCCESSFUŁ",
        "",
        REFERENCE,
        ATTEMPT,
        "https://x.example/",
        "NaN",
    ]
)
_LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20) | _WORDS
_NAMES = st.sampled_from(
    [
        *("reference", "status", "amount", "callback_info", "custom_id", "data", "total", "reason", "payment_url"),
        *("urlPay", "code", "message", "errors", "response_operator", "phoneNumber", "order_id", "ref_link"),
    ]
)
_JSON = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=6),
    max_leaves=15,
)
_RAW = st.binary(max_size=60) | _JSON.map(lambda value: json.dumps(value).encode())


@given(status=st.integers(100, 599), raw=_RAW)
@pytest.mark.parametrize("call", ["collect", "page", "status", "history"])
def test_malformed_reply_never_becomes_success_failure_or_refusal(call: str, status: int, raw: bytes) -> None:
    try:
        value = ask(call, gateway_that_answers(status, raw))
    except (RefusedError, MisconfiguredError):
        # These errors end the attempt as refused, so they need FeexPay's own error body and an error status.
        assert 400 <= status < 500 or (call, status) == ("page", 503)
        assert isinstance(json.loads(raw.decode("utf-8-sig")), dict)
    except NotSentError:
        assert call == "page"  # a page whose URL did not reach us charges no payer
    except OutcomeUnknownError:
        pass
    else:
        assert_no_false_outcome(value, raw)


def assert_no_false_outcome(value: object, raw: bytes) -> None:
    if isinstance(value, Accepted):
        assert value.reference
        assert value.redirect_url is None or value.redirect_url.startswith("https://")
    if isinstance(value, HostedPage):
        assert value.url.startswith("https://")
    if isinstance(value, StatusReport) and value.word in (Word.SUCCESSFUL, Word.FAILED):
        # The body must contain the final word itself.
        assert value.word.value.upper().encode()[:7] in raw.upper()
