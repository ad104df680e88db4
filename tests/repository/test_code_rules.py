"""The code keeps our own rules, and each rule finds a planted violation."""

from __future__ import annotations

import ast
import re
import textwrap

import pytest

from tests.repository.tree import python_files
from tools import code_rules
from tools.code_rules import template_violations, violations
from tools.network_calls import NetworkCalls

PLANTED = [
    ("mac-compared", "if signature == expected: ..."),
    ("mac-compared", "ok = hmac.new(key, body, 'sha256').hexdigest() != given"),
    ("mac-compared", "ok = headers['webhook_signature'] == given"),
    ("no-timeout", "import requests\nrequests.get(url)"),
    ("no-timeout", "import requests as http\nhttp.post(url, json=body, timeout=None)"),
    ("no-timeout", "from requests import request\nrequest('GET', url)"),
    ("no-timeout", "import requests\nwith requests.Session() as mine:\n    mine.get(url)"),
    ("no-timeout", "import httpx\nclient = httpx.AsyncClient(base_url=url)"),
    ("no-timeout", "from urllib.request import urlopen\nurlopen(url)"),
    ("no-timeout", "import socket\nsocket.create_connection((host, 80))"),
    ("unescaped-html", "mark_safe(f'<b>{name}</b>')"),
    ("unescaped-html", "format_html(f'<b>{name}</b>')"),
    ("unescaped-html", "format_html('<b>{}</b>'.format(name))"),
    ("personal-data", "logger.info('paid by %s', payment.msisdn)"),
    ("personal-data", "self._logger.warning(f'refused {phone!r}')"),
    ("personal-data", "logger.error('x', extra={'a': body['email'].lower(), 'b': row.first_name})"),
    ("personal-data", "raise ValueError(f'{phone} is no number')"),
    ("personal-data", "raise ValueError('%s is no number' % attempt.national)"),
    ("personal-data", "raise ValueError('{} is no code'.format(otp))"),
    ("all-fields", "class Meta:\n    fields = '__all__'"),
]

CLEAN = [
    "hmac.compare_digest(signature, expected)",
    "if payment.status == expected: ...",
    "import requests\nrequests.get(url, timeout=5)",
    "import requests\nrequests.get(url, **options)",
    "import httpx\nhttpx.AsyncClient(timeout=5)",
    "format_html('<b>{}</b>', name)",
    "logger.info('paid by %s', msisdn_masked)",
    "raise PhoneError('invalid')",
    "class Meta:\n    fields = ['id']",
]


@pytest.mark.parametrize(("rule", "source"), PLANTED)
def test_each_rule_finds_its_violation(rule: str, source: str) -> None:
    assert {violation.rule for violation in violations(source)} == {rule}


@pytest.mark.parametrize("source", CLEAN)
def test_rules_accept_the_right_way(source: str) -> None:
    assert violations(source) == []


@pytest.mark.parametrize("text", ["{{ name|safe }}", "{% autoescape off %}", "{{ rows|safeseq }}"])
def test_templates_are_read_too(text: str) -> None:
    assert [violation.rule for violation in template_violations(f"<p>\n{text}")] == ["unescaped-html"]
    assert template_violations("{{ name }} is safe") == []


def test_exception_needs_a_reason_and_a_violation() -> None:
    line = "mark_safe(text)  # allowed: unescaped-html"

    assert violations(f"{line} -- Django made it") == []
    assert [violation.rule for violation in violations(line)] == ["allowed", "unescaped-html"]
    assert [violation.rule for violation in violations("x = 1  # allowed: unescaped-html -- once")] == ["allowed"]


GATEWAY = """
    from shop import conf

    class Reader:
        def read(self):
            return conf.gateway().fetch_history()

    def ask(payment):
        return conf.gateway().fetch_status(payment)

    def note(payment):
        payment.save()
"""
ATOMIC = [
    pytest.param("with transaction.atomic():\n    conf.gateway()", True, id="directly"),
    pytest.param("with transaction.atomic():\n    gateway.ask(payment)", True, id="through a function"),
    pytest.param("with durable():\n    here(payment)", True, id="through two functions"),
    pytest.param("with durable():\n    reader = gateway.Reader()\n    reader.read()", True, id="through an object"),
    pytest.param("@durable()\ndef pay():\n    gateway.ask(payment)", True, id="in a decorated function"),
    pytest.param("with transaction.atomic():\n    gateway.note(payment)", False, id="a write"),
    pytest.param("with transaction.atomic():\n    pass\ngateway.ask(payment)", False, id="after the transaction"),
]


@pytest.mark.parametrize(("block", "found"), ATOMIC)
def test_network_call_in_a_transaction_is_found_from_module_to_module(block: str, found: bool) -> None:
    function = block if "def " in block else f"def pay(payment):\n{textwrap.indent(block, '    ')}"
    source = f"from shop import conf, gateway\n\ndef here(payment):\n    gateway.ask(payment)\n\n{function}\n"
    network = NetworkCalls({"shop.gateway": ast.parse(textwrap.dedent(GATEWAY)), "shop.pay": ast.parse(source)})

    rules = {violation.rule for violation in violations(source, network, "shop.pay")}

    assert rules == ({"network-in-atomic"} if found else set())


def test_each_exception_of_a_bandit_rule_has_a_reason() -> None:
    files = python_files("django_feexpay", "sample_project", "tools", "client_app/src")
    excepted = [
        line for path in files for line in path.read_text().splitlines() if re.search(r"noqa:.*\bS\d\d\d", line)
    ]

    assert len(excepted) > 10
    assert [line for line in excepted if " -- " not in line] == []


def test_repository_keeps_the_rules(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_rules.main() == 0, capsys.readouterr().out
