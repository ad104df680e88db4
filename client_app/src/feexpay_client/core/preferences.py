"""The payer's settings on disk. A damaged file means the defaults."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from feexpay_client.core.disk import write_whole

THEMES = ("system", "light", "dark")
LANGUAGES = ("fr", "en")
#: In percent.
TEXT_SIZES = (100, 115, 130, 150)


@dataclass(frozen=True, slots=True)
class Preferences:
    """`server` is `https://…`; `country` ISO 3166 or empty; `text_size` in percent.

    provider, phone: the last ones used. The number has its country code; signing out deletes it.
    asked_to_notify: Android has asked the payer once whether notifications may be shown.
    """

    server: str = ""
    username: str = ""
    country: str = ""
    provider: str = ""
    phone: str = field(default="", repr=False)
    language: str = "fr"
    theme: str = "system"
    text_size: int = 100
    reduced_motion: bool = False
    asked_to_notify: bool = False


_CHOICES: dict[str, tuple[Any, ...]] = {"theme": THEMES, "language": LANGUAGES, "text_size": TEXT_SIZES}


class PreferenceFile:
    """Loads the file once and saves it on every change. `languages`: those that may be chosen."""

    def __init__(self, path: Path, defaults: Preferences | None = None, languages: tuple[str, ...] = LANGUAGES) -> None:
        self._path = path
        self._choices = _CHOICES | {"language": languages}
        self.value = _loaded(path, defaults or Preferences(), self._choices)

    def change(self, **changes: Any) -> Preferences:
        """Change and save preferences. Raises ValueError for an invalid value. A full disk is ignored."""
        for name, allowed in self._choices.items():
            if name in changes and changes[name] not in allowed:
                raise ValueError(name)
        self.value = replace(self.value, **changes)
        try:
            write_whole(self._path, json.dumps(asdict(self.value), ensure_ascii=False, indent=1).encode())
        except OSError:
            return self.value  # not an error: the change applies until the app is closed
        return self.value


def _loaded(path: Path, defaults: Preferences, choices: dict[str, tuple[Any, ...]]) -> Preferences:
    try:
        stored = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return defaults
    if not isinstance(stored, dict):
        return defaults
    usable = {
        field.name: stored[field.name] for field in fields(Preferences) if _fits(field.name, stored, defaults, choices)
    }
    return replace(defaults, **usable)


def _fits(name: str, stored: dict[str, Any], defaults: Preferences, choices: dict[str, tuple[Any, ...]]) -> bool:
    if name not in stored or type(stored[name]) is not type(getattr(defaults, name)):
        return False
    return name not in choices or stored[name] in choices[name]
