"""Signing in and out: a bearer token for a name and a password. Tokens are kept hashed, and end by themselves."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import authenticate
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
        kept, token = AuthToken.objects.create(user=user, expiry=knox_settings.TOKEN_TTL)
        return Response({"token": token, "expires_at": kept.expiry})


class LogoutView(ShopView):
    """POST → 204, and the token it was sent with opens nothing any more."""

    authentication_classes = (TokenAuthentication,)

    def post(self, request: Request) -> Response:
        assert isinstance(request.auth, AuthToken)  # noqa: S101 -- the only way to sign in here
        request.auth.delete()
        return Response(status=204)
