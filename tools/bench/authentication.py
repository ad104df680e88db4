"""Authentication of the benchmark. DRF imports this module by its path, so it imports no view."""

from __future__ import annotations

from functools import cache

from django.contrib.auth.models import User
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request


@cache
def player(username: str = "player") -> User:
    return User.objects.get(username=username)


class HeaderUser(BaseAuthentication):
    """Authenticate without an SQL statement. The header `X-Player` selects another user."""

    def authenticate(self, request: Request) -> tuple[User, None]:
        return player(request.headers.get("X-Player", "player")), None
