"""A router that keeps the payments in a database of their own."""

from __future__ import annotations

from settings import *  # noqa: F403 -- a variant is the base settings with changes
from settings import DATABASES

DATABASES = {**DATABASES, "payments": DATABASES["default"]}
DATABASE_ROUTERS = ["variants.other_database.PaymentsRouter"]


class PaymentsRouter:
    def db_for_write(self, model: type, **hints: object) -> str | None:
        return "payments" if model._meta.app_label == "feexpay" else None
