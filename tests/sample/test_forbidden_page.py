"""The page for staff who may not open another: in their language, with a way back."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("language", "text", "back"),
    [
        ("en", "You may not open this page", "Back to the admin"),
        ("fr", "Cette page ne vous est pas ouverte", "Retour à l&#x27;administration"),
    ],
)
def test_staff_without_the_right_read_what_to_do(language: str, text: str, back: str) -> None:
    client = Client(headers={"accept-language": language})
    client.force_login(User.objects.create_user("awa", is_staff=True))

    answer = client.get("/admin/feexpay/payment/")

    page = answer.content.decode()
    assert answer.status_code == 403
    assert text in page
    assert back.replace("&#x27;", "'") in page.replace("&#x27;", "'")
    assert 'href="/admin/"' in page
