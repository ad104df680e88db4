"""The database that payments need: every table of ours on the default alias, with autocommit on.

Locks, transactions and `on_commit` use the default connection, so a router that sends our tables elsewhere would leave
money rows without them.
"""

from __future__ import annotations

import logging

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import DEFAULT_DB_ALIAS, router
from django.utils.translation import gettext as _

from django_feexpay.payments.errors import NotAllowedError

logger = logging.getLogger("django_feexpay.payments")


def apps_outside_default() -> list[str]:
    """The apps, ours or the users', with a model that DATABASE_ROUTERS writes to another alias than `default`."""
    models = [*apps.get_app_config("feexpay").get_models(), get_user_model()]
    return sorted({model._meta.app_label for model in models if router.db_for_write(model) != DEFAULT_DB_ALIAS})


def refuse_other_database() -> None:
    """Raise NotAllowedError `not_configured` where a router keeps our tables outside the default database."""
    if elsewhere := apps_outside_default():
        logger.error("feexpay.E052: DATABASE_ROUTERS keeps %s outside the default database", ", ".join(elsewhere))
        raise NotAllowedError(
            "not_configured", _("Payments cannot be made here: the server is not set up for them. Nothing was taken.")
        )
