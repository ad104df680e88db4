"""The person that a request is about: a user, or the owner of a phone number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import QuerySet

from django_feexpay.catalogue.phone import Msisdn
from django_feexpay.catalogue.providers import possible_msisdns
from django_feexpay.models import Attempt, Payment, PromptLift
from django_feexpay.models.fields import msisdn_hashes
from django_feexpay.private import PrivateText


class UnknownSubjectError(Exception):
    """No such user, or no such number. The text is for the operator and does not quote the number."""


@dataclass(frozen=True, repr=False)
class Subject:
    """A user, by the primary key as text, or a number. Exactly one of them is given."""

    user_key: Any = ""
    msisdn: Msisdn | None = None

    @property
    def hashes(self) -> list[str] | None:
        """Every value that the columns `msisdn_hash` may hold for the number; None for a user."""
        return None if self.msisdn is None else list(msisdn_hashes(self.msisdn))

    def payments(self) -> QuerySet[Payment]:
        """The payments of the user, or those that were asked for at this number."""
        if self.msisdn is None:
            return Payment.objects.filter(user=self.user_key)
        return Payment.objects.filter(pk__in=self.attempts().values("payment_id"))

    def attempts(self) -> QuerySet[Attempt]:
        if self.hashes is None:
            return Attempt.objects.filter(payment__user=self.user_key)
        return Attempt.objects.filter(msisdn_hash__in=self.hashes)

    def prompt_lifts(self) -> QuerySet[PromptLift]:
        """The prompt lifts of the number. A lift does not record a user."""
        return PromptLift.objects.filter(msisdn_hash__in=self.hashes or [])


def of_user(name: str) -> Subject:
    """The subject with this user name. Raises: UnknownSubjectError."""
    users = get_user_model()
    user = users._default_manager.filter(**{users.USERNAME_FIELD: name}).first()
    if user is None:
        raise UnknownSubjectError(f"there is no user {name!r}")
    return Subject(user_key=str(user.pk))


def of_number(number: str) -> Subject:
    """The subject with this number, in any usual notation. Raises: UnknownSubjectError."""
    found = possible_msisdns(PrivateText(number))
    if not found:
        raise UnknownSubjectError("this is not a phone number of a country with a provider")
    if len(found) > 1:
        raise UnknownSubjectError("write the number with its country code: several countries have such a number")
    return Subject(msisdn=found[0])
