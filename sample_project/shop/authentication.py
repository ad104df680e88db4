"""Bearer tokens of knox."""

from __future__ import annotations

import re
from typing import Any

from knox.auth import TokenAuthentication
from rest_framework.exceptions import AuthenticationFailed


class BearerAuthentication(TokenAuthentication):  # type: ignore[misc]  # knox ships no types
    """Answers 401 to a text that is no token. Knox decodes it and asks the database, and an odd byte ends in a 500."""

    def authenticate_credentials(self, token: bytes) -> Any:
        if re.fullmatch(rb"[0-9a-f]{64}", token) is None:
            raise AuthenticationFailed
        return super().authenticate_credentials(token)
