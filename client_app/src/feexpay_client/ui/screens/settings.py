"""Settings screen: language, appearance, account, server and version."""

from __future__ import annotations

from feexpay_client.ui.kv import load_kv
from feexpay_client.ui.shell import FeexPayScreen


class FeexPaySettingsScreen(FeexPayScreen):
    """Changes apply at once."""


load_kv(__file__)
