"""The transactions in which payments change money rows, and the calls that must not be made inside one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.utils.translation import gettext as _

from django_feexpay import isolation
from django_feexpay.payments.database import refuse_other_database
from django_feexpay.payments.errors import NotAllowedError

logger = logging.getLogger("django_feexpay.payments")


@contextmanager
def durable() -> Iterator[None]:
    """A transaction that begins and commits here, at READ COMMITTED; as a block or as a decorator.

    Raises: NotAllowedError `not_configured` where autocommit is off; RuntimeError inside another transaction.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    refuse_without_autocommit()
    choose = not connection.in_atomic_block and not isolation.is_read_committed(connection)
    with transaction.atomic(durable=True):
        if choose:
            isolation.choose_read_committed(connection)
        yield


def refuse_outer_atomic() -> None:
    """Before FeexPay is asked: a call made inside a transaction would hold its locks for as long as FeexPay likes.

    Raises: as `durable`.
    """
    with durable():
        pass


def refuse_without_autocommit() -> None:
    """Raise NotAllowedError `not_configured` where nothing is committed unless the host says so.

    A rollback of the host's would take the row of a payer who was asked already with it, and nobody would know of the
    money.
    """
    if commits_by_itself():
        return
    logger.error("autocommit is off on this database connection: payments are refused, as nothing would be committed")
    raise NotAllowedError(
        "not_configured", _("Payments cannot be made here: the server is not set up for them. Nothing was taken.")
    )


def commits_by_itself() -> bool:
    """Whether autocommit is on. Django switches it off inside `atomic` and on again behind it: that does not count."""
    connection = connections[DEFAULT_DB_ALIAS]
    return connection.in_atomic_block or connection.get_autocommit()
