"""The payer's payments, page by page, newest first, grouped by day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, tzinfo
from urllib.parse import parse_qs, urlsplit

from feexpay_client.core.api import PaymentsApi
from feexpay_client.core.models import HistoryPage, Payment


class History:
    """The pages loaded so far. `filters` are those of `GET history/`: status, provider, search, …"""

    def __init__(self, api: PaymentsApi) -> None:
        self._api = api
        self._cursor = ""
        self.filters: Mapping[str, str] = {}
        self.payments: tuple[Payment, ...] = ()
        self.complete = False

    async def refresh(self, filters: Mapping[str, str] | None = None) -> tuple[Payment, ...]:
        """Load the newest page. Raises errors.ApiError and then keeps the old list."""
        wanted = self.filters if filters is None else {name: value for name, value in filters.items() if value}
        page = await self._api.history(wanted)
        self.filters, self.payments = wanted, ()
        return self._append(page)

    async def more(self) -> tuple[Payment, ...]:
        """Add the next older page, if there is one. Raises errors.ApiError."""
        if self.complete or not self.payments:
            return self.payments
        return self._append(await self._api.history(self.filters, self._cursor))

    def by_day(self, zone: tzinfo | None = None) -> list[tuple[date, list[Payment]]]:
        """The loaded payments by day in `zone` (default: local), newest first."""
        days: dict[date, list[Payment]] = {}
        for payment in self.payments:
            days.setdefault(payment.created_at.astimezone(zone).date(), []).append(payment)
        return list(days.items())

    def _append(self, page: HistoryPage) -> tuple[Payment, ...]:
        known = {payment.id for payment in self.payments}
        self.payments += tuple(payment for payment in page.results if payment.id not in known)
        # Take only the cursor: behind a proxy, the host in `next` may not be reachable.
        self._cursor = parse_qs(urlsplit(page.next or "").query).get("cursor", [""])[0]
        self.complete = not self._cursor
        return self.payments
