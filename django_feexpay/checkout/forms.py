"""The forms of the checkout. They read texts; `payments` decides whether these are right."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms

from django_feexpay.checkout.ways import Way, Ways
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.private import PrivateText
from django_feexpay.python_api import guess_provider


class PrivateField(forms.CharField):
    """A text about the payer, which may stay empty."""

    def __init__(self) -> None:
        super().__init__(required=False, max_length=40)

    def to_python(self, value: Any) -> Any:
        return PrivateText(super().to_python(value))


class RefusableForm(forms.Form):
    """A form that can show why `payments` refused."""

    use_required_attribute = False

    #: The fields of a refusal by their names in this form. Others are shown above the form.
    refusal_fields: dict[str, str] = {"phone": "phone", "otp": "code", "provider": "provider"}

    def refuse(self, refusal: NotAllowedError) -> None:
        """Show a refusal at its fields, or above the form."""
        for error in refusal.errors:
            name = self.refusal_fields.get(error.field)
            self.add_error(name if name in self.fields else None, error.message)
        if not refusal.errors:
            self.add_error(None, refusal.message)


class StartForm(RefusableForm):
    """How to pay. `keeps`: the provider that the payer keeps although the number looks like another one's.

    `use`: the other provider, from the button that takes it. `replaces`: the failed payment in whose place this is.
    """

    provider = forms.CharField(required=False, max_length=32)
    phone = PrivateField()
    code = PrivateField()
    keeps = forms.CharField(required=False, max_length=32)
    use = forms.CharField(required=False, max_length=32)
    replaces = forms.UUIDField(required=False)

    @property
    def replaced(self) -> UUID | None:
        found: UUID | None = self.cleaned_data.get("replaces")
        return found

    def chosen(self, ways: Ways) -> Way | None:
        """The way that the payer chose."""
        return ways.of_code(self.cleaned_data.get("use") or self.cleaned_data.get("provider") or "")

    def suggested(self, ways: Ways, country: str) -> Way | None:
        """The way whose numbers look like the one that was typed; None without one that can be used now."""
        typed = self.cleaned_data.get("phone") or ""
        guess = guess_provider(typed, country=country) or guess_provider(typed)
        way = ways.of_code(guess) if guess else None
        return way if way and not way.problem else None

    def doubts(self, way: Way, suggested: Way | None) -> bool:
        """Whether to ask once if the payer means this way, as the number looks like that of another operator."""
        if suggested is None or suggested.code == way.code or way.phone is None:
            return False
        has_numbers = bool(way.phone.prefixes)  # a wallet such as Wave takes the numbers of every operator
        return has_numbers and way.code not in (self.cleaned_data.get("keeps"), self.cleaned_data.get("use"))


class RetryForm(RefusableForm):
    """`phone`: another number; empty: the same one."""

    phone = PrivateField()
    code = PrivateField()


class CodeForm(RefusableForm):
    """The code that the payer received after the start."""

    code = PrivateField()
