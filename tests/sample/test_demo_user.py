from __future__ import annotations

from io import StringIO

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management import call_command

pytestmark = pytest.mark.django_db


def demo_user(*arguments: str) -> str:
    output = StringIO()
    call_command("feexpay_demo_user", *arguments, stdout=output)
    return output.getvalue()


def test_demo_user_can_sign_in() -> None:
    assert demo_user("player", "first password") == "created: player\n"

    user = authenticate(username="player", password="first password")
    assert isinstance(user, User)
    assert (user.is_staff, user.is_superuser) == (False, False)


def test_existing_demo_user_is_activated_with_the_new_password() -> None:
    demo_user("player", "first password")
    User.objects.update(is_active=False)

    assert demo_user("player", "second password") == "password set: player\n"

    assert authenticate(username="player", password="first password") is None
    assert authenticate(username="player", password="second password") == User.objects.get()


def test_demo_staff_is_a_superuser_until_it_becomes_a_player() -> None:
    demo_user("boss", "password", "--staff")
    assert list(User.objects.values_list("is_staff", "is_superuser")) == [(True, True)]

    demo_user("boss", "password")
    assert list(User.objects.values_list("is_staff", "is_superuser")) == [(False, False)]


def test_demo_user_never_prints_the_password() -> None:
    assert "first password" not in demo_user("player", "first password")
