"""Web addresses that may be used: https anywhere, http only on this machine."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

#: This machine, as a URL names it.
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def secure_url(url: str) -> SplitResult | None:
    """The parts of a URL that is https, or http on this machine; None for any other text.

    A browser reads a backslash as a slash and drops a tab, which leads it to another host than `urlsplit` says: such a
    text is None, too.
    """
    if not url.isascii() or not url.isprintable() or any(sign in url for sign in ' \\"<>'):
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError for a port that is none
    except ValueError:
        return None
    secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    return parts if secure and parts.hostname else None
