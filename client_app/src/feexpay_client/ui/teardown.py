"""Unbind the kv rules of removed widgets at once, before Python collects them.

A kv rule listens to the theme and to presenters, which outlive every screen. Until Python collects the widget, the rule
still runs at each change. That wastes time, and raises `ReferenceError` if the widget is collected while the rule runs.
"""

from __future__ import annotations

from typing import Any

from kivy.lang import Builder


def tear_down(widget: Any) -> None:
    """Unbind the kv rules of the widget and its descendants. Do not show it again afterwards."""
    for part in widget.walk(restrict=True):
        Builder.unbind_widget(part.uid)
        for hidden in getattr(part, "hidden_children", ()):  # of a FeexPayConditionalColumn
            tear_down(hidden)


def empty(box: Any) -> None:
    """Remove and tear down all children of the box."""
    for child in box.children:
        tear_down(child)
    box.clear_widgets()
