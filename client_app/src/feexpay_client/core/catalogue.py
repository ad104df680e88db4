"""The providers of the server, cached on disk so that they show at once and offline."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from feexpay_client.core.api import PaymentsApi
from feexpay_client.core.disk import write_whole
from feexpay_client.core.errors import MalformedAnswer
from feexpay_client.core.json_reader import Fields
from feexpay_client.core.models import Country, Provider, providers_from_json


class Catalogue:
    """Providers of one server in one language. `providers` comes from the cache until `refresh` returns."""

    def __init__(self, api: PaymentsApi, folder: Path, server: str, language: str) -> None:
        self._api = api
        name = hashlib.sha256(f"{server}\n{language}".encode()).hexdigest()[:20]
        self._path = folder / f"providers-{name}.json"
        self._etag = ""
        self.providers: tuple[Provider, ...] = ()
        self._load()

    async def refresh(self) -> tuple[Provider, ...]:
        """Update the providers from the server. Raises errors.ApiError and then keeps the old ones."""
        answer = await self._api.providers(self._etag if self.providers else "")
        if answer.value is not None:
            self.providers, self._etag = answer.value, answer.etag
            self._store()
        return self.providers

    def countries(self) -> tuple[Country, ...]:
        """The countries that have providers, in the server's order."""
        named = {one.country: one.country_name or one.country for one in self.providers if one.country}
        return tuple(Country(code, name) for code, name in named.items())

    def in_country(self, code: str) -> tuple[Provider, ...]:
        """The providers of a country and the international ones; available ones first."""
        there = [one for one in self.providers if one.country in (code, None)]
        return tuple(sorted(there, key=lambda one: not one.enabled))

    def _load(self) -> None:
        try:
            fields = Fields(json.loads(self._path.read_bytes()), "providers")
            self.providers = providers_from_json(fields.objects("providers"))
            self._etag = fields.text("etag")
        except (OSError, ValueError, RecursionError, MalformedAnswer):
            self.providers, self._etag = (), ""

    def _store(self) -> None:
        content: dict[str, Any] = {"etag": self._etag, "providers": [one.raw for one in self.providers]}
        try:
            write_whole(self._path, json.dumps(content, ensure_ascii=False).encode())
        except OSError:
            return  # the next refresh tries again
