"""The payer's payments, page by page, newest first, grouped by day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, tzinfo
from urllib.parse import parse_qs, urlsplit

from feexpay_client.core.api import ApiClient
from feexpay_client.core.models import HistoryPage, Payment


class History:
    """A list that grows at its end. `filters` are those of `GET history/`: status, provider, search, …"""

    def __init__(self, api: ApiClient) -> None:
        self._api = api
        self._cursor = ""
        self.filters: Mapping[str, str] = {}
        self.payments: tuple[Payment, ...] = ()
        self.complete = False

    async def refresh(self, filters: Mapping[str, str] | None = None) -> tuple[Payment, ...]:
        """Start over from the newest. Raises errors.ApiError, and then the list is as it was."""
        wanted = self.filters if filters is None else {name: value for name, value in filters.items() if value}
        page = await self._api.history(wanted)
        self.filters, self.payments = wanted, ()
        return self._take(page)

    async def more(self) -> tuple[Payment, ...]:
        """The next older page, or nothing at the end. Raises errors.ApiError."""
        if self.complete or not self.payments:
            return self.payments
        return self._take(await self._api.history(self.filters, self._cursor))

    def by_day(self, zone: tzinfo | None = None) -> list[tuple[date, list[Payment]]]:
        """What is loaded, by the payer's days (`zone`, default local), newest first."""
        days: dict[date, list[Payment]] = {}
        for payment in self.payments:
            days.setdefault(payment.created_at.astimezone(zone).date(), []).append(payment)
        return list(days.items())

    def _take(self, page: HistoryPage) -> tuple[Payment, ...]:
        known = {payment.id for payment in self.payments}
        self.payments += tuple(payment for payment in page.results if payment.id not in known)
        # The address in `next` names the server as it sees itself, which behind a proxy we may not reach.
        self._cursor = parse_qs(urlsplit(page.next or "").query).get("cursor", [""])[0]
        self.complete = not self._cursor
        return self.payments
