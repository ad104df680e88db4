"""The production settings as a CI has them: DEBUG is off, and no key is set."""

from __future__ import annotations

from settings import *  # noqa: F403 -- a variant is the base settings with changes

DEBUG = False
FEEXPAY = {"ENVIRONMENT": "production", "PAYABLE": "orders.prices.price"}
