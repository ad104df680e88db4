"""Client for FeexPay's v2 API: collect, open_page, fetch_status, pay_out, fetch_payout_status, search_history, balance.

Each method returns a value of reports.py or raises one of the errors of errors.py. The client never sends a request
twice: FeexPay has no idempotency key, so a repeated collect is a second charge, and a repeated payout pays twice.
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
from django_feexpay.catalogue.web_addresses import LOOPBACK, why_refused
from django_feexpay.gateway.errors import (
    GatewayError,
    MisconfiguredError,
    NotSentError,
    OutcomeUnknownError,
    RefusedError,
)
from django_feexpay.gateway.refusals import (
    IN_MAINTENANCE,
    INVALID_KEY,
    PAYMENT_NAMED,
    failure_of_read,
    is_not_found,
    refusal_of_collect,
    refusal_of_payout,
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
    CollectRequest,
    PageRequest,
    PayoutRequest,
    collect_body,
    history_body,
    page_body,
    payout_body,
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

#: For 500 rows of at most 4 kB. A smaller limit would hide attempts of a busy day.
_HISTORY_LIMIT_BYTES = 2 * 1024 * 1024
_HEADER_SAFE = re.compile(r"[!-~]+")

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class CallSeen:
    """One finished call, for the observer. operation: collect, page, status, payout, payout_status, history or balance.

    outcome: `answered`, or the `code` of the raised `error`. http_status: None without a reply.
    """

    operation: str
    outcome: str
    seconds: float
    provider_code: str | None = None
    http_status: int | None = None
    error: GatewayError | None = field(default=None, repr=False)


class Gateway:
    """FeexPay's API for one shop. Safe to share between threads and across a fork.

    base_url: `https://api-v2.feexpay.me/api`. proxy: see HttpTransport; only for the default transport.
    sandbox_allowed: base_url may be a sandbox on this machine, and http is accepted there and on insecure_hosts, also
    for the pages where payers are sent. For use outside production.
    observer: called after every call, successful or not; it must not raise.
    another_key: asked once when FeexPay refuses the key, with that key: a key to repeat the call with, or None.

    Raises: ValueError for an invalid base_url or proxy. Each call raises MisconfiguredError before it sends anything if
    base_url is not allowed, or the key or shop is unusable.
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
        another_key: Callable[[str], str | None] | None = None,
        insecure_hosts: Collection[str] = (),
        sandbox_allowed: bool = False,
    ) -> None:
        self._api_key = api_key
        self._shop_id = shop_id
        self._base_url = _checked_base_url(base_url)
        self._timeouts = timeouts
        self._transport = HttpTransport(proxy=proxy) if transport is None else transport
        self._observer = observer
        self._another_key = another_key
        self._refusal = why_refused(base_url, insecure_hosts=insecure_hosts, sandbox_allowed=sandbox_allowed)
        self._insecure_hosts = LOOPBACK.union(insecure_hosts) if sandbox_allowed else frozenset()

    def collect(self, request: CollectRequest, *, total_seconds: float | None = None) -> Accepted:
        """Ask the payer for the money once, over a new connection.

        total_seconds: replaces the usual deadline, and the read timeout if it is longer (synchronous providers reply
        only after the payer has acted).

        Raises: NotSentError, OutcomeUnknownError (never send again), RefusedError, MisconfiguredError.
        """
        provider = request.provider
        if not provider.suffix:
            raise RefusedError("this provider has no collect endpoint", code="provider_unavailable")
        path = f"/transactions/public/requesttopay/{provider.suffix}"
        body = collect_body(request, self._shop_id)
        return self._ask(
            "collect",
            lambda key: self._request(key, "POST", path, body, total_seconds, fresh_connection=True),
            lambda reply: _collect_result(reply, request, self._insecure_hosts),
            provider_code=provider.code,
        )

    def open_page(self, request: PageRequest) -> HostedPage:
        """Request a page on which the payer pays once, within the given minutes.

        The request charges no payer, and no payer can reach a page whose URL did not reach us. So an unknown outcome
        raises NotSentError here (request again), unless the reply names a payment.

        Raises: NotSentError, OutcomeUnknownError (the reply names a payment), RefusedError, MisconfiguredError.
        """
        if request.provider.flow != "hosted" or not request.provider.served:
            raise RefusedError("this provider has no page", code="provider_unavailable")
        body = page_body(request, self._shop_id)
        try:
            return self._ask(
                "page",
                lambda key: self._request(key, "POST", "/feexlinks/generate", body, None),
                lambda reply: _page_result(reply, self._insecure_hosts),
                provider_code=request.provider.code,
            )
        except OutcomeUnknownError as error:
            if error.code == PAYMENT_NAMED:
                raise
            if error.code == IN_MAINTENANCE:
                raise RefusedError(str(error), code=error.code) from error
            wait = error.retry_after_seconds
            raise NotSentError(f"FeexPay gave no page: {error}", code="no_page", retry_after_seconds=wait) from error

    def fetch_status(self, reference: str, *, total_seconds: float | None = None) -> StatusReport:
        """Read the status of the attempt with that reference.

        Returns Word.MISSING if FeexPay does not know the reference. A text that cannot be a reference is not sent: it
        gets Word.MISSING at once.

        Raises: OutcomeUnknownError (no usable reply), NotSentError, MisconfiguredError. Safe to repeat.
        """
        usable = usable_reference(reference)
        if usable is None:
            return StatusReport(word=Word.MISSING)
        path = f"/transactions/public/single/status/{quote(usable, safe='')}"
        return self._ask("status", lambda key: self._request(key, "GET", path, None, total_seconds), _status_result)

    def pay_out(self, request: PayoutRequest) -> Accepted:
        """Pay money out of the shop's balance once, over a new connection. Never tried against FeexPay.

        Raises: NotSentError, OutcomeUnknownError (never send again), RefusedError (nothing was paid),
        MisconfiguredError (nothing was paid).
        """
        body = payout_body(request, self._shop_id)
        return self._ask(
            "payout",
            lambda key: self._request(
                key, "POST", f"/payouts/public/{request.route.path}", body, None, fresh_connection=True
            ),
            lambda reply: _accepted(reply, refusal_of_payout),
        )

    def fetch_payout_status(self, reference: str, *, total_seconds: float | None = None) -> StatusReport:
        """Read the status of the payout with that reference, as `fetch_status` does for an attempt.

        Raises: the errors of fetch_status. Safe to repeat.
        """
        usable = usable_reference(reference)
        if usable is None:
            return StatusReport(word=Word.MISSING)
        path = f"/payouts/status/public/{quote(usable, safe='')}"
        return self._ask(
            "payout_status", lambda key: self._request(key, "GET", path, None, total_seconds), _status_result
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
        """Read the payments of those days, both included, at most 31 days apart and 500 rows.

        provider: ignored if FeexPay cannot filter by it, so check the provider of each row.

        Raises: ValueError for a period or word that FeexPay rejects, and the errors of fetch_status. Safe to repeat.
        """
        body = history_body(start, end, provider, word, self._shop_id)
        return self._ask(
            "history",
            lambda key: self._request(
                key, "POST", "/transactions/history", body, total_seconds, reply_limit_bytes=_HISTORY_LIMIT_BYTES
            ),
            lambda reply: _read_result(reply, history_page_from),
            provider_code=provider.code if provider else None,
        )

    def balance(self) -> dict[str, int]:
        """Read the shop's balance with each operator, by FeexPay's name. The cheapest call that proves the key.

        Raises: the errors of fetch_status. Safe to repeat.
        """
        path = f"/balance/public/getByShop/{quote(self._shop_id, safe='')}"
        return self._ask(
            "balance",
            lambda key: self._request(key, "GET", path, None, None),
            lambda reply: _read_result(reply, balances_from),
        )

    def _ask(
        self,
        operation: str,
        prepare: Callable[[str], WireRequest],
        interpret: Callable[[WireReply], Value],
        *,
        provider_code: str | None = None,
        key: str = "",
    ) -> Value:
        """Exchange one request and interpret the reply; repeat it once with another key if FeexPay refuses ours.

        key: the other key, in the second exchange.
        """
        used = key or self._api_key
        started, http_status = time.monotonic(), None

        def notify(error: GatewayError | None) -> None:
            if self._observer is not None:
                outcome = "answered" if error is None else error.code
                seconds = time.monotonic() - started
                self._observer(CallSeen(operation, outcome, seconds, provider_code, http_status, error))

        try:
            reply = self._transport.exchange(prepare(used))
            http_status = reply.status
            value = interpret(reply)
        except GatewayError as error:
            notify(error)
            # Only a reply that refuses the key proves that nothing was processed, so that a collect may be repeated.
            is_refused = isinstance(error, MisconfiguredError) and error.code == INVALID_KEY and http_status is not None
            other = self._another_key(used) if is_refused and not key and self._another_key else None
            if other is None:
                raise
        else:
            notify(None)
            return value
        return self._ask(operation, prepare, interpret, provider_code=provider_code, key=other)

    def _request(
        self,
        key: str,
        method: str,
        path: str,
        body: Mapping[str, object] | None,
        total_seconds: float | None,
        *,
        fresh_connection: bool = False,
        reply_limit_bytes: int = REPLY_LIMIT_BYTES,
    ) -> WireRequest:
        if self._refusal:
            raise MisconfiguredError(f"BASE_URL is refused: {self._refusal}", code="unsafe_address")
        if not _HEADER_SAFE.fullmatch(key):
            raise MisconfiguredError("the API key is empty or contains a space", code=INVALID_KEY)
        if not _HEADER_SAFE.fullmatch(self._shop_id):
            raise MisconfiguredError("the shop id is empty or contains a space", code="unknown_shop")
        timeouts = self._timeouts
        if total_seconds is not None:
            read = max(timeouts.read, total_seconds) if total_seconds > timeouts.total else timeouts.read
            timeouts = Timeouts(connect=timeouts.connect, read=read, total=total_seconds)
        headers = {
            "Authorization": PrivateText(f"Bearer {key}"),
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
            timeouts=timeouts,
            fresh_connection=fresh_connection,
            reply_limit_bytes=reply_limit_bytes,
        )


def _collect_result(reply: WireReply, request: CollectRequest, insecure_hosts: Collection[str]) -> Accepted:
    otp_expected = request.provider.sends_otp_later and not request.otp
    accepted = _accepted(reply, refusal_of_collect, otp_expected=otp_expected)
    if accepted.redirect_url is not None and not _is_safe_page(accepted.redirect_url, insecure_hosts):
        return replace(accepted, redirect_url=None)
    return accepted


def _accepted(
    reply: WireReply, refusal: Callable[[int, Mapping[str, str], bytes], GatewayError], *, otp_expected: bool = False
) -> Accepted:
    """The acceptance in a reply to a collect or a payout. Raises: what `refusal` makes of any other reply."""
    if not 200 <= reply.status < 300:
        raise refusal(reply.status, reply.headers, reply.body)
    body = json_object(reply.body)
    accepted = None if body is None else accepted_from(body, otp_expected=otp_expected)
    if accepted is None:
        raise OutcomeUnknownError(f"replied {reply.status} without a reference")
    return accepted


def _page_result(reply: WireReply, insecure_hosts: Collection[str]) -> HostedPage:
    if not 200 <= reply.status < 300:
        raise refusal_of_collect(reply.status, reply.headers, reply.body)
    body = json_object(reply.body)
    page = None if body is None else hosted_page_from(body)
    if page is None or not _is_safe_page(page.url, insecure_hosts):
        if body is not None and names_payment(body):
            raise OutcomeUnknownError(f"replied {reply.status} and named a payment", code=PAYMENT_NAMED)
        raise OutcomeUnknownError(f"replied {reply.status} without a page to open")
    return page


def _is_safe_page(url: str, insecure_hosts: Collection[str]) -> bool:
    # Over http the payer's card or PIN would travel unencrypted.
    parts = urlsplit(url)
    return parts.username is None and (parts.scheme == "https" or parts.hostname in insecure_hosts)


def _status_result(reply: WireReply) -> StatusReport:
    if is_not_found(reply.status, reply.body):
        return StatusReport(word=Word.MISSING)
    return _read_result(reply, status_report_from)


def _read_result(reply: WireReply, parse: Callable[[Mapping[str, object]], Value | None]) -> Value:
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
