"""Sign-in and sign-out with bearer tokens.

Tokens are stored hashed and expire. A new password or a deactivated account revokes all of them.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth import authenticate, get_user_model
from django.contrib.auth.models import User
from django.db import transaction
from django.shortcuts import get_object_or_404
from django.utils import timezone
from knox.models import AuthToken
from knox.settings import knox_settings
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from shop.authentication import BearerAuthentication
from shop.throttles import SIGN_IN_THROTTLES, remember_address
from shop.views import ShopView

#: A player has at most this many tokens; a further one revokes the oldest.
_MOST_TOKENS = 20
#: The public id of a token: this many hex digits of its hash.
ID_LENGTH = 32


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
    throttle_classes = SIGN_IN_THROTTLES

    def post(self, request: Request) -> Response:
        given = SignIn(data=request.data)
        given.is_valid(raise_exception=True)
        user = authenticate(request, **given.validated_data)
        if user is None:
            raise AuthenticationFailed
        kept, token = _new_token(user)
        remember_address(request, user.get_username())
        return Response({"token": token, "expires_at": kept.expiry})


class TokensView(ShopView):
    """GET → the player's valid tokens, newest first. The tokens themselves are not kept and cannot be shown."""

    authentication_classes = (BearerAuthentication,)

    def get(self, request: Request) -> Response:
        valid = AuthToken.objects.filter(user=request.user, expiry__gt=timezone.now()).order_by("-created")
        return Response([_token_as_json(token, request.auth) for token in valid])


class OneTokenView(ShopView):
    """DELETE → 204; revokes this token of the player. 404 for any other token."""

    authentication_classes = (BearerAuthentication,)

    def delete(self, request: Request, token_id: str) -> Response:
        get_object_or_404(AuthToken, user=request.user, digest__startswith=token_id).delete()
        return Response(status=204)


class LogoutView(ShopView):
    """POST → 204; revokes the token of this request."""

    authentication_classes = (BearerAuthentication,)

    def post(self, request: Request) -> Response:
        assert isinstance(request.auth, AuthToken)  # noqa: S101 -- the only way to sign in here
        request.auth.delete()
        return Response(status=204)


class LogoutAllView(ShopView):
    """POST → 204; revokes all tokens of the player, for a lost phone."""

    authentication_classes = (BearerAuthentication,)

    def post(self, request: Request) -> Response:
        AuthToken.objects.filter(user=request.user).delete()
        return Response(status=204)


def _token_as_json(token: AuthToken, current: AuthToken) -> dict[str, Any]:
    return {
        "id": token.digest[:ID_LENGTH],
        "created_at": token.created,
        "expires_at": token.expiry,
        "current": token == current,
    }


@transaction.atomic
def _new_token(user: Any) -> tuple[AuthToken, str]:
    """Create a token, unless the password changed since it was checked. The row lock prevents a change meanwhile.

    Changes: AuthToken; the oldest are deleted. Raises: AuthenticationFailed.
    """
    now = get_user_model()._default_manager.select_for_update().get(pk=user.pk)
    if (now.password, now.is_active) != (user.password, True):
        raise AuthenticationFailed
    too_many = AuthToken.objects.filter(user=now).order_by("-created").values_list("pk", flat=True)[_MOST_TOKENS - 1 :]
    AuthToken.objects.filter(pk__in=list(too_many)).delete()
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
