"""The names of the users who acted."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError


def names_of(actors: Iterable[str]) -> dict[str, str]:
    """The user name of each actor; an actor that is no user id, such as a command, keeps its own name."""
    users, names = get_user_model(), {actor: actor for actor in actors}
    ids = []
    for actor in filter(None, names):
        try:
            ids.append(users._meta.pk.to_python(actor))
        except ValidationError:
            continue
    found = users._default_manager.filter(pk__in=ids) if ids else ()
    return names | {str(user.pk): user.get_username() for user in found}


def name_of(actor: str) -> str:
    return names_of([actor])[actor]
