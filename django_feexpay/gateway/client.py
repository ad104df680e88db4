"""FeexPay's v2 API as four questions: collect, fetch_status, search_history, balance.

Every method returns a value of reports.py or raises one of the four errors of errors.py, by what the caller
does next. Nothing is ever sent twice from here: FeexPay knows no idempotency key, so a repeated collect is a
second charge.
"""

from __future__ import annotations

import json
import re
import time
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TypeVar
from urllib.parse import quote, urlsplit

from django_feexpay.gateway.catalogue import ProviderSpec
from django_feexpay.gateway.errors import (
    GatewayError,
    MisconfiguredError,
    OutcomeUnknownError,
    RefusedError,
)
from django_feexpay.gateway.money import strict_amount
from django_feexpay.gateway.phone import Msisdn
from django_feexpay.gateway.refusals import failure_of_read, is_not_found, refusal_of_collect
from django_feexpay.gateway.reports import (
    Accepted,
    HistoryPage,
    StatusReport,
    Word,
    accepted_from,
    balances_from,
    history_page_from,
    json_object,
    status_report_from,
    usable_reference,
)
from django_feexpay.gateway.transport import (
    REPLY_LIMIT_BYTES,
    HttpTransport,
    Timeouts,
    Transport,
    WireReply,
    WireRequest,
)

__all__ = ["CallSeen", "CollectRequest", "Gateway", "Timeouts", "Transport"]

LONGEST_HISTORY_DAYS = 31
#: 500 rows of at most 4 kB: cut, a busy day would hide the attempt that is looked for.
_HISTORY_LIMIT_BYTES = 2 * 1024 * 1024
_LONGEST_DESCRIPTION = 100
_HEADER_SAFE = re.compile(r"[!-~]+")
_HISTORY_WORDS = {
    None: "ALL",
    Word.PENDING: "PENDING",
    Word.SUCCESSFUL: "SUCCESSFUL",
    Word.FAILED: "FAILED",
}

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class CollectRequest:
    """One attempt to be paid. amount: minor unit, > 0. attempt_id: ours, comes back in every report.

    `repr` shows neither the payer nor the code.
    """

    provider: ProviderSpec = field(repr=False)
    msisdn: Msisdn
    amount: int
    attempt_id: str
    description: str = field(default="", repr=False)
    otp: str = field(default="", repr=False)
    return_url: str = field(default="", repr=False)
    cancel_url: str = field(default="", repr=False)
    first_name: str = field(default="", repr=False)
    last_name: str = field(default="", repr=False)
    email: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSeen:
    """One call as an observer sees it. operation: collect, status, history or balance.

    outcome: `answered`, or the `code` of the error that was raised, which is `error`; http_status: None when there was
    no answer.
    """

    operation: str
    outcome: str
    seconds: float
    provider_code: str | None = None
    http_status: int | None = None
    error: GatewayError | None = field(default=None, repr=False)


class Gateway:
    """FeexPay for one shop. Safe to share between threads and over a fork.

    base_url: `https://api-v2.feexpay.me/api`. proxy: see HttpTransport; only for the default transport.
    observer: called after every call, answered or not; it must not raise.
    Raises ValueError for a base_url or a proxy that is none. An empty or unusable key or shop raises
    MisconfiguredError at the first call, before anything is sent.
    """

    def __init__(
        self,
        *,
        api_key: str,
        shop_id: str,
        base_url: str,
        proxy: str = "",
        timeouts: Timeouts = Timeouts(),  # noqa: B008  frozen, so one shared default is safe
        transport: Transport | None = None,
        observer: Callable[[CallSeen], None] | None = None,
    ) -> None:
        self._api_key = api_key
        self._shop_id = shop_id
        self._base_url = _checked_base_url(base_url)
        self._timeouts = timeouts
        self._transport = HttpTransport(proxy=proxy) if transport is None else transport
        self._observer = observer

    def collect(self, request: CollectRequest, *, total_seconds: float | None = None) -> Accepted:
        """Ask the payer for the money, once, over a connection of its own.

        total_seconds: another deadline than the usual one; a longer one also lets one silence last that long
        (synchronous providers answer when the payer has). Raises NotSentError (surely not asked),
        OutcomeUnknownError (never send again), RefusedError (surely not charged), MisconfiguredError.
        """
        provider = request.provider
        if not provider.suffix:
            raise RefusedError("this provider takes no collect", code="provider_unavailable")
        call = _Call("collect", provider.code)
        path = f"/transactions/public/requesttopay/{provider.suffix}"
        body = _collect_body(request, self._shop_id)
        return self._ask(
            call,
            lambda: self._request("POST", path, body, total_seconds, fresh_connection=True),
            lambda reply: _judge_collect(reply, request),
        )

    def fetch_status(self, reference: str, *, total_seconds: float | None = None) -> StatusReport:
        """What became of the attempt with that reference. Safe to repeat.

        Word.MISSING when FeexPay does not know it, and, without asking, for what cannot be a reference.
        Raises OutcomeUnknownError for no news, NotSentError, MisconfiguredError.
        """
        usable = usable_reference(reference)
        if usable is None:
            return StatusReport(word=Word.MISSING)
        path = f"/transactions/public/single/status/{quote(usable, safe='')}"
        return self._ask(
            _Call("status"),
            lambda: self._request("GET", path, None, total_seconds),
            _judge_status,
        )

    def search_history(
        self, start: date, end: date, *, provider: ProviderSpec | None = None, word: Word | None = None
    ) -> HistoryPage:
        """The payments of those days, both included, at most 31 days apart and 500 rows.

        provider: ignored where FeexPay cannot filter by it, so look at the rows' own. Raises ValueError for a
        period or a word that cannot be asked for, else the errors of fetch_status.
        """
        body = _history_body(start, end, provider, word, self._shop_id)
        return self._ask(
            _Call("history", provider.code if provider else None),
            lambda: self._request("POST", "/transactions/history", body, None, reply_limit_bytes=_HISTORY_LIMIT_BYTES),
            lambda reply: _judge_read(reply, history_page_from),
        )

    def balance(self) -> dict[str, int]:
        """What the shop has with each operator, by FeexPay's name of it. The cheapest question that proves the key.

        Raises the errors of fetch_status.
        """
        return self._ask(
            _Call("balance"),
            lambda: self._request("GET", f"/balance/public/getByShop/{quote(self._shop_id, safe='')}", None, None),
            lambda reply: _judge_read(reply, balances_from),
        )

    def _ask(
        self,
        call: _Call,
        prepare: Callable[[], WireRequest],
        judge: Callable[[WireReply], Value],
    ) -> Value:
        try:
            reply = self._transport.exchange(prepare())
            call.http_status = reply.status
            value = judge(reply)
        except GatewayError as error:
            self._tell(call, error)
            raise
        self._tell(call, None)
        return value

    def _tell(self, call: _Call, error: GatewayError | None) -> None:
        if self._observer is not None:
            self._observer(call.seen(error))

    def _request(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None,
        total_seconds: float | None,
        *,
        fresh_connection: bool = False,
        reply_limit_bytes: int = REPLY_LIMIT_BYTES,
    ) -> WireRequest:
        self._check_credentials()
        headers = {
            "Authorization": f"Bearer {self._api_key}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "django-feexpay",
        }
        if body is not None:
            headers["Content-Type"] = "application/json"
        return WireRequest(
            method=method,
            url=self._base_url + path,
            headers=headers,
            body=None if body is None else json.dumps(body).encode("ascii"),
            timeouts=self._limits(total_seconds),
            fresh_connection=fresh_connection,
            reply_limit_bytes=reply_limit_bytes,
        )

    def _check_credentials(self) -> None:
        if not _HEADER_SAFE.fullmatch(self._api_key):
            raise MisconfiguredError("the API key is empty or holds a space", code="invalid_api_key")
        if not _HEADER_SAFE.fullmatch(self._shop_id):
            raise MisconfiguredError("the shop id is empty or holds a space", code="unknown_shop")

    def _limits(self, total_seconds: float | None) -> Timeouts:
        usual = self._timeouts
        if total_seconds is None:
            return usual
        read = max(usual.read, total_seconds) if total_seconds > usual.total else usual.read
        return Timeouts(connect=usual.connect, read=read, total=total_seconds)


class _Call:
    """One call under way, timed."""

    def __init__(self, operation: str, provider_code: str | None = None) -> None:
        self._operation = operation
        self._provider_code = provider_code
        self._started = time.monotonic()
        self.http_status: int | None = None

    def seen(self, error: GatewayError | None) -> CallSeen:
        return CallSeen(
            operation=self._operation,
            outcome="answered" if error is None else error.code,
            error=error,
            seconds=time.monotonic() - self._started,
            provider_code=self._provider_code,
            http_status=self.http_status,
        )


def reduced_description(text: str) -> str:
    """What FeexPay takes of a description: unaccented letters, digits, single spaces, at most 100."""
    decomposed = unicodedata.normalize("NFKD", text)
    unaccented = "".join(sign for sign in decomposed if not unicodedata.combining(sign))
    return " ".join(re.sub(r"[^A-Za-z0-9]+", " ", unaccented).split())[:_LONGEST_DESCRIPTION].strip()


def _collect_body(request: CollectRequest, shop_id: str) -> dict[str, object]:
    body: dict[str, object] = {
        "phoneNumber": request.msisdn.digits,
        "amount": strict_amount(request.amount),
        "shop": shop_id,
        "callback_info": request.attempt_id,
    }
    optional = {
        "description": reduced_description(request.description),
        "otp": request.otp,
        "return_url": request.return_url,
        "cancel_url": request.cancel_url,
        "first_name": request.first_name,
        "last_name": request.last_name,
        "email": request.email,
    }
    return body | {name: value for name, value in optional.items() if value}


def _history_body(
    start: date, end: date, provider: ProviderSpec | None, word: Word | None, shop_id: str
) -> dict[str, object]:
    if not 0 <= (end - start).days <= LONGEST_HISTORY_DAYS:
        raise ValueError("a history period runs forward and spans at most 31 days")
    if word not in _HISTORY_WORDS:
        raise ValueError("FeexPay's history knows pending, successful and failed")
    can_filter = provider is not None and provider.in_history_filter
    return {
        "start_date": start.isoformat(),
        "end_date": end.isoformat(),
        "shop": shop_id,
        "type": "PAYIN",
        "status": _HISTORY_WORDS[word],
        "reseau": provider.wire_name if provider is not None and can_filter else "ALL",
    }


def _judge_collect(reply: WireReply, request: CollectRequest) -> Accepted:
    if not 200 <= reply.status < 300:
        raise refusal_of_collect(reply.status, reply.headers, reply.body)
    provider = request.provider
    two_steps = provider.flow == "otp" and not provider.otp_in_first_call
    body = json_object(reply.body)
    accepted = None if body is None else accepted_from(body, otp_expected=two_steps and not request.otp)
    if accepted is None:
        raise OutcomeUnknownError(f"answered {reply.status} without a reference")
    return accepted


def _judge_status(reply: WireReply) -> StatusReport:
    if is_not_found(reply.status, reply.body):
        return StatusReport(word=Word.MISSING)
    return _judge_read(reply, status_report_from)


def _judge_read(reply: WireReply, parse: Callable[[Mapping[str, object]], Value | None]) -> Value:
    body = json_object(reply.body) if 200 <= reply.status < 300 else None
    value = None if body is None else parse(body)
    if value is None:
        raise failure_of_read(reply.status, reply.headers, reply.body)
    return value


def _checked_base_url(base_url: str) -> str:
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("the base URL must be http(s)://host/path")
    if parts.username or parts.password:
        raise ValueError("the base URL must not carry credentials")
    return base_url.rstrip("/")
