"""The files in sample_project/deploy: their own programs accept them, and nginx does what the site promises."""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPResponse, HTTPSConnection
from http.server import BaseHTTPRequestHandler
from itertools import takewhile
from pathlib import Path

import pytest

from tests import servers
from tests.repository.test_commands import supported_variables, variables_named
from tools.deployment import check
from tools.deployment.site import DEPLOY, HOST, Site, serving, write_site

WEBHOOK = "/api/v1/payments/feexpay/webhook/"


def require(program: str) -> str:
    path = check.program_path(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


@pytest.mark.parametrize("one", check.CHECKS, ids=lambda one: one.program)
def test_program_accepts_its_files(one: check.Check, tmp_path: Path) -> None:
    one.run(tmp_path, require(one.program))


def test_check_reports_what_a_program_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "wrong.sh").write_text('#!/bin/sh\ncp "$1 /tmp\n')
    program = require("shellcheck")
    monkeypatch.setattr(check, "DEPLOY", tmp_path)

    with pytest.raises(check.WrongFileError, match=r"wrong\.sh"):
        check.scripts(tmp_path, program)


@pytest.mark.parametrize("name", ["production.env", "staging.env"])
def test_environment_templates_name_only_variables_that_are_read(name: str) -> None:
    named = variables_named((DEPLOY / "env" / name).read_text())
    of_gunicorn = {"WEB_PROCESSES", "WEB_THREADS", "WEB_WORKER_CLASS"}
    of_systemd = {"WORKER_OPTIONS"}
    others = {word for word in named if word.startswith("FEEXPAY_SANDBOX_")} | {"DJANGO_SETTINGS_MODULE"}

    assert named - of_gunicorn - of_systemd - others <= supported_variables()
    assert named.isdisjoint({"SECRET_KEY", "DATABASE_URL", "FEEXPAY_API_KEY", "FEEXPAY_HASH_KEY"})


# --- nginx, in front of an upstream that records what it is asked -------------------------------------


@dataclass
class Upstream:
    """The requests that came through nginx."""

    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    go_on: threading.Event = field(default_factory=threading.Event)


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    upstream: Upstream


class Handler(BaseHTTPRequestHandler):
    server: UnixServer

    def do_GET(self) -> None:
        self.server.upstream.seen.append((self.command, self.path, dict(self.headers)))
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.send_response(200)
        self.send_header("Strict-Transport-Security", "max-age=1")
        self.end_headers()
        self.wfile.write(b"first\n")
        if self.path.endswith("/events/"):
            was_read = self.server.upstream.go_on.wait(60)
            self.wfile.write(b"second\n" if was_read else b"nobody read the first line\n")

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass

    def address_string(self) -> str:
        return "unix"


@contextmanager
def answering(path: Path) -> Iterator[Upstream]:
    with UnixServer(str(path), Handler) as server:
        server.upstream = Upstream()
        path.chmod(0o666)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.upstream
        finally:
            server.shutdown()
            thread.join()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    body: bytes

    @property
    def code(self) -> str:
        """The code of a problem."""
        return str(json.loads(self.body)["code"])


@dataclass
class Running:
    site: Site
    upstream: Upstream

    def ask(
        self, path: str, *, body: bytes | None = None, headers: dict[str, str] | None = None, source: str = "127.0.0.1"
    ) -> Answer:
        """One request over TLS."""
        with self.opened(path, body=body, headers=headers, source=source) as response:
            return Answer(response.status, response.headers, response.read())

    @contextmanager
    def opened(
        self, path: str, *, body: bytes | None = None, headers: dict[str, str] | None = None, source: str = "127.0.0.1"
    ) -> Iterator[HTTPResponse]:
        """The answer while it arrives. Only the site's own authority is trusted."""
        trusted = ssl.create_default_context(cafile=str(self.site.folder / "authority.pem"))
        connection = HTTPSConnection(HOST, self.site.https_port, context=trusted, timeout=120)
        plain = socket.create_connection(("127.0.0.1", self.site.https_port), 120, source_address=(source, 0))
        with trusted.wrap_socket(plain, server_hostname=HOST) as connection.sock:
            connection.request("GET" if body is None else "POST", path, body, {"Host": HOST, **(headers or {})})
            with connection.getresponse() as response:
                yield response


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    require("nginx")
    folder = tmp_path_factory.mktemp("site")
    # If nginx starts as root, its workers run as another user, who needs the way to the socket.
    for part in takewhile(lambda one: not one.stat().st_mode & stat.S_IXOTH, (folder, *folder.parents)):
        part.chmod(0o755)
    site = write_site(folder, http_port=servers.free_port(), https_port=servers.free_port())
    (folder / "static").mkdir()
    (folder / "static" / "shop.0123456789ab.css").write_text("a{}")
    with answering(folder / "web.sock") as upstream, serving(site):
        yield Running(site, upstream)


def test_visitor_cannot_choose_the_address_or_the_scheme(running: Running) -> None:
    forged = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "http", "X-Request-ID": "mine", "Proxy": "evil"}

    answer = running.ask("/api/v1/shop/packs/", headers=forged)
    method, path, headers = running.upstream.seen[-1]

    assert (answer.status, method, path) == (200, "GET", "/api/v1/shop/packs/")
    assert (headers["X-Forwarded-For"], headers["X-Forwarded-Proto"]) == ("127.0.0.1", "https")
    assert headers["X-Request-ID"] != "mine"
    assert "Proxy" not in headers
    assert answer.headers.get_all("Strict-Transport-Security") == ["max-age=63072000; includeSubDomains; preload"]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_old_tls_is_refused(running: Running) -> None:
    old = ssl.create_default_context(cafile=str(running.site.folder / "authority.pem"))
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")

    with (
        socket.create_connection(("127.0.0.1", running.site.https_port), 120) as plain,
        pytest.raises(ssl.SSLError, match="(?i)alert|protocol"),
    ):
        old.wrap_socket(plain, server_hostname=HOST)


def test_large_webhook_is_refused_before_it_reaches_the_shop(running: Running) -> None:
    before = len(running.upstream.seen)

    answer = running.ask(WEBHOOK, body=b" " * (64 * 1024 + 1))

    assert (answer.status, answer.code) == (413, "payload_too_large")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert len(running.upstream.seen) == before
    assert running.ask(WEBHOOK, body=b" " * (64 * 1024)).status == 200


def test_logs_hold_no_token(running: Running) -> None:
    running.ask(f"{WEBHOOK}secret-of-the-address/?key=secret-of-the-query")
    running.ask(f"{WEBHOOK}secret-of-the-address/", body=b" " * 70_000)
    # nginx writes the line after the answer.
    deadline = time.monotonic() + 60
    while '"status":413' not in (log := (running.site.folder / "shop.log").read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)

    lines = [json.loads(line) for line in log.splitlines()]
    assert f"{WEBHOOK}***" in [line["path"] for line in lines]
    for path in running.site.folder.glob("*log*"):
        assert "secret-of-the" not in path.read_text()


def test_events_arrive_one_by_one(running: Running) -> None:
    running.upstream.go_on.clear()

    with running.opened("/api/v1/payments/feexpay/3f2a/events/") as answer:
        first = answer.readline()
        running.upstream.go_on.set()
        second = answer.readline()

    assert (first, second) == (b"first\n", b"second\n")


def test_metrics_are_for_this_machine_only(running: Running) -> None:
    assert running.ask("/metrics").status == 200

    answer = running.ask("/metrics", source="127.0.0.2")

    assert (answer.status, answer.code) == (404, "not_found")


def test_static_files_are_kept_by_browsers(running: Running) -> None:
    answer = running.ask("/static/shop.0123456789ab.css")

    assert (answer.status, answer.body) == (200, b"a{}")
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_shop_that_is_away_is_a_problem_with_a_time_to_wait(running: Running) -> None:
    away = running.site.folder / "web.sock"
    hidden = away.rename(away.with_suffix(".away"))
    try:
        answer = running.ask("/api/v1/shop/packs/")
    finally:
        hidden.rename(away)

    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert answer.code == "server_error"


def test_sign_in_attempts_of_one_address_are_limited(running: Running) -> None:
    answers = [running.ask("/api/v1/auth/token/", body=b"{}", source="127.0.0.3").status for _ in range(40)]

    assert answers.count(200) >= 20
    assert 429 in answers
