"""The names of the users who acted."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError


def names_of(actors: Iterable[str]) -> dict[str, str]:
    """User names by `actor` of events. An actor that is no user id is left out."""
    users = get_user_model()
    ids = []
    for actor in {actor for actor in actors if actor}:
        try:
            ids.append(users._meta.pk.to_python(actor))
        except ValidationError:
            continue
    return {str(user.pk): user.get_username() for user in users._default_manager.filter(pk__in=ids)} if ids else {}
