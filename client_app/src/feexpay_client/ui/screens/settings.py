"""Settings: how it looks and speaks, who is signed in, which version this is."""

from __future__ import annotations

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.shell import Screen


class SettingsScreen(Screen):
    """Every change is seen at once."""


load_kv(__file__)
