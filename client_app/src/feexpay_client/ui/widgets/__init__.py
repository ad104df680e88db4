"""The widgets, each with its kv file. Importing this package registers all of them with kv."""

from __future__ import annotations

from feexpay_client.ui.widgets import (
    badge,
    banner,
    button,
    field,
    focus,
    icon,
    page,
    qr_code,
    result_icon,
    ring,
    row,
    sheet,
    text,
    tile,
)

__all__ = [
    "badge",
    "banner",
    "button",
    "field",
    "focus",
    "icon",
    "result_icon",
    "page",
    "qr_code",
    "ring",
    "row",
    "sheet",
    "text",
    "tile",
]
