"""The options of both commands, from arguments and from the environment."""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from django_feexpay.sandbox.cli import add_arguments, main, read_options
from django_feexpay.sandbox.fault_settings import FaultSettings
from django_feexpay.sandbox.options import Options
from tests.sandbox.feexpay import collect
from tests.sandbox.running import ROOT, SHOP_ID, run_sandbox

MANAGE = (str(ROOT / "sample_project/manage.py"), "feexpay_sandbox")


def _read(arguments: list[str], environ: dict[str, str] | None = None) -> Options:
    parser = argparse.ArgumentParser()
    add_arguments(parser, environ or {})
    return read_options(vars(parser.parse_args(arguments)))


def _run(*arguments: str, program: tuple[str, ...] = ("-m", "django_feexpay.sandbox")) -> tuple[int, str]:
    done = subprocess.run([sys.executable, *program, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stderr


def test_defaults_are_those_of_the_reference_page() -> None:
    assert _read([]) == Options(
        host="127.0.0.1",
        port=8801,
        state="",
        webhook_url="",
        webhook_mode="none",
        webhook_secret="",
        api_key="test_sandbox_key",
        shop_id="SANDBOXSHOP0001",
        shop_name="Sandbox",
        language="fr",
        time_scale=1.0,
        webhook_header="X-FeexPay-Signature",
        settings=FaultSettings(),
        abandon_seconds=3600.0,
        public_url="",
    )


def test_arguments_override_the_environment() -> None:
    environ = {
        "FEEXPAY_SANDBOX_PORT": "9001",
        "FEEXPAY_SANDBOX_TIME_SCALE": "0.5",
        "FEEXPAY_SANDBOX_SHOP_ID": "ENVSHOP",
        "FEEXPAY_SANDBOX_MOOV_SYNCHRONOUS": "1",
    }
    options = _read(["--shop-id", "ARGSHOP"], environ)
    assert (options.port, options.time_scale, options.shop_id) == (9001, 0.5, "ARGSHOP")
    assert options.settings.moov_synchronous


@pytest.mark.parametrize(
    "argument",
    [
        "--port=http",
        "--port=65536",
        "--port=-1",
        "--time-scale=0",
        "--time-scale=nan",
        "--time-scale=slow",
        "--webhook-mode=rsa",
        "--webhook-mode=hmac",
        "--webhook-url=ftp://shop.test/",
        "--webhook-url=shop.test",
        "--webhook-url=http://shop.test:port/",
        "--webhook-url=http://shop.test/a b",
        "--webhook-secret=two\nlines",
        "--language=de",
        "--api-key=",
        "--shop-id= ",
        "--flows=mtn=otp",
        "--flows=orange_sn=hosted",
        "--flows=orange_sn",
        "--abandon-seconds=-1",
        "--public-url=sandbox.test",
    ],
)
def test_invalid_option_is_refused_with_its_name(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([argument])
    assert ended.value.code == 2
    assert argument.partition("=")[0] in capsys.readouterr().err


def test_program_with_an_invalid_option_ends_without_a_traceback() -> None:
    code, words = _run("--port=http")
    assert code == 2
    assert "--port" in words
    assert "Traceback" not in words


def test_invalid_environment_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEEXPAY_SANDBOX_LANGUAGE", "de")
    assert _run()[0] == 2


def test_repr_hides_secrets() -> None:
    options = Options(api_key="test_hidden_1", webhook_secret="hidden_2")
    assert "hidden" not in repr(options)


def test_port_in_use_ends_with_a_message() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, words = _run(f"--port={port}")
    assert (code, words) == (1, f"cannot listen on 127.0.0.1:{port}: Address already in use\n")


@pytest.mark.parametrize("name", ["missing/state.sqlite3", "notes.txt"])
def test_unusable_state_file_ends_with_a_message(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("these are notes, and no database at all")
    code, words = _run("--port=0", f"--state={tmp_path / name}")
    assert code == 1
    assert words.startswith(f"cannot keep the state in {tmp_path / name}: ")
    assert words.count("\n") == 1


def test_unknown_host_ends_with_a_message() -> None:
    code, words = _run("--host=nobody.invalid")
    assert code == 1
    assert words.startswith("cannot listen on nobody.invalid:8801: ")


def test_ready_line_names_every_address() -> None:
    with run_sandbox() as sandbox:
        root = sandbox.base_url
        assert sandbox.ready_line == (
            f"FeexPay sandbox ready: API {root}/api | payer's phone {root}/"
            f" | payments {root}/payments | control {root}/control/payments"
        )


def test_sandbox_accepts_only_its_own_key_and_shop() -> None:
    environment = os.environ | {"FEEXPAY_SANDBOX_API_KEY": "test_other", "FEEXPAY_SANDBOX_SHOP_ID": "OTHER"}
    with run_sandbox(environment=environment) as sandbox:
        assert collect(sandbox).status_code == 401
        path = "/api/balance/public/getByShop/"
        headers = {"Authorization": "Bearer test_other"}
        assert sandbox.get(path + "OTHER", headers=headers).status_code == 200
        assert sandbox.get(path + SHOP_ID, headers=headers).status_code == 404


def test_management_command_starts_the_sandbox() -> None:
    with run_sandbox("--shop-id=OTHER", program=MANAGE) as sandbox:
        assert sandbox.get("/api/shop/OTHER/get_shop").status_code == 200
        assert sandbox.stop() == 0


def test_management_command_refuses_invalid_options() -> None:
    code, words = _run("--webhook-mode=hmac", program=MANAGE)
    assert (code, words) == (1, "CommandError: --webhook-mode hmac needs --webhook-secret\n")


def test_sandbox_imports_no_django_and_no_gateway() -> None:
    code = (
        "import sys, django_feexpay.sandbox.server;"
        "print([m for m in sys.modules if m == 'django' or m.startswith('django_feexpay.gateway')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout == "[]\n"
