"""Widgets that are gone stop listening at once, and not only when Python's collector finds them.

A rule of kv listens to the theme and to presenters, which outlive every screen. Until the collector comes, which may
be in the middle of a rule, it is still told of each change: time lost on what nobody sees, and now and then a
`ReferenceError` out of a rule whose widget vanished while it ran.
"""

from __future__ import annotations

from typing import Any

from kivy.lang import Builder


def let_go(widget: Any) -> None:
    """The rules of that widget and of all below it end. It is not shown again afterwards."""
    for part in widget.walk(restrict=True):
        Builder.unbind_widget(part.uid)
        for hidden in getattr(part, "kept", ()):  # of a Maybe
            let_go(hidden)


def empty(box: Any) -> None:
    """All children leave the box for good."""
    for child in box.children:
        let_go(child)
    box.clear_widgets()
