"""Tags for the pages of Django's own admin views, which do not have our context."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django import template
from django.utils import formats
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from django_feexpay.admin import display, list_groups, overview
from django_feexpay.admin.empty_lists import words_for

register = template.Library()


@register.inclusion_tag("admin/feexpay/overview/body.html", takes_context=True)
def feexpay_overview(context: Any) -> dict[str, Any]:
    """The front page of the back office; nothing for staff who may not see any of it."""
    request = context.request
    return overview.sections(request) if overview.may_open(request) else {}


@register.simple_tag
def feexpay_list_groups(app: dict[str, Any]) -> list[tuple[Any, list[dict[str, Any]]]]:
    """The lists that the index of the app offers, by subject."""
    return [*list_groups.grouped(app["models"])]


@register.simple_tag
def feexpay_cells(cells: Sequence[str], headers: Sequence[dict[str, Any]]) -> list[SafeString]:
    """The cells of a row, each with its heading in `data-label`: on a phone a row is a card without a head."""
    return [_with_label(cell, str(header["text"])) for cell, header in zip(cells, headers, strict=True)]


@register.simple_tag
def feexpay_empty_list(changelist: Any) -> str:
    """What staff read instead of rows when there are none and no filter hides them."""
    return words_for(changelist.opts.model_name)


@register.simple_tag
def feexpay_chosen_filters(changelist: Any) -> list[dict[str, Any]]:
    """Title, chosen value and the address without it, of each filter that narrows the list."""
    return [*_chosen(changelist)]


@register.filter
def feexpay_count(number: int) -> str:
    """`10,000`, in French `10 000`."""
    return formats.number_format(number, force_grouping=True)


def _shown_by(show: Callable[[Any], str]) -> Callable[[Any], str]:
    """A filter that shows a day or a time; a dash for none."""
    return lambda value: show(value) if value else display.EMPTY


register.filter("feexpay_moment", _shown_by(display.moment))
register.filter("feexpay_short_moment", _shown_by(display.short_moment))
register.filter("feexpay_exact_moment", _shown_by(display.exact_moment))
register.filter("feexpay_day", _shown_by(display.day))
register.filter("feexpay_short_day", _shown_by(display.short_day))


def _chosen(changelist: Any) -> Iterator[dict[str, Any]]:
    for spec in changelist.filter_specs:
        choices = list(spec.choices(changelist))
        if not choices or choices[0]["selected"]:  # the first choice is “all”
            continue
        named = [str(choice["display"]) for choice in choices if choice["selected"]]
        words = ", ".join(named) or str(getattr(spec, "chosen_words", ""))
        yield {"title": spec.title, "words": words, "remove_url": choices[0]["query_string"]}


def _with_label(cell: str, heading: str) -> SafeString:
    """`<td class="…">` with the heading. Django rendered the cell, so it begins with its tag and is safe."""
    tag, rest = cell[:3], cell[3:]
    # Only the box to choose the row has no text as its heading.
    label = "" if "action-checkbox" in rest[:40] else capfirst(heading)
    safe = SafeString(tag), label, SafeString(rest)  # allowed: unescaped-html -- Django rendered and escaped the cell
    return format_html('{} data-label="{}"{}', *safe)
