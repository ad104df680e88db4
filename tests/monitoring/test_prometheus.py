"""The metrics, read by a real Prometheus: every panel and every rule finds what it asks for."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from django_feexpay import cache_state
from django_feexpay.gateway.client import CallSeen
from django_feexpay.models import Attempt, Heartbeat, Payment, WebhookDelivery
from django_feexpay.monitoring import process_metrics
from django_feexpay.payments import daily_totals
from tests import servers
from tests.api.test_health import database_unavailable
from tests.api.test_history import store_payment
from tests.conftest import Configure
from tests.repository.tree import ROOT
from tools.monitoring_files import BOARDS, DEPLOY, RULES, files

TOKEN = "a-token-of-the-monitor-1"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
needs_prometheus = pytest.mark.skipif(PROMETHEUS is None, reason="Debian's package prometheus is not installed")
METRIC = re.compile(r"\bfeexpay_\w+")


@pytest.fixture
def token(configure: Configure) -> None:
    configure(MONITOR_TOKEN=TOKEN)


@pytest.fixture
def busy_shop(db: None, token: None) -> None:
    """One payment of each kind, webhooks, calls, an open circuit, and no worker."""
    now, player = timezone.now(), User.objects.create_user("ama")
    for status in ("successful", "failed", "expired", "pending", "review"):
        payment = store_payment(player, at=now - timedelta(minutes=2), status=status)
        Payment.objects.filter(pk=payment.pk).update(settled_at=now - timedelta(minutes=1))
        Attempt.objects.filter(payment=payment).update(settled_at=now)
        WebhookDelivery.objects.create(
            dedupe_key=status, attempt=payment.latest_attempt, received_at=now - timedelta(seconds=5)
        )
    Heartbeat.objects.create(name="gateway", beat_at=now)
    cache_state.put("breaker:mtn_bj:open", (now.timestamp() - 5, now.timestamp() + 595), 600)
    daily_totals.rebuild()
    process_metrics.note_call(CallSeen("collect", "answered", 0.3, "mtn_bj", 200))
    process_metrics.note_call(CallSeen("status", "outcome_unknown", 2.0, "mtn_bj"))
    process_metrics.note_round(0.01)
    process_metrics.note_throttled("read")
    process_metrics.note_provider_list(hit=True)
    process_metrics.note_answer("status", "GET", 200, 0.05)


def scraped(client: Client) -> dict[str, float]:
    """The value of each series, as Prometheus writes it."""
    answer = client.get("/metrics", headers=BEARER)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.content.decode())
    return {
        f"{sample.name}{json.dumps(sample.labels, sort_keys=True)}": sample.value
        for family in families
        for sample in family.samples
    }


def test_metrics_are_for_the_token_and_the_allowed_networks(client: Client, db: None, configure: Configure) -> None:
    configure(MONITOR_TOKEN=TOKEN)
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}x"}).status_code == 401
    assert client.get("/metrics", headers=BEARER).status_code == 200

    configure(MONITOR_NETWORKS="192.0.2.0/24")
    assert client.get("/metrics", REMOTE_ADDR="192.0.2.7").status_code == 200
    assert client.get("/metrics", REMOTE_ADDR="192.0.3.7").status_code == 401
    # Behind a proxy that nobody counted, every visitor would have the proxy's address.
    forwarded = {"X-Forwarded-For": "203.0.113.9"}
    assert client.get("/metrics", REMOTE_ADDR="192.0.2.7", headers=forwarded).status_code == 401
    configure(NUM_PROXIES=1)
    assert client.get("/metrics", REMOTE_ADDR="192.0.2.7", headers=forwarded).status_code == 401
    assert client.get("/metrics", headers={"X-Forwarded-For": "192.0.2.9"}).status_code == 200


def test_metrics_tell_what_the_database_knows(client: Client, busy_shop: None) -> None:
    with CaptureQueriesContext(connection) as statements:
        found = scraped(client)

    assert len(statements) < 45
    assert found['feexpay_payments_started_total{"currency": "XOF", "provider": "mtn_bj"}'] == 5
    assert found['feexpay_payments_credited_total{"currency": "XOF", "provider": "mtn_bj"}'] == 1
    assert found['feexpay_window_success_percent{"provider": "mtn_bj"}'] == pytest.approx(100 / 3)
    assert found['feexpay_settle_seconds_bucket{"le": "60.0", "provider": "mtn_bj"}'] == 1
    assert found['feexpay_settle_seconds_bucket{"le": "45.0", "provider": "mtn_bj"}'] == 0
    assert found['feexpay_circuit_open{"circuit": "mtn_bj"}'] == 1
    assert found['feexpay_fact_trouble{"fact": "worker_silent", "severity": "critical", "subject": ""}'] == 1
    assert found['feexpay_fact_value{"fact": "worker_silent", "subject": ""}'] == float("inf")
    assert found['feexpay_payers{"window": "1d"}'] == 1


def test_reference_page_lists_every_metric(client: Client, busy_shop: None) -> None:
    text = client.get("/metrics", headers=BEARER).content.decode()
    families = {family.name: family for family in text_string_to_metric_families(text) if "_created" not in family.name}
    suffix = {"counter": "_total"}
    page = (ROOT / "docs/reference/metrics.md").read_text()

    rows = dict(re.findall(r"^\| `(feexpay_\w+)` \| (\w+) \|", page, re.MULTILINE))
    assert rows == {f"{name}{suffix.get(family.type, '')}": family.type for name, family in families.items()}


def test_metrics_without_a_database_say_so(client: Client, db: None, token: None) -> None:
    with database_unavailable():
        found = scraped(client)

    assert found["feexpay_up{}"] == 0
    assert not any(name.startswith("feexpay_fact") for name in found)


def test_labels_come_from_closed_lists(client: Client, db: None, token: None) -> None:
    for path in ("/api/v1/payments/feexpay/health/", "/api/v1/payments/feexpay/nowhere/"):
        client.generic("BREW", path)
    client.get("/api/v1/payments/feexpay/history/?cursor=anything")

    labels = [json.loads(name[name.index("{") :]) for name in scraped(client) if "http_request" in name]
    assert {label["method"] for label in labels} <= {"GET", "HEAD", "POST", "other"}
    assert all(re.fullmatch("[a-z_]+", label["route"]) for label in labels)


def test_counts_of_all_processes_of_a_machine_are_added_up(tmp_path: Path, db: None) -> None:
    """Two workers count into the directory and end; a web process answers with the sum."""
    count = "process_metrics.note_round(0.01); process_metrics.note_throttled('read')"
    show = "print(generate_latest(process_metrics.registry()).decode())"
    begin = "from django_feexpay.monitoring import process_metrics; from prometheus_client import generate_latest; "
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics"), "PYTHONPATH": str(ROOT)}
    for code in (count, f"{count}; {count}", show):
        done = subprocess.run(
            [sys.executable, "-c", begin + code], env=environment, check=True, capture_output=True, text=True
        )

    assert "feexpay_worker_round_seconds_count 3.0" in done.stdout
    assert 'feexpay_throttled_total{scope="read"} 3.0' in done.stdout


# --- the files for Prometheus and Grafana -------------------------------------------------------------


def test_files_are_up_to_date() -> None:
    assert [path.name for path, content in files().items() if path.read_text() != content] == []


def expressions() -> Iterator[tuple[str, str]]:
    """Where, and the PromQL of each panel and rule."""
    for name, (_title, panels) in BOARDS.items():
        for panel in panels:
            for query in panel.queries:
                yield f"{name}: {panel.title}", query
    for number, rule in enumerate(re.findall(r"expr: (\".*\")$", RULES.read_text(), re.MULTILINE)):
        yield f"rule {number}", json.loads(rule)


def test_panels_and_rules_name_metrics_that_exist(client: Client, busy_shop: None) -> None:
    exist = {name.partition("{")[0] for name in scraped(client)}

    for where, query in expressions():
        assert set(METRIC.findall(query)) <= exist, where


@pytest.mark.skipif(PROMTOOL is None, reason="Debian's package prometheus is not installed")
def test_promtool_accepts_and_proves_the_rules() -> None:
    folder = DEPLOY / "prometheus"
    for arguments in (
        ("check", "rules", "feexpay.rules.yml"),
        ("test", "rules", "feexpay.rules.test.yml", "feexpay.uptime.test.yml"),
        ("check", "config", "--syntax-only", "prometheus.yml", "prometheus.compose.yml"),
    ):
        done = subprocess.run([str(PROMTOOL), *arguments], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def prometheus(live_server: Any, busy_shop: None, tmp_path: Path) -> Iterator[str]:
    """A Prometheus that scrapes the site each second."""
    token, config = tmp_path / "token", tmp_path / "prometheus.yml"
    token.write_text(TOKEN)
    target = live_server.url.removeprefix("http://")
    config.write_text(
        f"global: {{scrape_interval: 1s, evaluation_interval: 500ms}}\nrule_files: [{RULES}]\n"
        f"scrape_configs:\n- job_name: feexpay\n  authorization: {{credentials_file: {token}}}\n"
        f"  scrape_timeout: 1s\n  static_configs: [{{targets: ['{target}']}}]\n"
    )
    address = f"127.0.0.1:{servers.free_port()}"
    command = [str(PROMETHEUS), f"--config.file={config}", f"--web.listen-address={address}"]
    process = subprocess.Popen(
        [*command, f"--storage.tsdb.path={tmp_path / 'data'}", "--log.level=error"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://{address}/api/v1"
    finally:
        process.terminate()
        process.wait(30)


def query(prometheus: str, expression: str) -> list[Any]:
    expression = expression.replace("$__rate_interval", "1m")
    answer = requests.get(f"{prometheus}/query", params={"query": expression}, timeout=60).json()
    assert answer["status"] == "success", answer
    result: list[Any] = answer["data"]["result"]
    return result


def wait_for(prometheus: str, expression: str) -> None:
    give_up_at = time.monotonic() + 60
    while True:
        try:
            if query(prometheus, expression):
                return
        except (requests.ConnectionError, requests.JSONDecodeError):
            pass  # while it starts, it refuses the connection or answers 503 with a plain text
        assert time.monotonic() < give_up_at, expression
        time.sleep(0.2)


@needs_prometheus
@pytest.mark.django_db(transaction=True)
def test_every_panel_finds_data_in_a_live_prometheus(prometheus: str) -> None:
    wait_for(prometheus, "count_over_time(feexpay_up[1m]) >= 3")

    panels = [(where, expression) for where, expression in expressions() if not where.startswith("rule")]
    assert [where for where, expression in panels if not query(prometheus, expression)] == []
    for name in ("FeexPayWorkerSilent", "FeexPayCircuitOpen"):
        wait_for(prometheus, f'ALERTS{{alertname="{name}"}}')
