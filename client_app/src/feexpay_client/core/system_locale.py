"""What this device is: a phone or not, and the language and country that it is set to."""

from __future__ import annotations

import locale
import os
import sys
from collections.abc import Collection


def system_language(known: Collection[str], otherwise: str = "fr") -> str:
    """The first part of the system's locale, if there are texts in it."""
    language = _tag().partition("_")[0].lower()
    return language if language in known else otherwise


def system_country() -> str:
    """The country of the system's locale (`fr_CI` → CI), or empty."""
    country = _tag().partition("_")[2].partition(".")[0].partition("@")[0].upper()
    return country if len(country) == 2 and country.isalpha() else ""


def is_phone() -> bool:
    """Whether this device is a phone, which can dial a code."""
    return hasattr(sys, "getandroidapilevel") or sys.platform == "ios"


def _tag() -> str:
    """`fr_CI`, possibly followed by an encoding; empty if the system does not tell."""
    if hasattr(sys, "getandroidapilevel"):
        return _android_tag()
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if os.environ.get(name):
            return os.environ[name].replace("-", "_")
    return locale.getlocale()[0] or ""


def _android_tag() -> str:
    from jnius import autoclass

    here = autoclass("java.util.Locale").getDefault()
    return f"{here.getLanguage()}_{here.getCountry()}"
