"""Apply the payer's appearance settings."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from feexpay_client.core.preferences import Preferences
from feexpay_client.ui.theme import theme


def apply(preferences: Preferences, system_dark: Callable[[], bool]) -> None:
    """Copy the payer's preferences into the theme."""
    dark = system_dark() if preferences.theme == "system" else preferences.theme == "dark"
    theme.mode = "dark" if dark else "light"
    theme.scale = preferences.text_size / 100
    theme.reduced_motion = preferences.reduced_motion


def system_is_dark() -> bool:
    """The system prefers a dark theme. False where only a library could tell."""
    if hasattr(sys, "getandroidapilevel"):
        return _android_is_dark()
    if sys.platform == "win32":
        return _windows_is_dark()
    # GTK desktops name the variant in GTK_THEME. macOS and others stay light until the payer chooses.
    return os.environ.get("GTK_THEME", "").lower().endswith((":dark", "-dark"))


def _android_is_dark() -> bool:
    from jnius import autoclass

    activity = autoclass("org.kivy.android.PythonActivity").mActivity
    return bool(activity.getResources().getConfiguration().uiMode & 0x30 == 0x20)


def _windows_is_dark() -> bool:
    import winreg

    path = r"Software\Microsoft\Windows\CurrentVersion\Themes\Personalize"
    try:
        with winreg.OpenKey(winreg.HKEY_CURRENT_USER, path) as key:  # type: ignore[attr-defined]  # Windows only
            return bool(winreg.QueryValueEx(key, "AppsUseLightTheme")[0] == 0)  # type: ignore[attr-defined]
    except OSError:
        return False
