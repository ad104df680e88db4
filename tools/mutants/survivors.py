"""The mutants that may live, each with the reason, from `survivors.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from tools.mutants.targets import Target

FILE = Path(__file__).with_name("survivors.toml")


def listed_survivors(target: Target) -> Mapping[str, str]:
    """The reasons of the survivors of a target, by the names of the mutants."""
    listed = tomllib.loads(FILE.read_text()).get(target.name, [])
    return {name: entry["reason"] for entry in listed for name in entry["mutants"]}
