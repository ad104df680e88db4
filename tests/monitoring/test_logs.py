"""What the log lines hold: their fields, their context at each entry point, their files, and nothing personal."""

from __future__ import annotations

import ast
import asyncio
import io
import json
import logging
import os
import re
import threading
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.contrib.auth.models import User
from django.core.management import call_command

from django_feexpay import conf, log_context, start_payment
from django_feexpay.background.worker import Worker
from django_feexpay.gateway.errors import OutcomeUnknownError
from django_feexpay.models import Attempt
from django_feexpay.monitoring import logs
from django_feexpay.monitoring.log_file import RotatingLogFile
from django_feexpay.signals import payment_succeeded
from tests.api.caller import Caller
from tests.conftest import Configure
from tests.payments.fake_gateway import ModelGateway
from tests.payments.fakes import Clock, Guard
from tests.repository.tree import ROOT, python_files
from tests.webhooks.webhook_requests import delivery, post_webhook

Lines = list[dict[str, Any]]
DEPLOY = ROOT / "sample_project/deploy"


@pytest.fixture
def guard() -> Iterator[Guard]:
    guard = Guard(ModelGateway())
    with conf.use_transport(guard):
        yield guard


class Written:
    """The JSON lines that were written since the last `take`."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    def take(self) -> Lines:
        text = self.stream.getvalue()
        self.stream.seek(0)
        self.stream.truncate()
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def written() -> Iterator[Written]:
    """The lines of all loggers as `logging_config` formats them; ours from DEBUG on."""
    written = Written()
    handler = logging.StreamHandler(written.stream)
    handler.setFormatter(logs.json_formatter())
    handler.addFilter(logs.ContextFilter())
    ours, root = logging.getLogger("django_feexpay"), logging.getLogger()
    root.addHandler(handler)
    ours.setLevel(logging.DEBUG)
    try:
        yield written
    finally:
        root.removeHandler(handler)
        ours.setLevel(logging.NOTSET)


def of(lines: Lines, message: str) -> dict[str, Any]:
    """The one line whose message contains this text."""
    (found,) = [line for line in lines if message in line["message"]]
    return found


# --- the life of a payment ----------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_every_line_of_a_payment_says_what_it_is_about(
    written: Written, gateway: ModelGateway, configure: Configure, clock: Clock
) -> None:
    """Started over the API, reported by the webhook, credited by the worker's threads, handled by a receiver."""
    configure(PAYABLE="any_amount")
    shop = logging.getLogger("shop")

    def give_coins(**kwargs: Any) -> None:
        shop.warning("coins are given")

    payment_succeeded.connect(give_coins, dispatch_uid="logs")
    try:
        answer = Caller(User.objects.create_user("ama")).initiate(headers={"X-Request-ID": "of-the-player"})
        started = written.take()
        gateway.last().approve()
        attempt = Attempt.objects.get()
        clock.advance(4)
        assert post_webhook(delivery(reference=attempt.gateway_reference)).status_code == 200
        reported = written.take()
        with Worker(concurrency=1, nightly=False) as worker:
            worker.sweep()
        worked = [line for line in written.take() if line["payment_id"]]
    finally:
        payment_succeeded.disconnect(dispatch_uid="logs")

    about = {"payment_id": answer.json()["id"], "attempt_id": str(attempt.pk), "provider": "mtn_bj"}
    lines = [*[line for line in started if "new, sending" in line["message"] or "call" in line["message"]], *reported]
    for line in [*lines, *worked]:
        assert {name: line[name] for name in about} == about, line
        assert line["duration_ms"] >= 0
        assert set(line) <= set(logs.FIELDS)
    assert {line["request_id"] for line in started} == {"of-the-player"}
    assert {line["entry_point"] for line in started} == {"api"}
    assert {line["entry_point"] for line in reported} == {"webhook"}
    assert {line["entry_point"] for line in worked} == {"worker"}
    moves = [(line["from_status"], line["to_status"]) for line in [*started, *worked] if "to_status" in line]
    assert moves == [("", "sending"), ("sending", "pending"), ("pending", "successful")]
    assert of(worked, "coins are given")["logger"] == "shop"
    call = of(started, "call to FeexPay")
    assert (call["level"], call["operation"], call["outcome"]) == ("DEBUG", "collect", "answered")
    assert log_context.current() == log_context.LogContext()


@pytest.mark.django_db(transaction=True)
def test_code_of_the_host_and_commands_have_their_entry_points(written: Written, gateway: ModelGateway) -> None:
    user = User.objects.create_user("ama")

    payment = start_payment(user=user, provider="mtn_bj", amount=500, phone="01 61 00 00 50")
    by_host = written.take()
    call_command("feexpay_reconcile", "--from", "2026-11-01", "--to", "2026-11-01", stdout=io.StringIO())
    by_command = written.take()

    assert {line["entry_point"] for line in by_host} == {"host"}
    assert {line["payment_id"] for line in by_host if "attempt" in line["message"]} == {str(payment.pk)}
    assert {line["entry_point"] for line in by_command} == {"command"}


@pytest.mark.django_db
def test_move_that_is_rolled_back_is_not_logged(written: Written, gateway: ModelGateway) -> None:
    """In this test no transaction is committed."""
    start_payment(user=User.objects.create_user("ama"), provider="mtn_bj", amount=500, phone="01 61 00 00 50")

    assert [line for line in written.take() if "to_status" in line] == []


# --- the context ---------------------------------------------------------------------------------------


def test_context_belongs_to_its_thread_and_its_task() -> None:
    seen: dict[str, str] = {}

    async def task(name: str) -> None:
        with log_context.entry_point(name):
            await asyncio.sleep(0)
            seen[name] = log_context.current().entry_point

    async def both() -> None:
        await asyncio.gather(task("api"), task("webhook"))

    with log_context.entry_point("command"):
        asyncio.run(both())
        thread = threading.Thread(target=lambda: seen.update(thread=log_context.current().entry_point))
        thread.start()
        thread.join()
        assert log_context.current().entry_point == "command"

    assert seen == {"api": "api", "webhook": "webhook", "thread": ""}


def test_context_ends_also_after_an_error() -> None:
    attempt = Attempt(payment_id="9c41d6c1-7c3f-4a52-9a7e-0a2f4c5b6d7e")

    @log_context.entry_point("host")
    def fails() -> None:
        with log_context.step():
            log_context.bind(payment_id=attempt.payment_id, attempt_id=attempt.pk, provider="mtn_bj")
            raise OutcomeUnknownError

    with pytest.raises(OutcomeUnknownError):
        fails()

    assert log_context.current() == log_context.LogContext()


# --- the formats ---------------------------------------------------------------------------------------


def record(message: str, *values: object, **attributes: object) -> logging.LogRecord:
    made = logging.LogRecord("shop", logging.INFO, __file__, 1, message, values, None)
    vars(made).update(attributes)
    return made


def formatted(made: logging.LogRecord) -> dict[str, Any]:
    logs.ContextFilter().filter(made)
    return dict(json.loads(logs.json_formatter().format(made)))


def test_field_that_is_not_listed_is_not_written() -> None:
    """Django attaches the whole request to its records."""
    line = formatted(record("Not Found: %s", "/pay/", status_code=404, request="<WSGIRequest: GET '/?phone=…'>"))

    assert line["status_code"] == 404
    assert "request" not in line
    assert list(line) == [name for name in logs.FIELDS if name in line]


@pytest.mark.leaks  # the numbers are masked where a line is written
@pytest.mark.parametrize("number", ["2290161000050", "+229 01 61 00 00 50", "0161000050", "01.61.00.00.50"])
def test_number_in_a_line_of_another_package_is_masked(number: str) -> None:
    try:
        raise ValueError(f"no such payer: {number}")
    except ValueError as error:
        made = record("refused %s", number, because=number)
        made.exc_info = (type(error), error, error.__traceback__)
    line, text = formatted(made), logs.text_formatter().format(made)

    assert (line["message"], line["because"]) == ("refused •••", "•••")
    assert line["exception"].endswith("ValueError: no such payer: •••")
    assert number not in text
    assert "shop refused •••\nTraceback" in text


@pytest.mark.parametrize(
    "text",
    [
        "attempt 12345678-1234-4234-9234-123456789012 is due",
        "at 2026-11-29T18:05:07.123+00:00",
        "2026-11-29 18:05:07 on 127.0.0.1:8000",
        "claimed: 1 to send, 2 to poll, 3 settled to poll, 4 payouts",
        "650 coins for 1000000 F CFA",
    ],
)
def test_ids_times_and_amounts_are_not_masked(text: str) -> None:
    assert logs.masked(text) == text


def access(line: str, status: str = "200", size: str = "48213", name: str = "django.server") -> str:
    """A line of Django's development server, as `logging_config` writes it."""
    made = record('"%s" %s %s', line, status, size)
    made.name = name
    return str(formatted(made)["message"])


@pytest.mark.parametrize("size", ["48213", "1048576", "0", "9"])
def test_status_and_size_of_the_development_server_are_not_masked(size: str) -> None:
    line = "GET /admin/feexpay/payment/ HTTP/1.1"

    assert access(line, "200", size) == f'"{line}" 200 {size}'


@pytest.mark.leaks  # the numbers are masked where a line is written
@pytest.mark.parametrize("number", ["2290161000050", "229 01 61 00 00 50", "0161000050", "61000050", "01.61.00.00.50"])
def test_number_in_a_request_line_of_the_development_server_is_masked(number: str) -> None:
    """Also if the line of the client pretends to have a status and a size."""
    for line in (f"GET /pay/ {number} HTTP/1.1", f'GET / HTTP/1.1" 200 {number}', f"{number} / HTTP/1.1"):
        assert number not in access(line)
        assert access(line).endswith('" 200 48213')
    for status, size in (("200", number), (number, "48213")):
        written = access("GET / HTTP/1.1", status, size)
        assert (number in written, "•••" in written) == (False, True)
    assert access("GET / HTTP/1.1", "999", "6100005").endswith("•••")
    assert "•••" in access("GET / HTTP/1.1", "200", "48213", name="shop")  # another logger proves nothing


def test_no_value_can_forge_a_line_of_text() -> None:
    made = record("from %s", "a\nINFO paid\x1b[2J\u202e\u2028b")
    with log_context.entry_point("api", payment_id="9c41"):
        logs.ContextFilter().filter(made)
        line = logs.text_formatter().format(made)

    assert r"from a\nINFO paid\x1b[2J\u202e\u2028b [" in line
    assert "entry_point=api payment_id=9c41 duration_ms=" in line
    assert len(line.splitlines()) == 1


def test_level_is_of_our_loggers_only() -> None:
    """At DEBUG, Django's logger writes the values of each SQL statement."""
    config = logs.logging_config("text", level="DEBUG", loggers=("django_feexpay", "my_shop"))
    levels = {name: values["level"] for name, values in config["loggers"].items()}

    assert levels == {"django": "INFO", "django.server": "INFO", "django_feexpay": "DEBUG", "my_shop": "DEBUG"}
    assert config["root"]["level"] == "INFO"


# --- the file ------------------------------------------------------------------------------------------


def fill(path: Path, name: str, lines: int) -> None:
    handler = RotatingLogFile(str(path), max_bytes=2_000, max_files=50)
    for number in range(lines):
        handler.emit(record(f"{name}-{number:04} {'x' * 60}"))
    handler.close()


def test_processes_share_a_file_that_rotates_and_lose_no_line(tmp_path: Path) -> None:
    path, context = tmp_path / "shop.jsonl", get_context("fork")
    writers = [context.Process(target=fill, args=(path, name, 200)) for name in ("a", "b", "c")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    files = sorted(tmp_path.glob("shop.jsonl*"))
    found = [line.split()[0] for file in files for line in file.read_text().splitlines()]
    assert sorted(found) == sorted(f"{name}-{number:04}" for name in "abc" for number in range(200))
    assert max(file.stat().st_size for file in files) < 2_000 + 3 * 100
    assert len(files) > 10


def test_only_the_newest_files_of_thirty_days_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_800_000_000.0]
    monkeypatch.setattr("time.time", lambda: now[0])
    path = tmp_path / "shop.jsonl"
    handler = RotatingLogFile(str(path))
    ages = []
    for day in range(60):
        handler.emit(record(f"day {day}"))
        os.utime(path, (now[0], now[0]))
        days = [int(line.split()[1]) for file in tmp_path.glob("shop.jsonl*") for line in file.read_text().splitlines()]
        ages.append(day - min(days))
        now[0] += 24 * 3600
    handler.close()

    assert max(ages) <= 30
    assert ages[-1] >= 24
    assert len(list(tmp_path.glob("shop.jsonl*"))) <= 10


# --- the page and the files of the log shippers --------------------------------------------------------


def test_page_lists_every_field_every_entry_point_and_every_level() -> None:
    page = (ROOT / "docs/how-to/logs.md").read_text()
    fields, levels = page.split("## The fields")[1].split("## The levels")
    (entry_points,) = re.findall(r"^\| `entry_point` \| (.+) \|$", fields, re.MULTILINE)

    assert re.findall(r"^\| `(\w+)` \|", fields, re.MULTILINE) == list(logs.FIELDS)
    assert set(re.findall(r"`(\w+)`", entry_points)) == set(log_context.ENTRY_POINTS)
    assert tuple(re.findall(r"^\| ([A-Z]+) \|", levels, re.MULTILINE)) == logs.LEVELS
    for example in re.findall(r"^\{.+\}$", page, re.MULTILINE):
        assert list(json.loads(example)) == [name for name in logs.FIELDS if name in json.loads(example)]


def test_code_attaches_only_listed_fields_to_its_lines() -> None:
    attached = set()
    for path in python_files("django_feexpay", "sample_project"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "extra" and isinstance(node.value, ast.Dict):
                attached |= {key.value for key in node.value.keys if isinstance(key, ast.Constant)}

    assert {"signal", "problem"} <= attached <= set(logs.EVENT_FIELDS)


def test_promtail_reads_fields_that_are_written() -> None:
    config = yaml.safe_load((DEPLOY / "promtail/promtail.yml").read_text())
    for job in config["scrape_configs"]:
        read, timestamp, labels, metadata = (next(iter(stage.values())) for stage in job["pipeline_stages"])
        assert set(read["expressions"].values()) <= set(logs.FIELDS)
        assert {timestamp["source"], *labels, *metadata} == set(read["expressions"])
        assert {*metadata, *labels} >= {"request_id", "payment_id", "attempt_id", "provider", "entry_point", "level"}
        assert set(labels).isdisjoint({"request_id", "payment_id", "attempt_id"})  # a stream for each payment


def test_filebeat_knows_the_type_of_every_field() -> None:
    config = yaml.safe_load((DEPLOY / "filebeat/filebeat.yml").read_text())
    types = {field["name"]: field["type"] for field in config["setup.template.append_fields"]}

    assert list(types) == [f"shop.{name}" for name in logs.FIELDS]
    assert {name for name, kind in types.items() if kind in ("long", "integer")} == {
        f"shop.{name}" for name in ("duration_ms", "call_ms", "http_status", "status_code", "process")
    }
