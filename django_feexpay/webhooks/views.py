"""The webhook view: no session, no cookie, no user, no CSRF."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from django_feexpay import conf, strict_json
from django_feexpay.conf import feexpay
from django_feexpay.crypto import Secret
from django_feexpay.gateway.errors import WebhookRejectedError
from django_feexpay.gateway.reports import hint_from
from django_feexpay.gateway.signatures import verify
from django_feexpay.payments import webhook_hints, webhook_rejects
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.private import PrivateBytes, PrivateDict
from django_feexpay.problems import problem_response
from django_feexpay.webhooks import url_token

logger = logging.getLogger("django_feexpay.webhooks")


class WebhookView(View):
    """Answers 200 (stored, now or by an earlier delivery), 400, 401, 405, 413, 415; 503 without the database.

    After a 503 FeexPay sends the webhook again.
    """

    http_method_names = ("post",)

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """Exempt the view from ATOMIC_REQUESTS, because 200 means committed, and from CSRF and LoginRequiredMiddleware,
        because FeexPay has no session: the view checks WEBHOOK_MODES instead.
        """
        return login_not_required(transaction.non_atomic_requests(csrf_exempt(super().as_view(**initkwargs))))

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if token := kwargs.get("token"):
            url_token.hide(request, token)
        return super().dispatch(request, *args, **kwargs)

    def post(self, request: HttpRequest, token: Secret | None = None) -> HttpResponse:
        if request.content_type != "application/json":
            return problem_response(request, "unsupported_media_type")
        try:
            raw = PrivateBytes(request.read(strict_json.MAX_BYTES + 1))  # up to the limit, whatever Content-Length says
            if len(raw) > strict_json.MAX_BYTES:
                return problem_response(request, "payload_too_large")
            _authenticate(request, raw, token)
            webhook_hints.receive(hint_from(strict_json.load(raw)))
        except WebhookRejectedError as error:
            logger.warning("webhook rejected: %s", error.cause_code)
            webhook_rejects.note(conf.now())
            text = _("The proof of this webhook is missing or wrong, so nothing was stored. Check its secret.")
            return problem_response(request, "not_authenticated", detail=text, headers={"WWW-Authenticate": "Webhook"})
        except strict_json.MalformedBodyError as error:
            return problem_response(request, "malformed_request", detail=str(error))
        except (DatabaseError, NotAllowedError) as error:
            logger.error("webhook not stored: %s", type(error).__name__)
            return problem_response(request, "gateway_unavailable")
        return JsonResponse({"received": True})

    def http_method_not_allowed(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        return problem_response(request, "method_not_allowed", headers={"Allow": "POST"})


def _authenticate(request: HttpRequest, raw: bytes, token: Secret | None) -> None:
    verify(
        modes=feexpay.webhook_modes,
        secrets=feexpay.webhook_secrets,
        body=raw,
        headers=PrivateDict(request.headers),
        url_token=token.reveal() if token else "",
        now=conf.now().timestamp(),
        scheme=feexpay.webhook_hmac,
    )
