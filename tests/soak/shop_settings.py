"""The sample shop's development settings, and a receiver that hangs."""

from __future__ import annotations

from config.settings.development import *  # noqa: F403 -- settings are layered by import
from config.settings.development import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.soak.hung_receiver.HungReceiverConfig"]
