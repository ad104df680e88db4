"""The settings of the sample project. Each test runs a process, because settings are read once per process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.repository.tree import ROOT
from tools import deploy_check

SAMPLE = ROOT / "sample_project"

PRODUCTION = {
    "SECRET_KEY": "x7" * 40,
    "ALLOWED_HOSTS": "shop.example",
    "DATABASE_URL": "postgres://shop:unused@db.example:5432/shop",
    "FEEXPAY_API_KEY": "fp_unused",
    "FEEXPAY_SHOP_ID": "SHOP1",
    "FEEXPAY_FIELD_KEYS": "dGVzdGluZy1maWVsZC1rZXktMzItYnl0ZXMtbG9uZyE=",
    "FEEXPAY_HASH_KEY": "a hash key that is long enough to be one",
}


def run(module: str, code: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `code` with these settings, and without other variables of ours."""
    environment = {"PATH": os.defpath, "DJANGO_SETTINGS_MODULE": f"config.settings.{module}", **variables}
    program = f"import django, json; django.setup(); from django.conf import settings; {code}"
    return subprocess.run(
        [sys.executable, "-c", program], cwd=SAMPLE, env=environment, capture_output=True, text=True, check=False
    )


def setting(module: str, expression: str, **variables: str) -> Any:
    done = run(module, f"print(json.dumps({expression}))", variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", sorted(PRODUCTION))
def test_production_does_not_start_without(name: str) -> None:
    done = run("production", "pass", {**PRODUCTION, name: " "})

    assert done.returncode != 0
    assert f"Production does not start without {name}: see sample_project/.env.production.example." in done.stderr


def test_production_names_all_missing_variables_at_once() -> None:
    done = run("production", "pass", {})

    assert all(name in done.stderr.splitlines()[-1] for name in PRODUCTION)


def test_production_refuses_sqlite() -> None:
    done = run("production", "pass", {**PRODUCTION, "DATABASE_URL": "sqlite:///shop.sqlite3"})

    assert done.returncode != 0
    assert "Production runs on PostgreSQL" in done.stderr


def test_production_is_never_in_debug() -> None:
    assert setting("production", "settings.DEBUG", **PRODUCTION, DEBUG="true") is False


def test_production_keeps_connections_and_limits_slow_statements() -> None:
    database = setting("production", "settings.DATABASES['default']", **PRODUCTION)

    assert (database["CONN_MAX_AGE"], database["CONN_HEALTH_CHECKS"]) == (60, True)
    assert database["OPTIONS"] == {
        "connect_timeout": 5,
        "options": "-c statement_timeout=15s -c lock_timeout=5s -c idle_in_transaction_session_timeout=30s",
    }


def test_database_url_may_lift_the_limits_for_a_migration() -> None:
    url = PRODUCTION["DATABASE_URL"] + "?options=-c%20statement_timeout%3D0"

    options = setting("production", "settings.DATABASES['default']['OPTIONS']", **{**PRODUCTION, "DATABASE_URL": url})

    assert options == {"connect_timeout": 5, "options": "-c statement_timeout=0"}


def test_behind_pgbouncer_only_the_direct_connection_listens_and_sends_limits() -> None:
    expression = "[settings.DATABASES, settings.FEEXPAY['LIVE_STATUS_DATABASE']]"
    pooled = PRODUCTION["DATABASE_URL"].replace("db.example", "127.0.0.1")
    variables = {"DATABASE_URL": pooled, "DATABASE_DIRECT_HOST": "db.example:5433?sslmode=verify-full"}

    databases, listens = setting("production", expression, **{**PRODUCTION, **variables})

    default, direct = databases["default"], databases["direct"]
    assert (default["HOST"], default["DISABLE_SERVER_SIDE_CURSORS"]) == ("127.0.0.1", True)
    assert default["OPTIONS"] == {"connect_timeout": 5}  # pgbouncer refuses `options`
    assert (direct["HOST"], direct["PORT"], direct["OPTIONS"]["sslmode"]) == ("db.example", 5433, "verify-full")
    assert "statement_timeout=15s" in direct["OPTIONS"]["options"]
    assert (direct["NAME"], direct["USER"], listens) == (default["NAME"], default["USER"], "direct")


def test_production_trusts_one_proxy_and_development_none() -> None:
    assert setting("production", "settings.REST_FRAMEWORK['NUM_PROXIES']", **PRODUCTION) == 1
    assert setting("development", "settings.REST_FRAMEWORK['NUM_PROXIES']") == 0


def test_production_redirects_all_requests_to_https_except_health_checks_and_metrics() -> None:
    code = (
        "from django.test import Client;"
        "c = Client(headers={'Host': 'shop.example'});"
        "far = c.get('/api/v1/shop/packs/');"
        "print(json.dumps([far.status_code, far['Location']]))"
    )
    done = run("production", code, PRODUCTION)

    assert json.loads(done.stdout) == [301, "https://shop.example/api/v1/shop/packs/"], done.stderr
    assert setting("production", "settings.SECURE_REDIRECT_EXEMPT", **PRODUCTION) == [
        "^api/v1/payments/feexpay/(health/(live/|ready/)?|metrics/)$",
        "^metrics$",
    ]


def test_cookies_of_production_travel_over_https_to_this_host_only() -> None:
    names = ("SESSION_COOKIE_NAME", "CSRF_COOKIE_NAME")
    flags = ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "LANGUAGE_COOKIE_SECURE", "SESSION_COOKIE_HTTPONLY")
    found = setting("production", f"[getattr(settings, name) for name in {names + flags}]", **PRODUCTION)

    assert found == ["__Host-sessionid", "__Host-csrftoken", True, True, True, True]


def test_deploy_check_finds_nothing() -> None:
    assert deploy_check.main() == 0


def test_development_needs_no_variables_and_uses_the_local_sandbox() -> None:
    feexpay = setting("development", "settings.FEEXPAY")

    assert feexpay["BASE_URL"] == "http://127.0.0.1:8801/api"
    assert (feexpay["API_KEY"], feexpay["SHOP_ID"]) == ("test_sandbox_key", "SANDBOXSHOP0001")


def test_development_has_no_credentials_for_another_base_url() -> None:
    feexpay = setting("development", "settings.FEEXPAY", FEEXPAY_BASE_URL="https://api-v2.feexpay.me/api")

    assert sorted(feexpay) == ["BASE_URL", "ENVIRONMENT", "PAYABLE"]


def test_sandbox_at_another_port_of_this_machine_needs_no_credentials() -> None:
    feexpay = setting("development", "settings.FEEXPAY", FEEXPAY_BASE_URL="http://localhost:9123/api")

    assert (feexpay["API_KEY"], feexpay["SHOP_ID"]) == ("test_sandbox_key", "SANDBOXSHOP0001")


def test_given_credentials_are_used_with_the_local_sandbox() -> None:
    given = {"FEEXPAY_BASE_URL": "http://127.0.0.1:9123/api", "FEEXPAY_API_KEY": "test_mine", "FEEXPAY_RATES": "USD:1"}

    feexpay = setting("development", "settings.FEEXPAY", **given)

    assert (feexpay["API_KEY"], feexpay["SHOP_ID"], feexpay["RATES"]) == ("test_mine", "SANDBOXSHOP0001", "USD:1")


def test_environment_may_require_an_idempotency_key() -> None:
    feexpay = setting("development", "settings.FEEXPAY", FEEXPAY_REQUIRE_IDEMPOTENCY_KEY="true")

    assert feexpay["REQUIRE_IDEMPOTENCY_KEY"] is True


def test_sqlite_takes_the_write_lock_at_once() -> None:
    options = setting("development", "settings.DATABASES['default']['OPTIONS']")

    assert (options["transaction_mode"], options["timeout"]) == ("IMMEDIATE", 20)
    assert "journal_mode=WAL" in options["init_command"]


def test_unknown_log_format_is_refused() -> None:
    assert (
        "LOG_FORMAT is 'xml': it must be `text` or `json`." in run("development", "pass", {"LOG_FORMAT": "xml"}).stderr
    )


def test_json_log_without_its_package_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['pythonjsonlogger'] = None; from django_feexpay.monitoring.logs import logging_config;"
    )
    done = run("development", f"{code} logging_config('json')", {})

    assert "pip install 'django-feexpay[production]'" in done.stderr.splitlines()[-1]


def test_log_goes_to_one_stream_and_sends_no_email() -> None:
    handlers = "[type(h).__name__ for n in ('', 'django', 'django.request') for h in logging.getLogger(n).handlers]"
    done = run("production", f"import logging; print(json.dumps({handlers}))", PRODUCTION)

    assert json.loads(done.stdout) == ["StreamHandler"], done.stderr


def test_environment_wins_over_the_env_file(tmp_path: Path) -> None:
    env_file = tmp_path / "shop.env"
    env_file.write_text("SECRET_KEY=from-the-file\nFEEXPAY_SHOP_ID=FROMFILE\n")
    code = "from config.env_file import read_env_file; read_env_file(); import os;"
    program = f"{code} print(os.environ['SECRET_KEY'], os.environ['FEEXPAY_SHOP_ID'])"
    environment = {"PATH": os.defpath, "ENV_FILE": str(env_file), "SECRET_KEY": "from-the-environment"}

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=SAMPLE, env=environment, capture_output=True, text=True, check=True
    )

    assert done.stdout == "from-the-environment FROMFILE\n"


def test_body_that_the_server_reads_as_a_request_line_is_not_logged() -> None:
    code = (
        "import logging; log = logging.getLogger('django.server');"
        """log.warning('"%s" %s %s', '{"provider": "mtn_ci", "phone": "0565000017"}', 400, '-');"""
        """log.info('code %d, message %s', 400, "Bad request version ('0565000017')");"""
        """log.info('"%s" %s %s', 'GET /api/ HTTP/1.1', 200, '12'); print(json.dumps(log.propagate))"""
    )
    done = run("development", code, {})

    assert "0565000017" not in done.stderr + done.stdout
    assert '"GET /api/ HTTP/1.1" 200 12' in done.stderr


def test_secrets_may_be_in_files_which_are_never_copied_into_the_settings(tmp_path: Path) -> None:
    secret = (
        "SECRET_KEY",
        "DATABASE_URL",
        "FEEXPAY_API_KEY",
        "FEEXPAY_FIELD_KEYS",
        "FEEXPAY_HASH_KEY",
        "FEEXPAY_SHOP_ID",
    )
    for name in secret:
        (tmp_path / name).write_text(f"{PRODUCTION[name]}\n")
    plain = {name: value for name, value in PRODUCTION.items() if name not in secret}
    files = {f"{name}_FILE": str(tmp_path / name) for name in secret}
    expression = (
        "[settings.SECRET_KEY, settings.DATABASES['default']['HOST'], sorted(settings.FEEXPAY), "
        "__import__('django_feexpay.conf').conf.feexpay.api_key.reveal()]"
    )

    found = setting("production", expression, **plain, **files)

    assert found == [PRODUCTION["SECRET_KEY"], "db.example", ["ENVIRONMENT", "NUM_PROXIES", "PAYABLE"], "fp_unused"]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"FEEXPAY_API_KEY_FILE": "/no/such/file"}, "Set each secret once, as a value or as a file: FEEXPAY_API_KEY."),
        ({"FEEXPAY_HASH_KEY": "", "FEEXPAY_HASH_KEY_FILE": "/no/such/file"}, "FEEXPAY_HASH_KEY cannot be read (File"),
        (
            {
                "FEEXPAY_SECRETS_BACKEND": "vault",
                "FEEXPAY_SECRETS_NAME": "secret/shop",
                "VAULT_ADDR": "http://127.0.0.1:9",
            },
            "secret/shop of Vault cannot be read",
        ),
    ],
    ids=["twice", "no file", "backend away"],
)
def test_server_with_unreadable_secrets_does_not_start(variables: dict[str, str], words: str) -> None:
    done = run("production", "pass", {**PRODUCTION, "VAULT_TOKEN": "unused", **variables})

    assert done.returncode != 0
    assert words in done.stderr.splitlines()[-1]
