"""`{% load feexpay %}`: the checkout inside a page of the host."""

from __future__ import annotations

from django import template
from django.utils.translation import gettext as _

register = template.Library()


@register.inclusion_tag("feexpay/checkout/embedded.html")
def feexpay_checkout(address: str, height: int = 760) -> dict[str, object]:
    """Show the checkout of an address of `checkout_url` in a frame, `height` pixels high.

    The host's page and the checkout must have the same origin. Without frames the payer reads a link.
    """
    return {"address": address, "height": height, "title": _("Payment")}
