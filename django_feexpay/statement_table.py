"""The statement of a period as a table for files, and as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext as _

from django_feexpay.catalogue import money
from django_feexpay.payments.statements import Figures, Statement
from django_feexpay.table_files import Cell, Table, in_units


def table(statement: Statement) -> Table:
    """One row for each day, provider and currency; amounts in units of the currency, headings in the user's language.

    It has no row of sums, so that each column can be added up as it is.
    """
    heads = [_("day"), _("code"), _("provider"), _("currency"), *_figure_heads()]
    period = statement.period
    name = f"statement-{period.first_day:%Y-%m-%d}-{period.last_day:%Y-%m-%d}"
    rows = list(_rows(statement))
    return Table(name, [head.capitalize() for head in heads], rows, len(rows))


def text(statement: Statement) -> Iterator[str]:
    """Lines of text: the sums of each provider and currency, of each currency, and whether they reconcile."""
    period = statement.period
    yield f"{period.first_day:%Y-%m-%d} – {period.last_day:%Y-%m-%d}"
    for section in statement.sections:
        yield from _figures(str(section.provider), section.total, section.currency)
    for currency, figures in statement.totals.items():
        yield from _figures(_("Total %s") % currency, figures, currency)
    if not statement.sections:
        yield _("No money was taken in this period.")
    yield from reconciled(statement)


def reconciled(statement: Statement) -> list[str]:
    """Whether the gross is the sum of the credit table, in one sentence for each currency."""
    apart = statement.unreconciled
    sentences = [
        _("%(currency)s: the gross is %(gross)s, the credits add up to %(credits)s.")
        % {"currency": currency, "gross": money.show(gross, currency), "credits": money.show(credits, currency)}
        for currency, (gross, credits) in apart.items()
    ]
    sentences += [
        _("%(currency)s: the gross is the sum of the credits, %(credits)s.")
        % {"currency": currency, "credits": money.show(credits, currency)}
        for currency, credits in sorted(statement.ledger.items())
        if currency not in apart
    ]
    return sentences


def _figure_heads() -> list[str]:
    return [
        _("credits"),
        _("gross"),
        _("number of double charges"),
        _("double charges"),
        _("number of reversals"),
        _("reversals"),
        _("fees"),
        _("number of refunds"),
        _("refunds"),
        _("net"),
    ]


def _rows(statement: Statement) -> Iterator[list[Cell]]:
    for section in statement.sections:
        for line in section.lines:
            names: list[Cell] = [line.day, section.provider.pk, section.provider.name, section.currency]
            yield [*names, *_cells(line.figures, section.currency)]


def _cells(figures: Figures, currency: str) -> list[Cell]:
    return [
        figures.credit_count,
        in_units(figures.gross, currency),
        figures.double_charge_count,
        in_units(figures.double_charges, currency),
        figures.reversal_count,
        in_units(figures.reversals, currency),
        in_units(figures.fees, currency),
        figures.refund_count,
        in_units(figures.refunds, currency),
        in_units(figures.net, currency),
    ]


def _figures(title: str, figures: Figures, currency: str) -> Iterator[str]:
    yield title
    shown = [
        str(figures.credit_count),
        money.show(figures.gross, currency),
        str(figures.double_charge_count),
        money.show(figures.double_charges, currency),
        str(figures.reversal_count),
        money.show(figures.reversals, currency),
        money.show(figures.fees, currency),
        str(figures.refund_count),
        money.show(figures.refunds, currency),
        money.show(figures.net, currency),
    ]
    for head, value in zip(_figure_heads(), shown, strict=True):
        yield f"  {head}: {value}"
