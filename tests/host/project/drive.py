"""Sell two orders of the variant in DJANGO_SETTINGS_MODULE: one by the project's own view, one by the HTTP API.

The web server, the sandbox and the worker run in this process; requests and webhooks go over sockets. Prints what
happened as one JSON object.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
GIVE_UP_SECONDS = 60


# Both servers use a socket that listens from here on: their ports stay theirs, and requests wait until they answer.
SITE_LISTENER, SANDBOX_LISTENER = socket.create_server((HOST, 0)), socket.create_server((HOST, 0))
SITE = f"http://{HOST}:{SITE_LISTENER.getsockname()[1]}"
os.environ["SANDBOX_PORT"] = str(SANDBOX_LISTENER.getsockname()[1])

import django  # noqa: E402 -- the settings read the port

django.setup()

import requests  # noqa: E402 -- see above
import uvicorn  # noqa: E402
from django.apps import apps  # noqa: E402
from django.conf import settings  # noqa: E402
from django.contrib.auth import get_user_model  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler  # noqa: E402
from django.test import Client  # noqa: E402
from orders.models import Order  # noqa: E402

import django_feexpay  # noqa: E402
from django_feexpay.background.worker import Worker  # noqa: E402
from django_feexpay.models import Attempt  # noqa: E402
from django_feexpay.sandbox.options import Options  # noqa: E402
from django_feexpay.sandbox.server import build_app  # noqa: E402
from django_feexpay.sandbox.store import Store  # noqa: E402


class SilentHandler(WSGIRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


def serve_site() -> None:
    if settings.SERVER == "asgi":
        from django.core.asgi import get_asgi_application

        uvicorn.Server(uvicorn.Config(get_asgi_application(), log_level="error", lifespan="off")).run([SITE_LISTENER])
        return
    from django.core.wsgi import get_wsgi_application

    server = ThreadedWSGIServer(SITE_LISTENER.getsockname(), SilentHandler, bind_and_activate=False)
    server.socket.close()
    server.socket = SITE_LISTENER
    server.server_name, server.server_port = SITE_LISTENER.getsockname()
    server.setup_environ()
    server.set_app(get_wsgi_application())
    server.serve_forever()


def serve_sandbox() -> None:
    webhook_url = f"{SITE}{settings.PREFIX}webhook/"
    options = Options(port=int(os.environ["SANDBOX_PORT"]), webhook_url=webhook_url, time_scale=0.01)
    store = Store(Path(os.environ["HOST_FOLDER"]) / "sandbox.sqlite3")
    uvicorn.Server(uvicorn.Config(build_app(options, store), log_level="error")).run([SANDBOX_LISTENER])


def signed_in(user: Any) -> requests.Session:
    """A client that is signed in as the variant says, with the CSRF token of the project's page."""
    session = requests.Session()
    session.trust_env = False
    if settings.SIGN_IN == "basic":
        session.auth = ("ama@shop.example", "secret")
    elif settings.SIGN_IN == "token":
        from rest_framework.authtoken.models import Token

        session.headers["Authorization"] = f"Token {Token.objects.create(user=user).key}"
    if apps.is_installed("django.contrib.sessions"):
        browser = Client()
        browser.force_login(user)
        session.cookies.set(settings.SESSION_COOKIE_NAME, browser.cookies[settings.SESSION_COOKIE_NAME].value)
    session.headers["X-CSRFToken"] = session.get(f"{SITE}/buy/", timeout=GIVE_UP_SECONDS).text
    return session


def outcome(response: requests.Response) -> str:
    """The payment's id, or why the project refused it."""
    if response.headers["Content-Type"].startswith("text/"):
        return f"{response.status_code} {response.text.split(' at ')[0][:80]}"
    body = response.json()
    return str(body["id"] if response.ok else f"{response.status_code} {body['code']}")


def work_until_paid(orders: Iterable[Order]) -> bool:
    give_up_at = time.monotonic() + GIVE_UP_SECONDS
    with Worker(concurrency=2) as worker:
        while time.monotonic() < give_up_at:
            worker.sweep()
            if all(Order.objects.get(pk=order.pk).is_paid for order in orders):
                return True
            time.sleep(0.05)
    return False


def admin_pages(session: requests.Session) -> list[int]:
    if not apps.is_installed("django.contrib.admin"):
        return []
    models = [model._meta.model_name for model in apps.get_app_config("feexpay").get_models()]
    pages = [f"{SITE}/admin/feexpay/{name}/" for name in ("payment", "provider", "incident") if name in models]
    return [session.get(page, timeout=GIVE_UP_SECONDS).status_code for page in pages]


def main() -> None:
    call_command("migrate", run_syncdb=True, verbosity=0)
    user = get_user_model().objects.create_superuser("ama@shop.example", password="secret")
    for serve in (serve_site, serve_sandbox):
        threading.Thread(target=serve, daemon=True).start()
    session = signed_in(user)
    api = SITE + settings.PREFIX
    by_view, by_api = Order.objects.create(price=500), Order.objects.create(price=700)
    payment_request = {
        "provider": "mtn_bj",
        "amount": 700,
        "phone": "01 61 00 00 00",
        "merchant_reference": str(by_api.pk),
    }
    as_text = {"Accept": "text/plain"}  # Django's debug page begins with the exception's name then
    form = {"order": by_view.pk}
    started = {
        "view": outcome(session.post(f"{SITE}/buy/", data=form, headers=as_text, timeout=GIVE_UP_SECONDS)),
        "api": outcome(session.post(f"{api}initiate/", json=payment_request, timeout=GIVE_UP_SECONDS)),
    }
    result: dict[str, Any] = {"package": str(Path(django_feexpay.__file__).parent.parent)}
    ids = {way: payment_id for way, payment_id in started.items() if " " not in payment_id}
    orders = [order for way, order in (("view", by_view), ("api", by_api)) if way in ids]
    is_paid = bool(orders) and work_until_paid(orders)
    for way, text in started.items():
        result[way] = text if way not in ids else "paid" if is_paid else "unpaid"
    if ids:
        result["status"] = sorted(
            session.get(f"{api}{payment_id}/status/", timeout=GIVE_UP_SECONDS).json()["detail"]
            for payment_id in ids.values()
        )
        result["webhooks"] = Attempt.objects.filter(deliveries__isnull=False).distinct().count()
    result["admin"] = sorted(set(admin_pages(session)))
    print(json.dumps(result), flush=True)
    os._exit(0)  # the servers' threads never end


main()
