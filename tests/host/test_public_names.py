"""The names that a host imports from `django_feexpay`. `make check` reads typed_host.py for their types."""

from __future__ import annotations

import pytest

import django_feexpay

NAMES = [
    *("Detail", "FieldError", "InsideAtomicError", "NotAllowedError", "Payable", "ProviderCode", "PublicStatus"),
    *("Quote", "Status", "__version__", "astart_payment", "checkout_url", "close_review", "guess_provider", "quote"),
    *("read_return", "reconcile_payment", "retry_payment", "start_payment", "submit_otp"),
]


def test_public_names_are_these_and_each_can_be_imported() -> None:
    assert sorted(django_feexpay.__all__) == NAMES
    assert set(NAMES) <= set(dir(django_feexpay))
    assert [name for name in NAMES if not hasattr(django_feexpay, name)] == []


def test_other_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'django_feexpay' has no attribute 'nonsense'"):
        _ = django_feexpay.nonsense  # type: ignore[attr-defined]
