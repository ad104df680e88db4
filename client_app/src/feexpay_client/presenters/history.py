"""The payer's past payments: newest first, grouped by day, loaded page by page."""

from __future__ import annotations

from typing import Any

from kivy.properties import BooleanProperty, ListProperty, NumericProperty, StringProperty

from feexpay_client.core import errors, receipts
from feexpay_client.core.models import FAILED, SUCCESSFUL, Payment
from feexpay_client.core.session import Session
from feexpay_client.presenters.home import HomePresenter
from feexpay_client.presenters.presenter import Loading
from feexpay_client.presenters.providers import ProvidersPresenter

FILTERS = ("", "successful", "pending", "failed")
_VARIANTS = {SUCCESSFUL: "primary", FAILED: "danger"}


class HistoryPresenter(Loading):
    """`rows` are dicts: a day (`day`) or a payment (`id` and its texts).

    `generation` grows each time the list is rebuilt from its first row.
    """

    session: Session  # only the app has these screens

    rows = ListProperty()
    filters = ListProperty()
    status = StringProperty("")
    generation = NumericProperty(0)
    more = BooleanProperty(False)
    loading_more = BooleanProperty(False)

    def __init__(self, providers: ProvidersPresenter, home: HomePresenter, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._providers, self._home = providers, home
        self._loaded = False
        self._wanted = ""
        self.filters = self._filters()

    def get(self, payment_id: str) -> Payment | None:
        payments = self.session.history.payments if self.session.history is not None else ()
        return next((payment for payment in payments if payment.id == payment_id), None)

    async def fetch(self) -> None:
        """Load the newest page; load again if the payer changed the filter meanwhile."""
        history = self.session.history
        while history is not None:
            asked = self.status
            await history.refresh({"status": asked, "page_size": "20"})
            if asked == self.status:
                self._loaded = True
                self.generation += 1
                return

    def load_more(self) -> None:
        """Load the next page, unless a load is running."""
        if self.more and not self.loading_more and not self.refreshing:
            self.loading_more = True
            self.spawn(self._load_more())

    async def _load_more(self) -> None:
        try:
            if self.session.history is not None:
                await self.session.history.more()
        except errors.ApiError as error:
            self.trouble_text = self.context.trouble(error)
        else:
            self.trouble_text = ""
            self.show()
        finally:
            self.loading_more = False

    def on_status(self, *_args: object) -> None:
        self._loaded, self.rows, self.more = False, [], False
        self.generation += 1
        self.state = "loading"
        self.refresh()

    def forget(self) -> None:
        """Drop the payments of the previous account."""
        self._loaded, self.rows, self.more, self.state = False, [], False, "loading"

    def relabel(self) -> None:
        self.filters = self._filters()
        self.generation += 1
        self.show()

    def show(self) -> None:
        history = self.session.history
        if history is None or not self._loaded:
            return
        rows: list[dict[str, Any]] = []
        for day, payments in history.by_day(self.context.zone):
            rows.append({"day": self.context.day_text(day)})
            rows += [self._row(payment) for payment in payments]
        self.rows = rows
        self.more = not history.complete
        self.state = "ready" if rows else "empty"

    def _filters(self) -> list[tuple[str, str]]:
        return [(status, self.tr(f"history.{status or 'all'}")) for status in FILTERS]

    def _row(self, payment: Payment) -> dict[str, str]:
        provider = self._providers.get(payment.provider)
        at, title = f"{payment.created_at.astimezone(self.context.zone):%H:%M}", self._home.title_of(payment)
        return {
            "id": payment.id,
            "title": title or payment.provider_name,
            "subtitle": f"{at} · {payment.provider_name}" if title else at,
            "amount": self.context.money(payment.charged_amount, payment.charged_currency),
            "state_text": self.tr(f"status.{receipts.shown_status(payment)}"),
            "variant": _VARIANTS.get(receipts.shown_status(payment), "warning"),
            "monogram": provider.badge.monogram if provider else payment.provider_name[:2].upper(),
            "color": provider.badge.color if provider else "",
        }
