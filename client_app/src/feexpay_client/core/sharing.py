"""Hand a text to another app of the phone, such as WhatsApp. Not tried on a phone."""

from __future__ import annotations

import sys


def can_share() -> bool:
    """Android has a system dialogue for it; desktops have none."""
    return hasattr(sys, "getandroidapilevel")


def share_text(text: str, title: str) -> None:
    """Open Android's choice of apps."""
    from jnius import autoclass, cast

    intent_class, string = autoclass("android.content.Intent"), autoclass("java.lang.String")
    intent = intent_class(intent_class.ACTION_SEND)
    intent.setType("text/plain")
    intent.putExtra(intent_class.EXTRA_TEXT, cast("java.lang.CharSequence", string(text)))
    chooser = intent_class.createChooser(intent, cast("java.lang.CharSequence", string(title)))
    autoclass("org.kivy.android.PythonActivity").mActivity.startActivity(chooser)
