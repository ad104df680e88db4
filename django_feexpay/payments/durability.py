"""Transactions for money rows, and the refusal to call FeexPay inside the host's own transaction.

Locks, transactions and `on_commit` use the default connection, so all our tables must be in the default database.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import DEFAULT_DB_ALIAS, connections, router, transaction
from django.utils.translation import gettext as _

from django_feexpay import isolation
from django_feexpay.payments.errors import InsideAtomicError, NotAllowedError

logger = logging.getLogger("django_feexpay.payments")


@contextmanager
def durable() -> Iterator[None]:
    """A transaction that begins and commits here, at READ COMMITTED; as a block or as a decorator.

    Raises: as `refuse_unusable_database`; InsideAtomicError inside another transaction.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    refuse_unusable_database()
    choose = not connection.in_atomic_block and not isolation.is_read_committed(connection)
    with ExitStack() as stack:
        try:
            stack.enter_context(transaction.atomic(durable=True))
        except RuntimeError:
            raise InsideAtomicError from None
        if choose:
            isolation.choose_read_committed(connection)
        yield


@contextmanager
def durable_or_joined() -> Iterator[None]:
    """As `durable`; inside the host's own transaction, a savepoint that commits or rolls back with it.

    Only for rows that FeexPay does not know yet. Raises: as `durable`; InsideAtomicError where the host's transaction
    is not at READ COMMITTED, because its snapshot may be older than the locks that are taken in it.
    """
    if not is_inside_atomic():
        with durable():
            yield
        return
    if not isolation.current_is_read_committed(connections[DEFAULT_DB_ALIAS]):
        raise InsideAtomicError("the transaction around start_payment is not at READ COMMITTED")
    with transaction.atomic():
        yield


def is_inside_atomic() -> bool:
    """Whether the caller has an open transaction. The one that Django's TestCase opens around a test does not count."""
    try:
        with transaction.atomic(durable=True, savepoint=False):
            return False
    except RuntimeError:
        return True


def refuse_outer_atomic() -> None:
    """Refuse to call FeexPay inside a transaction, which would hold its locks until FeexPay answers.

    Raises: as `durable`.
    """
    refuse_unusable_database()
    if is_inside_atomic():
        raise InsideAtomicError


def apps_outside_default() -> list[str]:
    """The apps, ours or the users', with a model that DATABASE_ROUTERS writes to another alias than `default`."""
    if not router.routers:
        return []  # asked before every transaction: without a router nothing is outside
    models = [*apps.get_app_config("feexpay").get_models(), get_user_model()]
    return sorted({model._meta.app_label for model in models if router.db_for_write(model) != DEFAULT_DB_ALIAS})


def refuse_unusable_database() -> None:
    """Raise NotAllowedError `not_configured` where our transactions would not commit every money row.

    It is refused if a router keeps our tables outside the default database, or if autocommit is off. In both cases a
    rollback by the host could delete the row of a payment whose payer was already prompted.
    """
    if elsewhere := apps_outside_default():
        logger.error("feexpay.E052: DATABASE_ROUTERS keeps %s outside the default database", ", ".join(elsewhere))
    elif is_autocommit_on():
        return
    else:
        logger.error("autocommit is off on this database connection: payments are refused, nothing would be committed")
    raise NotAllowedError(
        "not_configured", _("Payments cannot be made here: the server is not set up for them. Nothing was taken.")
    )


def is_autocommit_on() -> bool:
    """Whether autocommit is on. True inside `atomic`, where Django switches it off only until the block ends."""
    connection = connections[DEFAULT_DB_ALIAS]
    return connection.in_atomic_block or connection.get_autocommit()
