"""docs/reference/providers.md, made from the catalogue: `python -m tools.providers_page` writes it.

A house test compares the file with what this makes, so that the page never says anything else than the code.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from django_feexpay.catalogue.providers import CATALOGUE, ProviderSpec

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "providers.md"

_HEAD = """# Providers

<!-- Made by `python -m tools.providers_page` from django_feexpay/catalogue/provider_rows.py: change that, not this. -->

Every way to pay that FeexPay is known to have, and those people ask for that it has not. `GET providers/` lists the
same rows with this shop's own names, limits, fees and switches, which staff adjust in the [admin](../how-to/admin.md).

**Evidence** says how sure a row is: A official material, B several integrators agree, C one integrator, D a guess.
Nothing was tried against FeexPay itself. **Fees** are what FeexPay published last; your contract decides. Amounts are
in the currency of the row, which has no cents. Prefixes are hints for the payer's eye: numbers are ported, so none is
ever refused for its prefix.
"""

_FLOWS = """## Flows

| Flow | The payer | The API |
|---|---|---|
| push | approves a request on the phone | `detail: waiting_for_payer` |
| otp, dialled for | dials, then types the code | `otp` goes with `initiate/`, which answers 400 without it |
| otp, by SMS | types the code that comes after the start | `detail: otp_required`; the code goes to `{id}/otp/` |
| redirect | finishes on the operator's page | `detail: redirect` with `redirect_url` |
| hosted | enters a card on FeexPay's page | `detail: redirect` with `redirect_url` |

Where sources differ, a shop chooses the flow in the admin. Whatever the row says, an answer with a page to open is a
redirect.
"""


def page() -> str:
    """The whole page as Markdown."""
    served = [spec for spec in CATALOGUE.values() if spec.served]
    parts = [
        _HEAD,
        _table(
            ("Code", "Name", "Country", "Kind", "Flow", "Amounts", "Fee", "Number", "Evidence"),
            (_served_cells(spec) for spec in served),
            title="## Served",
        ),
        _FLOWS,
        _table(
            ("Code", "Default", "Also", "Who says so", "What the payer then does"),
            (cells for spec in served for cells in _flow_cells(spec)),
            title="## Flows that sources dispute",
        ),
        _table(
            ("Code", "English", "Français"),
            ((f"`{spec.code}`", spec.instructions_en, spec.instructions_fr) for spec in served),
            title="## What the payer is told",
        ),
        _table(
            ("Codes", "Prefixes"),
            (
                (f"`{spec.code}`", ", ".join(spec.phone.prefixes))
                for spec in served
                if spec.phone and spec.phone.prefixes
            ),
            title="## Prefixes of operators",
        ),
        _table(
            ("Code", "Name", "Country", "Why", "Pourquoi"),
            (_unserved_cells(spec) for spec in CATALOGUE.values() if not spec.served),
            title="## Not served\n\nListed and never enabled, so that the list answers what people ask for.",
        ),
    ]
    return "\n".join(parts)


def _table(heads: tuple[str, ...], rows: Iterator[tuple[str, ...]], *, title: str) -> str:
    lines = [title, "", _line(heads), _line(("---",) * len(heads)), *map(_line, rows)]
    return "\n".join(lines) + "\n"


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _served_cells(spec: ProviderSpec) -> tuple[str, ...]:
    kinds = ", ".join(kind.replace("_", " ") for kind in (spec.kind, *spec.also_kinds))
    return (
        f"`{spec.code}`",
        spec.name,
        spec.country_name_en or "every",
        kinds,
        spec.flow + (" (disputed)" if spec.contested else ""),
        f"{spec.min_amount} to {spec.max_amount} {spec.currency}",
        f"{spec.fee_percent.normalize():f} %" if spec.fee_known else "not published",
        _number(spec),
        spec.evidence,
    )


def _number(spec: ProviderSpec) -> str:
    rule = spec.phone
    if rule is None:
        return "none"
    lengths = " or ".join(map(str, rule.lengths))
    starts = f" from {rule.starts}" if rule.starts else ""
    return f"+{rule.calling_code}, {lengths} digits{starts}"


def _flow_cells(spec: ProviderSpec) -> Iterator[tuple[str, ...]]:
    for other in spec.other_flows:
        yield f"`{spec.code}`", spec.flow, other.flow, other.why, spec.with_flow(other.flow).instructions_en


def _unserved_cells(spec: ProviderSpec) -> tuple[str, ...]:
    country = spec.country_name_en or "every"
    return f"`{spec.code}`", spec.name, country, spec.unavailable_text_en, spec.unavailable_text_fr


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
