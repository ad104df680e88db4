"""Transactions for money rows, and the refusal to call FeexPay inside a transaction of the host's."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.utils.translation import gettext as _

from django_feexpay import isolation
from django_feexpay.payments.database import refuse_other_database
from django_feexpay.payments.errors import InsideAtomicError, NotAllowedError

logger = logging.getLogger("django_feexpay.payments")


@contextmanager
def durable() -> Iterator[None]:
    """A transaction that begins and commits here, at READ COMMITTED; as a block or as a decorator.

    Raises: NotAllowedError `not_configured` where autocommit is off; InsideAtomicError inside another transaction.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    refuse_without_autocommit()
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
    """`durable`, but inside a transaction of the host's: a savepoint of that one, kept or rolled back with it.

    Only for rows that mean nothing to FeexPay yet. Raises: as `durable`; InsideAtomicError where the host's
    transaction is not at READ COMMITTED, because its snapshot may be older than the lock that is taken in it.
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
    """Whether the caller has a transaction open. The one that Django's TestCase opens around a test does not count."""
    try:
        with transaction.atomic(durable=True, savepoint=False):
            return False
    except RuntimeError:
        return True


def refuse_outer_atomic() -> None:
    """Call it before FeexPay is called: a call inside a transaction holds its locks until FeexPay answers.

    Raises: as `durable`.
    """
    refuse_without_autocommit()
    if is_inside_atomic():
        raise InsideAtomicError


def refuse_without_autocommit() -> None:
    """Raise NotAllowedError `not_configured` where autocommit is off, so that only the host's code commits.

    A rollback by the host would delete the row of a payment that its payer was already asked for.
    """
    refuse_other_database()
    if commits_by_itself():
        return
    logger.error("autocommit is off on this database connection: payments are refused, as nothing would be committed")
    raise NotAllowedError(
        "not_configured", _("Payments cannot be made here: the server is not set up for them. Nothing was taken.")
    )


def commits_by_itself() -> bool:
    """Whether autocommit is on. Django switches it off inside `atomic` and on again after it: that does not count."""
    connection = connections[DEFAULT_DB_ALIAS]
    return connection.in_atomic_block or connection.get_autocommit()
