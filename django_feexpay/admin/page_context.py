"""What the templates of our own admin pages need besides the values of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import HttpRequest

from django_feexpay.admin.readonly import AnyModelAdmin

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise


def page_context(model_admin: AnyModelAdmin, request: HttpRequest, title: str | StrPromise) -> dict[str, Any]:
    """The context of a page with this title, below the list of a model."""
    return {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": title,
        "media": model_admin.media,
    }
