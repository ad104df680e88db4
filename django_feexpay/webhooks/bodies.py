"""Read the body of a webhook, and refuse early what is not one: the cheapest checks come first."""

from __future__ import annotations

from django.http import HttpRequest, UnreadablePostError
from django.utils.translation import gettext as _

from django_feexpay import strict_json
from django_feexpay.private import PrivateBytes
from django_feexpay.webhooks import slow_bodies

JSON = "application/json"
_CHARSETS = ("utf-8", "utf8")


class BodyRefusedError(Exception):
    """The body was refused before it was parsed. `code` is the problem's; the text is for the sender."""

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(text)
        self.code = code


def read_body(request: HttpRequest) -> PrivateBytes:
    """The raw body, at most strict_json.MAX_BYTES.

    Raises: BodyRefusedError `unsupported_media_type`, `malformed_request` or `payload_too_large`.
    """
    _refuse_headers(request)
    with slow_bodies.deadline(request) as limit:
        try:
            raw = PrivateBytes(request.read(strict_json.MAX_BYTES + 1))  # up to the limit, whatever Content-Length says
        except UnreadablePostError:
            raise BodyRefusedError("malformed_request", _("The body did not arrive completely.")) from None
    if limit.is_over:
        text = _("The body did not arrive within %d seconds.") % slow_bodies.SECONDS
        raise BodyRefusedError("malformed_request", text)
    if len(raw) > strict_json.MAX_BYTES:
        raise BodyRefusedError("payload_too_large")
    return raw


def _refuse_headers(request: HttpRequest) -> None:
    """Refuse by the headers alone what needs no look at the body."""
    if request.content_type != JSON:
        raise BodyRefusedError("unsupported_media_type")
    charset = (request.content_params or {}).get("charset", "utf-8")
    if charset.lower() not in _CHARSETS:
        raise BodyRefusedError("unsupported_media_type", _("Send JSON in UTF-8."))
    if request.META.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise BodyRefusedError("unsupported_media_type", _("Send the body uncompressed."))
    length = request.META.get("CONTENT_LENGTH") or ""
    if "HTTP_TRANSFER_ENCODING" in request.META and not length:
        # Django reads such a body as empty: WSGI has no end of the stream.
        raise BodyRefusedError("malformed_request", _("Send the body with its Content-Length."))
    if length.isascii() and length.isdecimal() and len(length) < 19 and int(length) > strict_json.MAX_BYTES:
        raise BodyRefusedError("payload_too_large")
