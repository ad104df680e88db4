"""Makes docs/reference/providers.md from the catalogue: `python -m tools.providers_page`.

A test in tests/repository fails while the file differs from the catalogue.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from django_feexpay.catalogue.providers import CATALOGUE, ProviderSpec

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "providers.md"

_HEAD = """# Providers

<!-- Made by `python -m tools.providers_page` from django_feexpay/catalogue/provider_rows.py: edit that one. -->

Every way to pay that FeexPay is known to offer, and some that it does not offer but people ask for. `GET providers/`
lists the same rows with your own names, limits, fees and switches, which staff change in the
[admin](../how-to/admin.md).

**Evidence** says where a row comes from: A official material, B several integrators agree, C one integrator, D a guess.
Nothing was tried against FeexPay itself. **Fees** are those that FeexPay published last; your contract decides.
Amounts are in the currency of the row, which has no cents. **Prefixes** only suggest an operator: payers keep their
number when they change operators, so no number is refused for its prefix.
"""

_FLOWS = """## Flows

| Flow | The payer | The API |
|---|---|---|
| push | approves a request on the phone | `detail: waiting_for_payer` |
| otp, by dialling | gets a code by dialling, then types it | send `otp` to `initiate/`; without it the answer is 400 |
| otp, by SMS | types the code that arrives after the start | `detail: otp_required`; send the code to `{id}/otp/` |
| redirect | finishes on the operator's page | `detail: redirect` with `redirect_url` |
| hosted | enters a card on FeexPay's page | `detail: redirect` with `redirect_url` |

Where sources disagree, choose the flow in the admin. If FeexPay's answer contains a page to open, the flow is a
redirect, whatever the row says.
"""


def page() -> str:
    """The page as Markdown."""
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
            ("Code", "Default", "Also", "Source", "What the payer then does"),
            (cells for spec in served for cells in _flow_cells(spec)),
            title="## Flows on which sources disagree",
        ),
        _table(
            ("Code", "English", "Français"),
            ((f"`{spec.code}`", spec.instructions_en, spec.instructions_fr) for spec in served),
            title="## Instructions for the payer",
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
            title="## Not served\n\nThese are listed because people ask for them. They cannot be enabled.",
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
