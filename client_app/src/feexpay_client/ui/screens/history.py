"""History screen: payments by day with filters; on a wide window the receipt beside them."""

from __future__ import annotations

from typing import Any

from kivy.clock import Clock

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.screens.result import FeexPayReceipt
from feexpay_client.ui.shell import FeexPayScreen
from feexpay_client.ui.teardown import empty, tear_down
from feexpay_client.ui.widgets.button import FeexPayChip
from feexpay_client.ui.widgets.row import FeexPayPaymentRow, FeexPaySkeleton
from feexpay_client.ui.widgets.text import FeexPayText

#: More rows in one frame would delay it visibly.
_ROWS_PER_FRAME = 8


class FeexPayHistoryScreen(FeexPayScreen):
    """New pages add rows; existing rows stay."""

    def on_kv_post(self, _base: Any) -> None:
        if not self.wide:
            tear_down(self.ids.beside)
            self.remove_widget(self.ids.beside)
        self._shown = 0
        self._generation = -1
        self._receipt: FeexPayReceipt | None = None
        self._showing_skeletons = False
        self._bindings = {
            "rows": self._fill,
            "state": self._fill,
            "generation": self._fill,
            "filters": self._show_filters,
            "status": self._show_filters,
        }
        self.vm.bind(**self._bindings)
        self._show_filters()
        self._fill()

    def leave(self) -> None:
        self.vm.unbind(**self._bindings)
        if self._receipt is not None:
            self._receipt.leave()

    def open(self, payment_id: str) -> None:
        """Show a receipt beside the list, or on its own screen on a phone."""
        self.host.open_receipt(payment_id)
        if self.wide:
            self._show_receipt()
            for row in self.ids.rows.children:
                if isinstance(row, FeexPayPaymentRow):
                    row.chosen = row.payment_id == payment_id

    def _show_receipt(self) -> None:
        box = self.ids.detail
        if self._receipt is None:
            self._receipt = FeexPayReceipt(vm=self.host.receipt, host=self.host, ending=False)
            empty(box)
            box.add_widget(self._receipt)

    def _show_filters(self, *_args: object) -> None:
        box = self.ids.filters
        empty(box)
        for status, words in self.vm.filters:
            chip = FeexPayChip(text=words, active=status == self.vm.status)
            chip.bind(on_release=lambda _chip, chosen=status: setattr(self.vm, "status", chosen))
            box.add_widget(chip)

    def _fill(self, *_args: object) -> None:
        rows = self.ids.rows
        loading = self.vm.state == "loading"
        if self._generation != self.vm.generation or loading or self._showing_skeletons:
            self._generation, self._shown, self._showing_skeletons = self.vm.generation, 0, loading
            empty(rows)
        if loading:
            for _ in range(5):
                rows.add_widget(FeexPaySkeleton(height="68dp", corner="14dp"))
            return
        self._add_rows(0)

    def _add_rows(self, _seconds: float) -> None:
        if self.get_root_window() is None and self._shown:
            return
        new_rows = self.vm.rows[self._shown : self._shown + _ROWS_PER_FRAME]
        for row in new_rows:
            self.ids.rows.add_widget(self._row_widget(row))
        self._shown += len(new_rows)
        if self._shown < len(self.vm.rows):
            Clock.unschedule(self._add_rows)
            Clock.schedule_once(self._add_rows, 0)
        self._open_first()

    def _open_first(self) -> None:
        """On a wide window, show the newest receipt beside the list instead of an empty half."""
        first = next((row["id"] for row in self.vm.rows if "id" in row), "")
        if self.wide and first and self._receipt is None:
            self.open(first)

    def _row_widget(self, row: dict[str, str]) -> Any:
        if "day" in row:
            return FeexPayDay(text=row["day"])
        widget = FeexPayPaymentRow(**{name: value for name, value in row.items() if name != "id"})
        widget.payment_id = row["id"]
        widget.bind(on_release=lambda pressed: self.open(pressed.payment_id))
        return widget


class FeexPayDay(FeexPayText):
    """A heading with the day."""


load_kv(__file__)
