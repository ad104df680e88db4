"""The words for an open circuit: payers read them in the API's refusals, and staff in the admin."""

from __future__ import annotations

from collections.abc import Collection

from django.utils.translation import get_language
from django.utils.translation import gettext as _

from django_feexpay.catalogue.providers import CATALOGUE
from django_feexpay.payments.admission.circuit_breaker import GATEWAY, open_circuits


def circuit_of(provider_code: str, circuits: Collection[str]) -> str:
    """The circuit among these that stops this provider, FeexPay's own before the provider's; "" if none does."""
    return next((circuit for circuit in (GATEWAY, provider_code) if circuit in circuits), "")


def problem(circuit: str) -> str:
    """What is wrong while this circuit is open."""
    if circuit == GATEWAY:
        return _("FeexPay does not answer at the moment.")
    return _("%(provider)s has a problem at the moment.") % {"provider": _full_name(circuit)}


def for_payers(circuit: str) -> str:
    """What is wrong, and what a payer can do."""
    if circuit == GATEWAY:
        return f"{problem(circuit)} {_('Please try again in a few minutes.')}"
    return f"{problem(circuit)} {_('Please try again soon or choose another way to pay.')}"


def refusal(provider_code: str) -> str:
    """Why no payment can be started with this provider now. If no circuit is open, FeexPay has too much to do."""
    circuit = circuit_of(provider_code, open_circuits((provider_code,)))
    if not circuit:
        return _("FeexPay has too many payments to take at the moment. Please try again in a few seconds.")
    return for_payers(circuit)


def _full_name(code: str) -> str:
    """`MTN Mobile Money (Benin)`: one name serves several countries."""
    spec = CATALOGUE.get(code)
    if spec is None:
        return code
    language = get_language() or ""
    name, country = spec.name_in(language), spec.country_in(language)
    return f"{name} ({country})" if country else name
