"""Load the kv file next to a module."""

from __future__ import annotations

from pathlib import Path

from kivy.lang import Builder

_loaded: set[Path] = set()


def load_kv(module_file: str) -> None:
    """`load_kv(__file__)` in `tile.py` loads `tile.kv`. Safe to repeat: the file is loaded once."""
    path = Path(module_file).resolve().with_suffix(".kv")
    if path not in _loaded:
        _loaded.add(path)
        # Builder.load_file would decode with the system's encoding.
        Builder.load_string(path.read_text(encoding="utf-8"), filename=str(path))
