"""Every command and setting that the pages name exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.repository.tree import ROOT, python_files, setting_names

# Keys of the dict FEEXPAY that are set in a settings file, not in the environment.
NOT_FROM_THE_ENVIRONMENT = {
    "EXPORT_STORAGE": "an alias of STORAGES",
    "LIVE_STATUS_DATABASE": "base.py sets it from DATABASE_DIRECT_HOST",
    "NOTIFICATIONS": "dotted paths to code",
    "NUM_PROXIES": "production.py sets it from the sample's own NUM_PROXIES",
    "PAYABLE": "a dotted path to the host's code",
    "REQUIRE_IDEMPOTENCY_KEY": "a design choice, the same on every machine",
    "WEBHOOK_HMAC": "a dict",
}


def targets(makefile: str) -> set[str]:
    return set(re.findall(r"^([a-z.][\w.-]*):(?!=)", makefile, re.MULTILINE))


def commands_named(page: str) -> set[str]:
    """The targets of `make …` in the code of a Markdown page. Prose is skipped: it may say "make sure"."""
    code = re.findall(r"```.*?```|`[^`\n]+`", page, re.DOTALL)
    return {target for span in code for target in re.findall(r"\bmake ([a-z.][\w.-]*)", span)}


def variables_read(source: str) -> set[str]:
    """The variables that are read with django-environ: `env("X")`, `env.bool("X")`."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=function, args=[ast.Constant(value=str() as name), *_]):
                if re.match(r"env\b", ast.unparse(function)):
                    names.add(name)
    return names


def variables_named(example: str) -> set[str]:
    """The variables of an example file, including those that are commented out."""
    return set(re.findall(r"^(?:# ?)?([A-Z][A-Z0-9_]*)=", example, re.MULTILINE))


def supported_variables() -> set[str]:
    settings = setting_names((ROOT / "django_feexpay/conf.py").read_text())
    ours = {f"FEEXPAY_{name}" for name in settings if name not in NOT_FROM_THE_ENVIRONMENT}
    return ours.union(*(variables_read(path.read_text()) for path in python_files("sample_project/config/settings")))


def test_command_check_reads_code_and_not_prose() -> None:
    page = "make sure that `make demo ONCE=1` works\n```\n$ make test\nmake .venv\n```\n"

    assert commands_named(page) == {"demo", "test", ".venv"}
    assert targets(".venv: x\nPY := 1\ndemo: ## shows\n\ttest: no\n") == {".venv", "demo"}


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))], ids=lambda page: page.name)
def test_commands_named_in_pages_exist(page: Path) -> None:
    assert commands_named(page.read_text()) - targets((ROOT / "Makefile").read_text()) == set()


def test_variable_check_reads_settings_and_examples() -> None:
    assert variables_read('KEY = env("SECRET_KEY")\nDEBUG = env.bool("DEBUG", default=False)') == {
        "SECRET_KEY",
        "DEBUG",
    }
    assert variables_named("# Why.\nSECRET_KEY=x\n# DEBUG=1\n") == {"SECRET_KEY", "DEBUG"}


@pytest.mark.parametrize("example", [".env.example", ".env.production.example"])
def test_environment_examples_name_each_setting(example: str) -> None:
    named = variables_named((ROOT / "sample_project" / example).read_text())

    assert supported_variables() - named == set()
