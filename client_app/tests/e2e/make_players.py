"""Create the players' accounts with tokens, because signing in by password is slow and rate limited.

One more account, `member`, has a password and a token that has ended. Runs in the server's environment.
"""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path

import django

if __name__ == "__main__":
    django.setup()
    from django.contrib.auth.models import User
    from django.utils import timezone
    from knox.models import AuthToken

    names = [f"player{number}" for number in range(int(os.environ["E2E_PLAYERS"]))]
    tokens = {name: AuthToken.objects.create(user=User.objects.create(username=name))[1] for name in names}
    member = User.objects.create_user("member", password=os.environ["E2E_PASSWORD"])
    ended, tokens["ended"] = AuthToken.objects.create(user=member)
    AuthToken.objects.filter(pk=ended.pk).update(expiry=timezone.now() - timedelta(seconds=1))
    (Path(os.environ["E2E_FOLDER"]) / "players.json").write_text(json.dumps(tokens))
