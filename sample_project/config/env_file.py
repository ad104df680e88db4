"""The file `.env` beside manage.py: variables for people who keep them in a file."""

from __future__ import annotations

import os
from pathlib import Path

import environ

_BESIDE_MANAGE = Path(__file__).resolve().parents[1] / ".env"


def read_env_file() -> None:
    """Take over the variables of `.env`, if there is one; a variable that is already set wins.

    ENV_FILE names another file, and set to nothing it reads none. Only the ways in (manage.py, wsgi.py) call this:
    tests must not depend on what a developer keeps there.
    """
    path = os.environ.get("ENV_FILE", str(_BESIDE_MANAGE))
    if path and Path(path).is_file():
        environ.Env.read_env(path)
