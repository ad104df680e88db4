"""Pay screen: choose a provider, then fill in the form and see the total."""

from __future__ import annotations

from typing import Any

from kivy.clock import Clock
from kivy.metrics import dp
from kivy.properties import BooleanProperty, ObjectProperty

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.shell import FeexPayScreen
from feexpay_client.ui.teardown import empty, tear_down
from feexpay_client.ui.widgets.button import FeexPayChip
from feexpay_client.ui.widgets.focus import bring_into_view
from feexpay_client.ui.widgets.page import FeexPayTwoColumns
from feexpay_client.ui.widgets.row import FeexPayList, FeexPayListRow, FeexPaySkeleton
from feexpay_client.ui.widgets.sheet import FeexPaySheet
from feexpay_client.ui.widgets.text import FeexPayColumn
from feexpay_client.ui.widgets.tile import FeexPayProviderNotice, FeexPayProviderTile

#: Wide enough for the form's two columns, and too low for the form in one.
_LOW_DP = (600, 640)


class FeexPayPicker(FeexPayColumn):
    """The choice of provider: country, kinds, search and tiles."""

    vm = ObjectProperty(None, rebind=True)
    host = ObjectProperty(None)

    __events__ = ("on_pick",)

    def on_pick(self, code: str) -> None:
        """The payer chose a provider."""

    def on_kv_post(self, _base: Any) -> None:
        self._bindings = {
            "tiles": self._show_tiles,
            "state": self._show_tiles,
            "chosen": self._show_chosen,
            "notices": self._show_notices,
            "kinds": self._show_kinds,
            "kind": self._show_kinds,
        }
        self.vm.bind(**self._bindings)
        self._show_kinds()
        self._show_tiles()
        self._show_notices()

    def leave(self) -> None:
        self.vm.unbind(**self._bindings)

    def open_countries(self) -> None:
        """Open a sheet with the countries."""
        sheet = FeexPaySheet(title=self.host.tr("providers.country"))
        rows = FeexPayList()
        for code, name in self.vm.countries:
            row = FeexPayListRow(title=name, monogram=code, color="#33566B", chosen=code == self.vm.country)
            row.bind(on_release=lambda _row, chosen=code: self._choose_country(sheet, chosen))
            rows.add_widget(row)
        sheet.add_widget(rows)
        self.host.open_sheet(sheet)

    def _choose_country(self, sheet: FeexPaySheet, code: str) -> None:
        self.vm.country = code
        sheet.close()

    def _show_kinds(self, *_args: object) -> None:
        box = self.ids.kinds
        empty(box)
        for kind, words in self.vm.kinds:
            chip = FeexPayChip(text=words, active=kind == self.vm.kind)
            chip.bind(on_release=lambda _chip, chosen=kind: setattr(self.vm, "kind", chosen))
            box.add_widget(chip)

    def _show_tiles(self, *_args: object) -> None:
        grid = self.ids.tiles
        empty(grid)
        if self.vm.state == "loading":
            for _ in range(3):
                grid.add_widget(FeexPaySkeleton(height="110dp", corner="14dp"))
        for row in self.vm.tiles:
            tile = FeexPayProviderTile(
                code=row["code"],
                name=row["name"],
                monogram=row["monogram"],
                color=row["color"],
                chosen=row["code"] == self.vm.chosen,
            )
            tile.bind(on_release=lambda pressed: self.dispatch("on_pick", pressed.code))
            grid.add_widget(tile)

    def _show_notices(self, *_args: object) -> None:
        box = self.ids.notices
        empty(box)
        for row in self.vm.notices:
            box.add_widget(FeexPayProviderNotice(name=row["name"], monogram=row["monogram"], reason=row["reason"]))

    def _show_chosen(self, *_args: object) -> None:
        for tile in self.ids.tiles.children:
            tile.chosen = getattr(tile, "code", None) == self.vm.chosen


class FeexPayForm(FeexPayTwoColumns):
    """The phone number, the total and the pay button; in two columns if `wide`.

    in_steps: the ways to pay are not beside it.
    """

    vm = ObjectProperty(None, rebind=True)
    host = ObjectProperty(None)
    in_steps = BooleanProperty(True)

    def on_kv_post(self, _base: Any) -> None:
        self.vm.bind(first_error_field=self._focus_error)

    def leave(self) -> None:
        self.vm.unbind(first_error_field=self._focus_error)

    def _focus_error(self, _vm: Any, name: str) -> None:
        """Focus the first field with an error."""
        if name in self.ids:
            self.ids[name].take_focus()


class FeexPayPayScreen(FeexPayScreen):
    """Picker and form, both shown if there is room for both, else in two steps.

    A phone held sideways has the width for both, but not the height: there the form is the second step, with the number
    beside the total and the button, so that the payer sees all of it without scrolling.
    """

    picking = BooleanProperty(True)
    low = BooleanProperty(False)
    in_steps = BooleanProperty(True)

    def on_kv_post(self, _base: Any) -> None:
        self.picking = not self.vm.has_provider
        self._arrange()
        self.bind(picking=self._arrange, low=self._arrange)
        self.ids.page.bind(scroll_y=self._keep_form_in_view)

    def leave(self) -> None:
        for part in (self.picker, self.form):
            part.leave()
            tear_down(part)  # in steps, one of them is not in the widget tree

    def pick_again(self) -> bool:
        """Go back to the ways to pay; False if they are shown already."""
        if self.picking or not self.in_steps:
            return False
        self.picking = True
        return True

    def on_size(self, *_args: object) -> None:
        self.low = self.width >= dp(_LOW_DP[0]) and self.height < dp(_LOW_DP[1])

    def _arrange(self, *_args: object) -> None:
        if not hasattr(self, "picker"):
            self.picker = FeexPayPicker(vm=self.host.providers, host=self.host)
            self.picker.bind(on_pick=lambda _picker, code: self._pick(code))
            self.form = FeexPayForm(vm=self.vm, host=self.host)
        self.form.wide, self.form.in_steps = self.low, self.in_steps
        box = self.ids.columns
        box.clear_widgets()
        if self.picking or not self.in_steps:
            box.add_widget(self.picker)
        if not self.picking or not self.in_steps:
            box.add_widget(self.form)
        if self.in_steps:
            self.ids.page.scroll_y = 1

    def _keep_form_in_view(self, page: Any, _scroll_y: float) -> None:
        """Beside a long list of ways to pay, the total and the button stay where they are."""
        self.ids.columns.scrolled = page.scrolled if self.form.height <= page.height else 0

    def _pick(self, code: str) -> None:
        self.vm.choose(code)
        self.picking = False
        number = self.first_focus()
        if number is not None:
            number.take_focus()  # at once, or the first digits typed on a keyboard would be lost
            # The page scrolled to where the field was. In the frame after the next, the form has its place.
            Clock.schedule_once(lambda _seconds: Clock.schedule_once(self._show_number, 0), 0)

    def _show_number(self, _seconds: float) -> None:
        if self.get_root_window() is None:
            return
        if self.in_steps:
            self.ids.page.scroll_y = 1
        bring_into_view(self.form.ids.phone)

    def first_focus(self) -> Any:
        return self.form.ids.phone if not self.picking and self.vm.asks_phone and not self.vm.phone else None


load_kv(__file__)
