"""What a search term names: payments by id, reference, order or user, each found by an index.

The indexes for references in any letter case are those of migration 0020 and exist on PostgreSQL. Other databases read
the table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet

from django_feexpay.models import Attempt, Payment

#: A term names at most this many payments in the lists of other records, and attempts or users anywhere.
MAX_NAMED = 500
#: Up to this many payments with a reference are found by their ids.
MAX_FEW = 5_000
#: A shorter term is compared with whole references only.
SHORTEST_BEGINNING = 3
#: In front of a reference of digits only, which would be taken for a phone number.
MARK = "#"

_SHORT_ID = 8
_SEPARATORS = re.compile("[ \u00a0\u2009\u202f.\\-\u2010\u2011\u2012\u2013()/]")
_NUMBER = re.compile(r"(\+00|\+|00)?[0-9]{8,15}")


def is_phone_number(term: str) -> bool:
    """Whether a term may be a phone number: 8 to 15 digits in any usual notation."""
    return _NUMBER.fullmatch(_SEPARATORS.sub("", term.strip())) is not None


def cleaned(term: str) -> str:
    """A search term without the white space around it and without its mark."""
    return term.strip().removeprefix(MARK).strip()


def payments_named(payments: QuerySet[Payment], term: str) -> QuerySet[Payment]:
    """The payments that a term names: by id, reference, order or user."""
    return payments.filter(_recorded_as(term) | Q(user_id__in=list(_user_ids(term))))


def payment_ids(term: str, *, of_users: bool = True) -> list[UUID]:
    """The ids of the newest payments that a term names, at most MAX_NAMED."""
    payments = (
        Payment.objects.filter(_recorded_as(term)) if not of_users else payments_named(Payment.objects.all(), term)
    )
    return list(payments.order_by("-created_at", "-id").values_list("pk", flat=True)[:MAX_NAMED])


def _recorded_as(term: str) -> Q:
    """The payments that a term names by ids and references.

    The ids are read first: with an OR over subqueries PostgreSQL would read the whole table.
    """
    return Q(pk__in=list(_payments_of_attempts(term))) | _ids_from("pk", term) | _own_reference(term)


def _payments_of_attempts(term: str) -> QuerySet[Attempt, UUID]:
    named = _ids_from("pk", term) | _beginning("gateway_reference", term)
    return Attempt.objects.filter(named).order_by().values_list("payment_id", flat=True)[:MAX_NAMED]


def _own_reference(term: str) -> Q:
    """The payments whose own reference begins with the term; by their ids if they are few.

    Otherwise PostgreSQL would read half a million rows of a list in the order of time to find the newest of a thousand.
    If they are many, it finds the newest at once.
    """
    named = _beginning("merchant_reference", term) & ~Q(merchant_reference="")
    few = list(Payment.objects.filter(named).order_by().values_list("pk", flat=True)[: MAX_FEW + 1])
    return named if len(few) > MAX_FEW else Q(pk__in=few)


def _beginning(field: str, term: str) -> Q:
    """A reference that begins with the term, in any letter case; that equals it, if the term is short."""
    return Q(**{f"{field}__{'istartswith' if len(term) >= SHORTEST_BEGINNING else 'iexact'}": term})


def _ids_from(field: str, term: str) -> Q:
    """The ids that a term is, or that begin with it if it has 8 characters or more; as a range, which an index has."""
    digits = term.replace("-", "").lower()
    if not _SHORT_ID <= len(digits) <= 32 or set(digits) - set("0123456789abcdef"):
        return Q(**{f"{field}__in": ()})
    return Q(**{f"{field}__gte": UUID(digits.ljust(32, "0")), f"{field}__lte": UUID(digits.ljust(32, "f"))})


def _user_ids(term: str) -> Iterator[Any]:
    """The users with this name or mail address in any letter case.

    The usual spellings of a name come first: the host's table has an index for a name as it is written.
    """
    users = get_user_model()
    spellings = {term, term.lower(), term.upper(), term.capitalize()}
    found = _ids(Q(**{f"{users.USERNAME_FIELD}__in": spellings}))
    if not found:
        named = Q(**{f"{users.USERNAME_FIELD}__iexact": term})
        found = _ids(named | Q(**{f"{users.get_email_field_name()}__iexact": term}) if "@" in term else named)
    yield from found


def _ids(named: Q) -> list[Any]:
    return list(get_user_model()._default_manager.filter(named).values_list("pk", flat=True)[:MAX_NAMED])
