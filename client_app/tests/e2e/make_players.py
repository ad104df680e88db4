"""Create the players' accounts with tokens, because signing in by password is slow and rate limited.

Runs in the server's environment.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import django

if __name__ == "__main__":
    django.setup()
    from django.contrib.auth.models import User
    from knox.models import AuthToken

    names = [f"player{number}" for number in range(int(os.environ["E2E_PLAYERS"]))]
    tokens = {name: AuthToken.objects.create(user=User.objects.create(username=name))[1] for name in names}
    (Path(os.environ["E2E_FOLDER"]) / "players.json").write_text(json.dumps(tokens))
