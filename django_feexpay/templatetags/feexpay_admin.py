"""Tags for the pages of Django's own admin views, which know nothing of our context."""

from __future__ import annotations

from typing import Any

from django import template

from django_feexpay.admin import overview

register = template.Library()


@register.inclusion_tag("admin/feexpay/overview/body.html", takes_context=True)
def feexpay_overview(context: Any) -> dict[str, Any]:
    """The front page of the back office; nothing for staff who may see none of it."""
    request = context.request
    return overview.sections(request) if overview.may_open(request) else {}
