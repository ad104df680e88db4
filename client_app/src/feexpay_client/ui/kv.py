"""Loads the kv file that lies beside a module, once, wherever the program was started or packed."""

from __future__ import annotations

from pathlib import Path

from kivy.lang import Builder

_loaded: set[Path] = set()


def load_kv(module_file: str) -> None:
    """`load_kv(__file__)` in `tile.py` loads `tile.kv`. A second call does nothing: rules would apply twice."""
    path = Path(module_file).resolve().with_suffix(".kv")
    if path not in _loaded:
        _loaded.add(path)
        # Not load_file: its encoding is the system's, and our texts hold accents.
        Builder.load_string(path.read_text(encoding="utf-8"), filename=str(path))
