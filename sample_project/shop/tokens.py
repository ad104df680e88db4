"""Signing in and out: a bearer token for a name and a password.

Tokens are kept hashed, and end by themselves. A new password, or an account that is switched off, ends them all.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth import authenticate, get_user_model
from django.contrib.auth.models import User
from django.db import transaction
from knox.auth import TokenAuthentication
from knox.models import AuthToken
from knox.settings import knox_settings
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from shop.throttles import AccountThrottle, AddressThrottle
from shop.views import ShopView


class Text(serializers.CharField):
    """Text that was sent as text: 5 is not "5"."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class SignIn(serializers.Serializer[Any]):
    """A name and a password as they were typed."""

    username = Text(max_length=150)
    password = Text(max_length=4096, trim_whitespace=False)


class TokenView(ShopView):
    """POST {"username", "password"} → 200 {"token", "expires_at"}; 401 when they do not fit."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (AddressThrottle, AccountThrottle)

    def post(self, request: Request) -> Response:
        given = SignIn(data=request.data)
        given.is_valid(raise_exception=True)
        user = authenticate(request, **given.validated_data)
        if user is None:
            raise AuthenticationFailed
        kept, token = _new_token(user)
        return Response({"token": token, "expires_at": kept.expiry})


class LogoutView(ShopView):
    """POST → 204, and the token it was sent with opens nothing any more."""

    authentication_classes = (TokenAuthentication,)

    def post(self, request: Request) -> Response:
        assert isinstance(request.auth, AuthToken)  # noqa: S101 -- the only way to sign in here
        request.auth.delete()
        return Response(status=204)


class LogoutAllView(ShopView):
    """POST → 204, and no token of the player opens anything any more: for a phone that was lost."""

    authentication_classes = (TokenAuthentication,)

    def post(self, request: Request) -> Response:
        AuthToken.objects.filter(user=request.user).delete()
        return Response(status=204)


@transaction.atomic
def _new_token(user: Any) -> tuple[AuthToken, str]:
    """A token, unless the password changed since it was checked: the row's lock makes the two wait for each other.

    Raises: AuthenticationFailed.
    """
    now = get_user_model()._default_manager.select_for_update().get(pk=user.pk)
    if (now.password, now.is_active) != (user.password, True):
        raise AuthenticationFailed
    created: tuple[AuthToken, str] = AuthToken.objects.create(user=now, expiry=knox_settings.TOKEN_TTL)
    return created


def note_change(*, instance: User, raw: bool, update_fields: frozenset[str] | None, **kwargs: Any) -> None:
    """Before a user is saved: will that change the password, or switch the account off?

    A sign-in may write the same password with a newer hash: that ends nothing.
    """
    before = type(instance)._default_manager.filter(pk=instance.pk).first() if instance.pk and not raw else None
    if before is None:
        return
    newer_hash = update_fields == frozenset({"password"}) and getattr(instance, "_password", None) is None
    changed = before.password != instance.password and not newer_hash
    instance.ends_tokens = changed or not instance.is_active  # type: ignore[attr-defined]  # ours, until it is saved


def end_tokens(*, instance: User, **kwargs: Any) -> None:
    """After it was saved. Safe to repeat: yes."""
    if instance.__dict__.pop("ends_tokens", False):
        AuthToken.objects.filter(user=instance).delete()
