"""The command line of both sandbox commands: arguments and environment variables.

Imports only the standard library, so that a missing extra ends in a clear message.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields

from django_feexpay.sandbox.fault_settings import (
    FaultSettings,
    Reader,
    SettingError,
    changed,
    every_setting,
    read_number,
    read_url,
    read_whole,
)
from django_feexpay.sandbox.options import DEFAULT_API_KEY, DEFAULT_SHOP_ID, LANGUAGES, WEBHOOK_MODES, Options
from django_feexpay.sandbox.webhooks import standard_key


def add_arguments(parser: argparse.ArgumentParser, environ: Mapping[str, str] = os.environ) -> None:
    """Add every option of `Options`; the environment gives the defaults."""
    defaults = Options()
    not_empty = _checked(str.strip, "a text that is not empty")
    one_line = _checked(str.isprintable, "one line of printable characters")
    header_name = _checked(re.compile("[A-Za-z0-9-]+").fullmatch, "the name of a header")

    def add(name: str, read: Reader, text: str) -> None:
        def typed(value: str) -> object:
            try:
                return read(value)
            except SettingError as error:
                # Without the value, which may be a secret.
                raise argparse.ArgumentTypeError(f"must be {error}") from error

        default = environ.get(f"FEEXPAY_SANDBOX_{name.upper()}", getattr(defaults, name))
        parser.add_argument("--" + name.replace("_", "-"), type=typed, default=default, help=text)

    add("host", str, "address to listen on (default 127.0.0.1)")
    add("port", read_whole(0, 65535), "port to listen on; 0 takes a free one (default 8801)")
    add("state", str, "file that keeps the state over restarts (default: temporary)")
    add("webhook_url", read_url, "address of the webhooks; without it none is sent")
    add(
        "webhook_mode",
        _one_of(WEBHOOK_MODES),
        "none, like FeexPay (default); header: the secret is the whole Authorization value;"
        " hmac: the hex HMAC-SHA256 of the body, and standard_webhooks: webhook-id, -timestamp and -signature,"
        " neither of which FeexPay sends",
    )
    add("webhook_secret", one_line, "secret of the other modes; for standard_webhooks base64, with or without whsec_")
    add("webhook_header", header_name, "header of the signature in hmac mode (default X-FeexPay-Signature)")
    add("api_key", not_empty, f"the only key accepted (default {DEFAULT_API_KEY})")
    add("shop_id", not_empty, f"the only shop accepted (default {DEFAULT_SHOP_ID})")
    add("shop_name", not_empty, "the name the payer reads")
    add("language", _one_of(LANGUAGES), "fr or en: the pages' language when the browser asks for neither (default fr)")
    add("time_scale", read_number(1000, least=0.000001), "multiplies every delay; 0.01 for tests (default 1.0)")
    add("abandon_seconds", read_number(1e9), "when an unfinished operator's page fails; 0 is never (default 3600)")
    add("public_url", read_url, "address at which payers reach the pages (default: that of the API)")
    parser.add_argument("--flows", default=environ.get("FEEXPAY_SANDBOX_FLOWS", ""), help="short for --set flows=…")
    parser.add_argument(
        "--moov-synchronous",
        action="store_true",
        default=environ.get("FEEXPAY_SANDBOX_MOOV_SYNCHRONOUS", ""),
        help="short for --set moov_synchronous=true",
    )
    parser.add_argument(
        "--set",
        dest="settings",
        metavar="NAME=VALUE",
        type=_name_and_value,
        action="append",
        default=[_name_and_value(one) for one in environ.get("FEEXPAY_SANDBOX_SET", "").split(";") if one.strip()],
        help="a fault setting to start with; may be repeated. "
        + " ".join(f"{name}: {one.metadata['en']}" for name, one in every_setting().items()).replace("%", "%%"),
    )


def read_options(values: Mapping[str, object]) -> Options:
    """The options in parsed `values`. Raises ValueError when they contradict each other."""
    settings: dict[str, object] = {"flows": values["flows"], "moov_synchronous": values["moov_synchronous"]}
    pairs = values["settings"]
    settings |= dict(pairs) if isinstance(pairs, list) else {}
    plain = {one.name: values[one.name] for one in fields(Options) if one.name != "settings"}
    options = Options(**plain, settings=changed(FaultSettings(), settings))  # type: ignore[arg-type]  # argparse has read each by its own type
    if options.webhook_mode != "none" and not options.webhook_secret:
        raise ValueError(f"--webhook-mode {options.webhook_mode} needs --webhook-secret")
    if options.webhook_mode == "standard_webhooks":
        standard_key(options.webhook_secret)
    return options


def run(options: Options) -> None:
    """Serve until SIGTERM or SIGINT. Raises RuntimeError when the extra is missing or the port is taken."""
    try:
        from django_feexpay.sandbox.server import serve
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        raise RuntimeError("the sandbox needs its extra: pip install 'django-feexpay[sandbox]'") from error
    serve(options)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 after a clean stop, 1 when it cannot serve, 2 for wrong options."""
    parser = argparse.ArgumentParser(
        prog="python -m django_feexpay.sandbox", description="A local imitation of FeexPay."
    )
    add_arguments(parser)
    try:
        options = read_options(vars(parser.parse_args(arguments)))
    except ValueError as error:
        parser.error(str(error))
    try:
        run(options)
    except RuntimeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _name_and_value(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name.strip(), value


def _checked(is_valid: Callable[[str], object], what: str) -> Reader:
    def read(text: object) -> object:
        if not is_valid(str(text)):
            raise SettingError(what)
        return text

    return read


def _one_of(words: tuple[str, ...]) -> Reader:
    return _checked(words.__contains__, f"one of {', '.join(words)}")
