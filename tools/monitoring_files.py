"""Writes the Grafana dashboards and the Prometheus rules: `python -m tools.monitoring_files [--check]`.

The rules come from the registry of health facts, so a new fact has its rule. With --check it writes nothing and exits
with 1 if a file is out of date.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_feexpay.monitoring.facts import Fact

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "sample_project/deploy"
RULES = DEPLOY / "prometheus/feexpay.rules.yml"
DASHBOARDS = DEPLOY / "grafana/dashboards"
DATASOURCE = {"type": "prometheus", "uid": "prometheus"}

# --- dashboards ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Panel:
    """One panel. `queries`: legend by PromQL. `kind`: of Grafana. `wide`: of the 24 columns."""

    title: str
    queries: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    wide: int = 12
    tall: int = 8
    text: str = ""
    stacked: bool = False


def _p95(metric: str, *labels: str) -> str:
    by = ", ".join(("le", *labels))
    return f"histogram_quantile(0.95, sum by ({by}) (rate({metric}_bucket[$__rate_interval])))"


def _fact(name: str) -> str:
    return f'max by (subject) (feexpay_fact_value{{fact="{name}"}})'


def _grown(metric: str, by: str, period: str) -> str:
    """How much a counter grew. Every instance gives the same numbers, so the greatest one counts."""
    return f"sum by ({by}) (max by (provider, currency) (increase({metric}_total[{period}])))"


def _settled(share: float, *, by: str = "le") -> str:
    buckets = "max by (le, provider) (feexpay_settle_seconds_bucket)"
    return f"histogram_quantile({share}, sum by ({by}) ({buckets}))"


_STARTED = _grown("feexpay_payments_started", "provider", "1h")
_CREDITED = _grown("feexpay_payments_credited", "provider", "1h")
_CREDITED_DAY = _grown("feexpay_payments_credited", "currency", "24h")
_AMOUNT_DAY = _grown("feexpay_credited_amount", "currency", "24h")
_UNFINISHED = 'max by (provider, status) (feexpay_window_payments{status=~"expired|failed"})'
_AMOUNT = "max by (provider, currency) (feexpay_credited_amount_total)"

BOARDS: dict[str, tuple[str, list[Panel]]] = {
    "money": (
        "FeexPay: money",
        [
            Panel(
                "Credited since the first payment",
                {f"sum by (currency) ({_AMOUNT})": "{{currency}}"},
                kind="stat",
                wide=6,
                tall=5,
            ),
            Panel(
                "Credited in the last 24 hours",
                {_AMOUNT_DAY: "{{currency}}"},
                kind="stat",
                wide=6,
                tall=5,
            ),
            Panel(
                "Fees since the first payment",
                {"sum by (currency) (max by (provider, currency) (feexpay_fees_total))": "{{currency}}"},
                kind="stat",
                wide=6,
                tall=5,
            ),
            Panel(
                "Success rate of the window",
                {
                    '100 * sum(max by (provider) (feexpay_window_payments{status="successful"})) / '
                    'sum(max by (provider, status) (feexpay_window_payments{status!~"created|sending|pending|unknown|'
                    'review"}))': "success"
                },
                "percent",
                kind="stat",
                wide=6,
                tall=5,
                text="Of the payments that ended.",
            ),
            Panel("Payments started in an hour", {_STARTED: "{{provider}}"}, stacked=True),
            Panel("Payments credited in an hour", {_CREDITED: "{{provider}}"}, stacked=True),
            Panel(
                "Amount credited in an hour",
                {_grown("feexpay_credited_amount", "currency", "1h"): "{{currency}}"},
            ),
            Panel(
                "Time from start to credit, half and 19 of 20",
                {_settled(0.5): "half", _settled(0.95): "19 of 20"},
                "s",
            ),
        ],
    ),
    "providers": (
        "FeexPay: providers",
        [
            Panel(
                "Success rate of the window",
                {"max by (provider) (feexpay_window_success_percent)": "{{provider}}"},
                "percent",
                text="Of the payments that ended, without a minimum. The alert needs ten.",
            ),
            Panel(
                "Payments of the window, by status",
                {"sum by (status) (max by (provider, status) (feexpay_window_payments))": "{{status}}"},
                stacked=True,
            ),
            Panel(
                "Time of a call to FeexPay, 19 of 20",
                {_p95("feexpay_gateway_call_seconds", "operation"): "{{operation}}"},
                "s",
            ),
            Panel(
                "Calls to FeexPay, by outcome",
                {
                    "sum by (operation, outcome) (rate(feexpay_gateway_calls_total[$__rate_interval]))": (
                        "{{operation}} {{outcome}}"
                    )
                },
                "reqps",
                stacked=True,
            ),
            Panel(
                "Calls that start a payment, by provider and outcome",
                {
                    'sum by (provider, outcome) (rate(feexpay_gateway_calls_total{operation="collect"}'
                    "[$__rate_interval]))": "{{provider}} {{outcome}}"
                },
                "reqps",
            ),
            Panel("Circuit breakers (1: open)", {"max by (circuit) (feexpay_circuit_open)": "{{circuit}}"}),
            Panel(
                "Time from start to credit, 19 of 20",
                {_settled(0.95, by="le, provider"): "{{provider}}"},
                "s",
            ),
            Panel("Seconds since FeexPay answered the probe", {_fact("gateway_silent"): "seconds"}, "s"),
        ],
    ),
    "system": (
        "FeexPay: system",
        [
            Panel("Database (1: answers)", {"min(feexpay_up)": "up"}, kind="stat", wide=6, tall=5),
            Panel("Worker: last heartbeat", {_fact("worker_silent"): "seconds"}, "s", kind="stat", wide=6, tall=5),
            Panel("Due attempts", {"max(feexpay_due_attempts)": "due"}, kind="stat", wide=6, tall=5),
            Panel("Waiting signals", {"max(feexpay_waiting_signals)": "waiting"}, kind="stat", wide=6, tall=5),
            Panel(
                "Time to answer, 19 of 20, by route",
                {_p95("feexpay_http_request_seconds", "route"): "{{route}}"},
                "s",
            ),
            Panel(
                "Answers, by status",
                {"sum by (status) (rate(feexpay_http_request_seconds_count[$__rate_interval]))": "{{status}}"},
                "reqps",
                stacked=True,
            ),
            Panel(
                "Time of a worker's round, 19 of 20",
                {_p95("feexpay_worker_round_seconds"): "round"},
                "s",
            ),
            Panel(
                "Open payments, by age in seconds", {"max by (age) (feexpay_open_payments)": "{{age}}"}, stacked=True
            ),
            Panel(
                "Most overdue poll, oldest undelivered signal",
                {_fact("polls_late"): "poll", _fact("signals_late"): "signal"},
                "s",
            ),
            Panel(
                "Requests refused by a rate limit",
                {"sum by (scope) (rate(feexpay_throttled_total[$__rate_interval]))": "{{scope}}"},
                "reqps",
            ),
            Panel(
                "List of providers: share read from the cache",
                {
                    '100 * sum(rate(feexpay_provider_list_reads_total{result="hit"}[$__rate_interval])) / '
                    "sum(rate(feexpay_provider_list_reads_total[$__rate_interval]))": "hits"
                },
                "percent",
            ),
            Panel(
                "Webhooks of the last 24 hours, by verdict",
                {"max by (verdict) (feexpay_webhooks_day)": "{{verdict}}"},
            ),
        ],
    ),
    "trouble": (
        "FeexPay: trouble",
        [
            Panel(
                "Facts in trouble",
                {"sum(max by (fact, subject) (feexpay_fact_trouble))": "facts"},
                kind="stat",
                wide=6,
                tall=6,
            ),
            Panel(
                "Which facts are in trouble",
                {"max by (fact, subject, severity) (feexpay_fact_trouble) == 1": "{{severity}}: {{fact}} {{subject}}"},
                kind="table",
                wide=18,
                tall=6,
                text="docs/reference/health-facts.md says what each means and what to do.",
            ),
            Panel(
                "Trouble over time",
                {"max by (fact, subject) (feexpay_fact_trouble)": "{{fact}} {{subject}}"},
                kind="state-timeline",
                wide=24,
                tall=12,
            ),
            Panel(
                "Charged twice, taken back, differences",
                {
                    _fact("duplicate_charges"): "charged twice",
                    _fact("reversals"): "taken back",
                    _fact("payouts_undone"): "payouts undone",
                    _fact("money_at_stake"): "differences",
                },
            ),
            Panel("Webhooks without a valid proof", {_fact("webhooks_rejected"): "in the window"}),
            Panel(
                "Time from webhook to credit",
                {"max by (quantile) (feexpay_webhook_lag_seconds)": "{{quantile}}"},
                "s",
            ),
            Panel(
                "Values against their thresholds",
                {
                    "max by (fact) (feexpay_fact_value) / on (fact) (max by (fact) (feexpay_fact_threshold) > 0)": (
                        "{{fact}}"
                    )
                },
                "percentunit",
                text="100 % is the threshold. Of facts that are trouble under it, less than 100 % is.",
            ),
        ],
    ),
    "users": (
        "FeexPay: users",
        [
            Panel(
                "Users with a credited payment",
                {"max by (window) (feexpay_payers)": "{{window}}"},
                kind="stat",
                wide=12,
                tall=6,
            ),
            Panel(
                "Average credited payment of the last 24 hours",
                {f"{_AMOUNT_DAY} / {_CREDITED_DAY}": "{{currency}}"},
                kind="stat",
                wide=12,
                tall=6,
            ),
            Panel("Users with a credited payment, over time", {"max by (window) (feexpay_payers)": "{{window}}"}),
            Panel(
                "Which providers users choose",
                {f"topk(10, {_STARTED})": "{{provider}}"},
                stacked=True,
                text="Payments started in an hour.",
            ),
            Panel(
                "Payments that users did not finish",
                {f"sum by (provider) ({_UNFINISHED})": "{{provider}}"},
                stacked=True,
                text="Expired or failed, of the window.",
            ),
            Panel(
                "Payments per user in 24 hours",
                {
                    "sum(max by (provider, currency) (increase(feexpay_payments_credited_total[24h]))) / "
                    'max(feexpay_payers{window="1d"})': "payments"
                },
            ),
        ],
    ),
}


def dashboard(name: str) -> dict[str, Any]:
    """The dashboard as Grafana's JSON."""
    title, panels = BOARDS[name]
    return {
        "uid": f"feexpay-{name}",
        "title": title,
        "tags": ["feexpay"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": []},
        "annotations": {"list": []},
        "links": [{"type": "dashboards", "tags": ["feexpay"], "title": "FeexPay", "asDropdown": True}],
        "panels": list(_placed(panels)),
    }


def _placed(panels: list[Panel]) -> Any:
    column = row = tallest = 0
    for number, panel in enumerate(panels, 1):
        if column + panel.wide > 24:
            column, row, tallest = 0, row + tallest, 0
        yield _panel(panel, number, {"x": column, "y": row, "w": panel.wide, "h": panel.tall})
        column, tallest = column + panel.wide, max(tallest, panel.tall)


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    is_table = panel.kind == "table"
    targets = [
        {
            "refId": chr(ord("A") + index),
            "datasource": DATASOURCE,
            "expr": expression,
            "legendFormat": legend,
            "instant": is_table or panel.kind == "stat",
            "range": not (is_table or panel.kind == "stat"),
            **({"format": "table"} if is_table else {}),
        }
        for index, (expression, legend) in enumerate(panel.queries.items())
    ]
    custom = {"stacking": {"mode": "normal"}, "fillOpacity": 30} if panel.stacked else {}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": DATASOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "custom": custom}, "overrides": []},
        "options": {},
        "targets": targets,
    }


# --- rules --------------------------------------------------------------------------------------------

_HEADER = """\
# Alerts of django_feexpay. `python -m tools.monitoring_files` makes this file from the registry of health facts; the
# thresholds are those of FEEXPAY["MONITOR_THRESHOLDS"], because the server judges each fact. `promtool test rules
# feexpay.rules.test.yml` proves it.
"""

#: Alerts about what the server cannot report itself: name, expression, how long, severity, summary, description.
_OUTSIDE = (
    (
        "FeexPayDown",
        'up{job="feexpay"} == 0 or feexpay_up == 0',
        "1m",
        "critical",
        "{{ $labels.instance }} answers no scrape, or its database does not answer",
        "Start the web server or the database again.",
    ),
    (
        "FeexPayAbsent",
        "absent(feexpay_up)",
        "2m",
        "critical",
        "No instance of the shop gives metrics",
        "Start the web servers, and check MONITOR_TOKEN in prometheus.yml.",
    ),
    (
        "FeexPayUptimeLow",
        'avg_over_time(up{job="feexpay"}[1d]) < 0.999',
        "5m",
        "warning",
        "{{ $labels.instance }} answered less than 99.9 % of the scrapes of a day",
        "Look in its log for restarts.",
    ),
    (
        "FeexPayResponsesSlow",
        "histogram_quantile(0.95, sum by (le) (rate(feexpay_http_request_seconds_bucket[10m]))) > 2",
        "10m",
        "warning",
        "One answer in twenty takes over two seconds",
        "Look at the latency of FeexPay and of the database.",
    ),
)


def rules() -> str:
    """The rules file: one alert per fact, and those about what the server cannot report itself."""
    from django_feexpay.monitoring.facts import FACTS

    lines = [_HEADER + "groups:", "  - name: feexpay-facts", "    rules:"]
    for fact in FACTS:
        lines += _rule(*_of_fact(fact))
    lines += ["  - name: feexpay-outside", "    rules:"]
    for outside in _OUTSIDE:
        lines += _rule(*outside)
    return "\n".join(lines) + "\n"


def alert_name(fact_name: str) -> str:
    return "FeexPay" + "".join(word.capitalize() for word in fact_name.split("_"))


def _of_fact(fact: Fact) -> tuple[str, str, str, str, str, str]:
    subject = "{{ if $labels.subject }}{{ $labels.subject }}: {{ end }}"
    expression = f'max by (fact, subject) (feexpay_fact_trouble{{fact="{fact.name}"}}) == 1'
    name = alert_name(fact.name) + ("Fact" if fact.name in ("uptime_low", "responses_slow") else "")
    return name, expression, "1m", fact.severity.value, f"{subject}{fact.words}", str(fact.advice)


def _rule(name: str, expression: str, wait: str, severity: str, summary: str, description: str) -> list[str]:
    return [
        f"      - alert: {name}",
        f"        expr: {json.dumps(expression)}",
        f"        for: {wait}",
        f"        labels: {{severity: {severity}}}",
        "        annotations:",
        f"          summary: {json.dumps(summary, ensure_ascii=False)}",
        f"          description: {json.dumps(description, ensure_ascii=False)}",
    ]


def files() -> dict[Path, str]:
    """Every file with its content."""
    boards = {DASHBOARDS / f"{name}.json": json.dumps(dashboard(name), indent=1) + "\n" for name in BOARDS}
    return {RULES: rules(), **boards}


def main(arguments: list[str]) -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.testing")
    sys.path.insert(0, str(ROOT / "sample_project"))
    import django

    django.setup()
    stale = [path for path, content in files().items() if not path.exists() or path.read_text() != content]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is out of date: run `python -m tools.monitoring_files`")
        return 1 if stale else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files()[path])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
