"""Sign-in and sign-out with bearer tokens.

Tokens are stored hashed and expire. A new password or a deactivated account revokes all of them.
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
    """A JSON string: the number 5 is refused."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class SignIn(serializers.Serializer[Any]):
    username = Text(max_length=150)
    password = Text(max_length=4096, trim_whitespace=False)


class TokenView(ShopView):
    """POST {"username", "password"} → 200 {"token", "expires_at"}; 401 when they are wrong."""

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
    """POST → 204; revokes the token of this request."""

    authentication_classes = (TokenAuthentication,)

    def post(self, request: Request) -> Response:
        assert isinstance(request.auth, AuthToken)  # noqa: S101 -- the only way to sign in here
        request.auth.delete()
        return Response(status=204)


class LogoutAllView(ShopView):
    """POST → 204; revokes all tokens of the player, for a lost phone."""

    authentication_classes = (TokenAuthentication,)

    def post(self, request: Request) -> Response:
        AuthToken.objects.filter(user=request.user).delete()
        return Response(status=204)


@transaction.atomic
def _new_token(user: Any) -> tuple[AuthToken, str]:
    """Create a token, unless the password changed since it was checked. The row lock prevents a change meanwhile.

    Raises: AuthenticationFailed.
    """
    now = get_user_model()._default_manager.select_for_update().get(pk=user.pk)
    if (now.password, now.is_active) != (user.password, True):
        raise AuthenticationFailed
    created: tuple[AuthToken, str] = AuthToken.objects.create(user=now, expiry=knox_settings.TOKEN_TTL)
    return created


def detect_account_change(*, instance: User, raw: bool, update_fields: frozenset[str] | None, **kwargs: Any) -> None:
    """Before a user is saved, record whether that changes the password or deactivates the account.

    A sign-in may rewrite the same password with a newer hash; that revokes nothing.
    """
    before = type(instance)._default_manager.filter(pk=instance.pk).first() if instance.pk and not raw else None
    if before is None:
        return
    newer_hash = update_fields == frozenset({"password"}) and getattr(instance, "_password", None) is None
    changed = before.password != instance.password and not newer_hash
    instance.revokes_tokens = changed or not instance.is_active  # type: ignore[attr-defined]  # read by revoke_tokens


def revoke_tokens(*, instance: User, **kwargs: Any) -> None:
    """After a user is saved, revoke the tokens if detect_account_change said so. Safe to repeat: yes."""
    if instance.__dict__.pop("revokes_tokens", False):
        AuthToken.objects.filter(user=instance).delete()
