"""Environment variables from the file `.env` next to manage.py."""

from __future__ import annotations

import os
from pathlib import Path

import environ

_BESIDE_MANAGE = Path(__file__).resolve().parents[1] / ".env"


def read_env_file() -> None:
    """Read the variables of `.env` if it exists; variables that are already set keep their values.

    ENV_FILE names another file; empty, it means none. Only manage.py and wsgi.py call this: tests must not depend on a
    developer's file.
    """
    path = os.environ.get("ENV_FILE", str(_BESIDE_MANAGE))
    if path and Path(path).is_file():
        environ.Env.read_env(path)
