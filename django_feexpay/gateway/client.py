"""FeexPay's v2 API as five questions: collect, open_page, fetch_status, search_history, balance.

Every method returns a value of reports.py or raises one of the four errors of errors.py, by what the caller
does next. Nothing is ever sent twice from here: FeexPay knows no idempotency key, so a repeated collect is a
second charge.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TypeVar
from urllib.parse import quote, urlsplit

from django_feexpay.catalogue.outcomes import Word
from django_feexpay.catalogue.providers import ProviderSpec
from django_feexpay.gateway.addresses import LOOPBACK, why_refused
from django_feexpay.gateway.errors import (
    GatewayError,
    MisconfiguredError,
    NotSentError,
    OutcomeUnknownError,
    RefusedError,
)
from django_feexpay.gateway.refusals import (
    IN_MAINTENANCE,
    PAYMENT_NAMED,
    failure_of_read,
    is_not_found,
    refusal_of_collect,
)
from django_feexpay.gateway.reports import (
    Accepted,
    HistoryPage,
    HostedPage,
    StatusReport,
    accepted_from,
    balances_from,
    history_page_from,
    hosted_page_from,
    json_object,
    names_payment,
    status_report_from,
    usable_reference,
)
from django_feexpay.gateway.request_bodies import (
    LONGEST_HISTORY_DAYS,
    CollectRequest,
    PageRequest,
    collect_body,
    history_body,
    page_body,
)
from django_feexpay.gateway.transport import (
    REPLY_LIMIT_BYTES,
    HttpTransport,
    Timeouts,
    Transport,
    WireReply,
    WireRequest,
)
from django_feexpay.private import PrivateBytes, PrivateText

__all__ = [
    "LONGEST_HISTORY_DAYS",
    "CallSeen",
    "CollectRequest",
    "Gateway",
    "PageRequest",
    "Timeouts",
    "Transport",
]

#: 500 rows of at most 4 kB: cut, a busy day would hide the attempt that is looked for.
_HISTORY_LIMIT_BYTES = 2 * 1024 * 1024
_HEADER_SAFE = re.compile(r"[!-~]+")

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSeen:
    """One call as an observer sees it. operation: collect, page, status, history or balance.

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
    sandbox_allowed: outside production base_url may be a sandbox on this machine, and http there and on
    insecure_hosts; payers may be sent to pages there over http.
    observer: called after every call, answered or not; it must not raise.
    Raises ValueError for a base_url or a proxy that is none. A base_url that is not allowed, and an empty or unusable
    key or shop, raise MisconfiguredError at each call, before anything is sent.
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
        insecure_hosts: Collection[str] = (),
        sandbox_allowed: bool = False,
    ) -> None:
        self._api_key = api_key
        self._shop_id = shop_id
        self._base_url = _checked_base_url(base_url)
        self._timeouts = timeouts
        self._transport = HttpTransport(proxy=proxy) if transport is None else transport
        self._observer = observer
        self._refusal = why_refused(base_url, insecure_hosts=insecure_hosts, sandbox_allowed=sandbox_allowed)
        self._insecure_hosts = LOOPBACK.union(insecure_hosts) if sandbox_allowed else frozenset()

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
        body = collect_body(request, self._shop_id)
        return self._ask(
            call,
            lambda: self._request("POST", path, body, total_seconds, fresh_connection=True),
            lambda reply: _judge_collect(reply, request, self._insecure_hosts),
        )

    def open_page(self, request: PageRequest) -> HostedPage:
        """Have a page made on which the payer pays once, within its minutes.

        Nobody is charged by it, and a page whose address did not reach us cannot be paid on: so whatever is no page
        and no refusal raises NotSentError (ask again). But an answer that speaks of a payment raises
        OutcomeUnknownError. Also raises RefusedError, MisconfiguredError.
        """
        if request.provider.flow != "hosted" or not request.provider.served:
            raise RefusedError("this provider has no page", code="provider_unavailable")
        body = page_body(request, self._shop_id)
        try:
            return self._ask(
                _Call("page", request.provider.code),
                lambda: self._request("POST", "/feexlinks/generate", body, None),
                lambda reply: _judge_page(reply, self._insecure_hosts),
            )
        except OutcomeUnknownError as error:
            if error.code == PAYMENT_NAMED:
                raise
            if error.code == IN_MAINTENANCE:
                raise RefusedError(str(error), code=error.code) from error
            wait = error.retry_after_seconds
            raise NotSentError(f"no page came: {error}", code="no_page", retry_after_seconds=wait) from error

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
        self,
        start: date,
        end: date,
        *,
        provider: ProviderSpec | None = None,
        word: Word | None = None,
        total_seconds: float | None = None,
    ) -> HistoryPage:
        """The payments of those days, both included, at most 31 days apart and 500 rows.

        provider: ignored where FeexPay cannot filter by it, so look at the rows' own. Raises ValueError for a
        period or a word that cannot be asked for, else the errors of fetch_status.
        """
        body = history_body(start, end, provider, word, self._shop_id)
        return self._ask(
            _Call("history", provider.code if provider else None),
            lambda: self._request(
                "POST", "/transactions/history", body, total_seconds, reply_limit_bytes=_HISTORY_LIMIT_BYTES
            ),
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
        self._check_settings()
        headers = {
            "Authorization": PrivateText(f"Bearer {self._api_key}"),
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
            body=None if body is None else PrivateBytes(json.dumps(body).encode("ascii")),
            timeouts=self._limits(total_seconds),
            fresh_connection=fresh_connection,
            reply_limit_bytes=reply_limit_bytes,
        )

    def _check_settings(self) -> None:
        if self._refusal:
            raise MisconfiguredError(f"BASE_URL is not used: {self._refusal}", code="unsafe_address")
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


def _judge_collect(reply: WireReply, request: CollectRequest, insecure_hosts: Collection[str]) -> Accepted:
    if not 200 <= reply.status < 300:
        raise refusal_of_collect(reply.status, reply.headers, reply.body)
    body = json_object(reply.body)
    otp_expected = request.provider.sends_otp_later and not request.otp
    accepted = None if body is None else accepted_from(body, otp_expected=otp_expected)
    if accepted is None:
        raise OutcomeUnknownError(f"answered {reply.status} without a reference")
    if accepted.redirect_url is not None and not _may_send_to(accepted.redirect_url, insecure_hosts):
        return replace(accepted, redirect_url=None)
    return accepted


def _judge_page(reply: WireReply, insecure_hosts: Collection[str]) -> HostedPage:
    if not 200 <= reply.status < 300:
        raise refusal_of_collect(reply.status, reply.headers, reply.body)
    body = json_object(reply.body)
    page = None if body is None else hosted_page_from(body)
    if page is None or not _may_send_to(page.url, insecure_hosts):
        if body is not None and names_payment(body):
            raise OutcomeUnknownError(f"answered {reply.status} and named a payment", code=PAYMENT_NAMED)
        raise OutcomeUnknownError(f"answered {reply.status} without a page to open")
    return page


def _may_send_to(url: str, insecure_hosts: Collection[str]) -> bool:
    """Over http a payer's card or PIN would travel in clear."""
    parts = urlsplit(url)
    return parts.username is None and (parts.scheme == "https" or parts.hostname in insecure_hosts)


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
