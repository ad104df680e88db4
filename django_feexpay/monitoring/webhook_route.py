"""The route of the webhook in the host's project: its path, and a middleware that answers before the view."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.conf import settings
from django.test import Client, override_settings
from django.urls import NoReverseMatch, URLResolver, get_resolver, get_script_prefix, resolve, reverse


def public_webhook_path() -> str:
    """The webhook's path as FeexPay must know it, with FORCE_SCRIPT_NAME; "" where it is not mounted."""
    path = webhook_path()
    return path and get_script_prefix().removesuffix("/") + path


def webhook_path(token: str = "") -> str:
    """The webhook's path under any prefix and namespaces; "" where `django_feexpay.urls` is not mounted.

    It is the path that the project's urls resolve, without FORCE_SCRIPT_NAME, which a proxy removes from a request.
    token: of the `url_token` mode, which is the last part of the path.
    """
    name, arguments = ("webhook_with_token", [token]) if token else ("webhook", [])
    for namespace in _namespaces(get_resolver()):
        try:
            path = without_script_prefix(reverse(f"{namespace}:{name}", args=arguments))
        except NoReverseMatch:
            continue
        view_class = getattr(resolve(path).func, "view_class", None)
        if view_class is not None and view_class.__module__ == "django_feexpay.webhooks.views":
            return path
    return ""


def without_script_prefix(path: str) -> str:
    """A path of `reverse` as the project's urls resolve it."""
    return "/" + path.removeprefix(get_script_prefix())


def _namespaces(resolver: URLResolver, outer: str = "") -> Iterator[str]:
    """Every namespace of a urlconf, nested ones as `api:payments`."""
    for name, (_prefix, inner) in resolver.namespace_dict.items():
        yield outer + name
        yield from _namespaces(inner, f"{outer}{name}:")


def intercepting_middleware(path: str) -> str:
    """The first middleware of the host that answers a webhook instead of our view; "" where none does.

    Sends requests without JSON through the first one, two, three … middlewares, in this process: our view refuses them
    and stores nothing.
    """
    if _reaches_view(path, settings.MIDDLEWARE):
        return ""
    chains = (settings.MIDDLEWARE[:length] for length in range(1, len(settings.MIDDLEWARE) + 1))
    return next((chain[-1] for chain in chains if not _reaches_view(path, chain)), "")


def _reaches_view(path: str, middleware: Sequence[str]) -> bool:
    with override_settings(MIDDLEWARE=list(middleware)), _unlogged():
        client = Client(enforce_csrf_checks=True, raise_request_exception=False, SERVER_NAME=own_host())
        answer = client.post(path, b"", content_type="text/plain", secure=True)
    return is_refusal_of_ours(answer.status_code, answer.content)


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep the refusals, which are expected here, out of the host's log."""
    logger = logging.getLogger("django.request")
    was_disabled, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = was_disabled


def is_refusal_of_ours(status: int, body: bytes) -> bool:
    """Whether the webhook view refused a request that is not a webhook: 405 for a GET, 415 for a POST without JSON."""
    return status in (405, 415) and b"urn:feexpay:problem:" in body


def own_host() -> str:
    """A host name that ALLOWED_HOSTS accepts."""
    named = [host.lstrip(".") for host in settings.ALLOWED_HOSTS if host != "*"]
    return named[0] if named else "localhost"
