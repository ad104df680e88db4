"""The token of the webhook URL is in no log and no error report, for any response."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Callable
from typing import Any
from wsgiref.util import setup_testing_defaults

import django
import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import resolve, reverse, set_script_prefix
from django.utils import translation
from django.utils.log import AdminEmailHandler

from django_feexpay.crypto import Secret
from django_feexpay.payments import webhook_hints
from django_feexpay.webhooks.url_token import LOGGERS, TokenFilter, guard_logs
from tests.api.caller import BASE, JSON
from tests.conftest import Configure
from tests.webhooks.webhook_requests import post_webhook, raw

pytestmark = pytest.mark.django_db

TOKEN = "canary-of-the-address"
PATH = f"{BASE}webhook/{TOKEN}/"


@pytest.fixture(autouse=True)
def log(configure: Configure, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    configure(WEBHOOK_MODES="url_token", WEBHOOK_SECRETS=[f"url_token:{TOKEN}"])
    caplog.set_level(logging.DEBUG)
    return caplog


def lines(log: pytest.LogCaptureFixture) -> list[str]:
    """The lines of Django's request logger."""
    return [record.getMessage() for record in log.records if record.name == "django.request"]


def broken(*args: object, **named: object) -> None:
    raise OperationalError("connection lost")


def bug(*args: object, **named: object) -> None:
    raise RuntimeError("a bug")


ANSWERS: dict[str, tuple[int, Callable[[], Any]]] = {
    "not JSON": (400, lambda: post_webhook(b"{", token=TOKEN)),
    "another token": (401, lambda: post_webhook(token=TOKEN + "x")),
    "GET": (405, lambda: Client().get(PATH)),
    "too large": (413, lambda: post_webhook(b" " * 70_000, token=TOKEN)),
    "a form": (415, lambda: post_webhook(token=TOKEN, content_type="text/plain")),
    "database away": (503, lambda: post_webhook(token=TOKEN)),
    "a bug": (500, lambda: Client(raise_request_exception=False).post(PATH, raw(), content_type=JSON)),
    "slash forgotten": (404, lambda: Client().post(PATH[:-1], raw(), content_type=JSON)),
    "one segment more": (404, lambda: Client().post(f"{PATH}x/", raw(), content_type=JSON)),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_log_of_an_answer_does_not_hold_the_token(
    log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    status, ask = ANSWERS[name]
    if status in (500, 503):
        monkeypatch.setattr(webhook_hints, "receive", bug if status == 500 else broken)

    assert ask().status_code == status

    (line,) = lines(log)
    assert line.endswith(f"{BASE}webhook/***" + ("" if name == "slash forgotten" else "/"))
    assert TOKEN not in log.text


def answering_middleware(get_response: Any) -> Any:
    """A middleware of the host that answers before our view."""
    return lambda request: HttpResponse("maintenance", status=503)


def replacing_middleware(get_response: Any) -> Any:
    """A middleware of the host that replaces our answer."""

    def middleware(request: HttpRequest) -> HttpResponse:
        return HttpResponse(status=get_response(request).status_code)

    return middleware


@pytest.mark.parametrize("middleware", [answering_middleware, replacing_middleware])
def test_token_is_hidden_behind_a_middleware_of_the_host(
    log: pytest.LogCaptureFixture, settings: Any, middleware: Any
) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.{middleware.__name__}"]

    assert post_webhook(b"{", token=TOKEN).status_code in (400, 503)

    assert len(lines(log)) == 1
    assert TOKEN not in log.text


def test_token_under_a_path_prefix_is_hidden(log: pytest.LogCaptureFixture) -> None:
    Client().get(PATH, SCRIPT_NAME="/shop")
    Client().post(f"{PATH}x/", SCRIPT_NAME="/shop")

    assert [line.partition("/")[2] for line in lines(log)] == [f"shop{BASE}webhook/***/", f"shop{BASE}webhook/***/"]


def test_other_addresses_are_logged_unchanged(log: pytest.LogCaptureFixture) -> None:
    Client().get("/hosts/own/webhook/of-another-kind/")
    post_webhook(b"{")

    assert lines(log) == ["Not Found: /hosts/own/webhook/of-another-kind/", f"Unauthorized: {BASE}webhook/"]


def test_report_to_the_admins_does_not_hold_the_token(
    settings: Any, mailoutbox: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_hints, "receive", bug)
    settings.ADMINS = ["ops@shop.example"] if django.VERSION >= (6, 0) else [("Ops", "ops@shop.example")]
    logger, handler = logging.getLogger("django.request"), AdminEmailHandler(include_html=True)
    logger.addHandler(handler)
    try:
        Client(raise_request_exception=False).post(PATH, raw(), content_type=JSON)
    finally:
        logger.removeHandler(handler)

    html = [mail.alternatives[0][0] for mail in mailoutbox if mail.alternatives]
    assert f"{BASE}webhook/***/" in mailoutbox[0].subject
    assert "Traceback" in html[0]
    assert [mail.subject for mail in mailoutbox if TOKEN in mail.subject + mail.body] == []
    assert TOKEN not in html[0]
    assert "ama@example.com" not in html[0]


# --- logs of the servers ------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)  # the handler closes the connection that a test's transaction would be on
@pytest.mark.parametrize("query", ["", "a=b"])
def test_wsgi_server_finds_the_token_in_no_part_of_its_environ(query: str) -> None:
    """After the answer gunicorn logs RAW_URI, and uWSGI logs REQUEST_URI."""
    full = PATH + ("?" + query if query else "")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": PATH,
        "QUERY_STRING": query,
        "RAW_URI": full,
        "REQUEST_URI": full,
        "CONTENT_TYPE": JSON,
        "wsgi.input": io.BytesIO(b"{"),
        "CONTENT_LENGTH": "1",
    }
    setup_testing_defaults(environ)
    statuses: list[str] = []

    b"".join(WSGIHandler()(environ, lambda status, headers, *rest: statuses.append(status)))

    assert statuses == ["400 Bad Request"]
    assert [name for name, value in environ.items() if TOKEN in str(value)] == []
    assert environ["RAW_URI"] == full.replace(TOKEN, "***")


@pytest.mark.django_db(transaction=True)
def test_asgi_server_finds_the_token_in_no_part_of_its_scope(log: pytest.LogCaptureFixture) -> None:
    """uvicorn logs the path of the scope when the answer starts."""
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "headers": [(b"host", b"testserver")],
        "server": ("testserver", 80),
        "client": ("127.0.0.1", 1),
        "scheme": "http",
    }
    asked: list[bool] = []
    at_the_start: list[str] = []

    async def receive() -> dict[str, Any]:
        if asked:
            await asyncio.Event().wait()  # the client stays connected
        asked.append(True)
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            at_the_start.append(repr(scope))

    asyncio.run(ASGIHandler()(scope, receive, send))

    assert TOKEN not in at_the_start[0]
    assert scope["path"].endswith("/webhook/***/")
    assert TOKEN not in log.text


def test_token_is_removed_from_the_log_of_runserver() -> None:
    record = logging.LogRecord(
        "django.server", logging.INFO, "", 0, '"%s" %s %s', (f"POST {PATH}?a=b HTTP/1.1", "200", "1"), None
    )

    assert TokenFilter().filter(record)
    assert record.getMessage() == f'"POST {BASE}webhook/***/?a=b HTTP/1.1" 200 1'


def line_of_runserver(path: str) -> str:
    """What runserver writes of a POST to the path, which it logs as the client or a proxy sent it."""
    record = logging.LogRecord("django.server", logging.INFO, "", 0, "%s", (f"POST {path} HTTP/1.1",), None)
    TokenFilter().filter(record)
    return record.getMessage()


def test_token_is_removed_where_the_project_chose_its_own_namespace(settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.webhooks.renamed_urls"

    assert line_of_runserver(f"/money/webhook/{TOKEN}/") == "POST /money/webhook/***/ HTTP/1.1"


def test_token_is_removed_below_and_without_the_script_prefix() -> None:
    set_script_prefix("/shop/")
    try:
        written = [line_of_runserver(address) for address in (f"/shop{PATH}", PATH)]
    finally:
        set_script_prefix("/")

    assert written == [f"POST {address}webhook/***/ HTTP/1.1" for address in (f"/shop{BASE}", BASE)]


@pytest.mark.parametrize("prefix", ["/en", "/fr", ""])
def test_token_is_removed_in_every_language_of_the_address(settings: Any, prefix: str) -> None:
    settings.ROOT_URLCONF = "tests.webhooks.translated_urls"

    with translation.override("en"):
        assert line_of_runserver(f"{prefix}/money/webhook/{TOKEN}/") == f"POST {prefix}/money/webhook/***/ HTTP/1.1"


def test_filter_is_added_once() -> None:
    guard_logs()
    guard_logs()

    for name in LOGGERS:
        assert [type(one) for one in logging.getLogger(name).filters].count(TokenFilter) == 1


def test_token_of_a_resolved_address_is_masked() -> None:
    match = resolve(PATH)

    assert match.kwargs == {"token": Secret(TOKEN)}
    assert TOKEN not in repr(match.kwargs)
    assert reverse("feexpay:webhook_with_token", kwargs=match.kwargs) == PATH
