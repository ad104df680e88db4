"""The webhook view: no session, no cookie, no user, no CSRF."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from django_feexpay import conf, log_context, strict_json
from django_feexpay.client_address import client_key
from django_feexpay.conf import feexpay
from django_feexpay.crypto import Secret
from django_feexpay.gateway.errors import WebhookRejectedError
from django_feexpay.gateway.reports import hint_from
from django_feexpay.gateway.signatures import HmacScheme, headers_read, verify
from django_feexpay.payments import webhook_hints, webhook_rejects
from django_feexpay.payments.errors import NotAllowedError
from django_feexpay.private import PrivateDict, PrivateText
from django_feexpay.problems import problem_response
from django_feexpay.webhooks import bodies, refusal_log, url_token

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

    @log_context.entry_point(log_context.WEBHOOK)
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if token := kwargs.get("token"):
            url_token.hide(request, token)
        return super().dispatch(request, *args, **kwargs)

    def post(self, request: HttpRequest, token: Secret | None = None) -> HttpResponse:
        now = conf.now()
        try:
            raw = bodies.read_body(request)
            _authenticate(request, raw, token, now)
            webhook_hints.receive(hint_from(strict_json.load(raw)), sender=client_key(request))
        except bodies.BodyRefusedError as error:
            return refusal_log.log(problem_response(request, error.code, detail=str(error)))
        except WebhookRejectedError as error:
            webhook_rejects.note(now)
            text = _("The proof of this webhook is missing or wrong, so nothing was stored. Check its secret.")
            headers = {"WWW-Authenticate": "Webhook"}
            refusal = problem_response(request, "not_authenticated", detail=text, headers=headers)
            return refusal_log.log(refusal, error.cause_code)
        except strict_json.MalformedBodyError as error:
            return refusal_log.log(problem_response(request, "malformed_request", detail=str(error)))
        except (DatabaseError, NotAllowedError) as error:
            logger.error("webhook not stored: %s", type(error).__name__)
            return problem_response(request, "gateway_unavailable")
        return JsonResponse({"received": True})

    def http_method_not_allowed(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        return refusal_log.log(problem_response(request, "method_not_allowed", headers={"Allow": "POST"}))


def _authenticate(request: HttpRequest, raw: bytes, token: Secret | None, now: datetime) -> None:
    scheme = feexpay.webhook_hmac
    verify(
        modes=feexpay.webhook_modes,
        secrets=feexpay.webhook_secrets,
        body=raw,
        headers=_headers(request, scheme),
        url_token=token.reveal() if token else "",
        now=now.timestamp(),
        scheme=scheme,
    )


def _headers(request: HttpRequest, scheme: HmacScheme) -> PrivateDict:
    """The headers that `verify` may read.

    They are read from META, because `request.headers` would read all of them, and a forged webhook must cost little.
    """
    keys = {name: "HTTP_" + name.upper().replace("-", "_") for name in headers_read(scheme)}
    return PrivateDict({name: PrivateText(request.META[key]) for name, key in keys.items() if request.META.get(key)})
