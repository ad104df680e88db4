"""The package installs next to the versions that existing projects pin."""

from __future__ import annotations

import re
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PINS = {
    "django": "5.2.0",
    "djangorestframework": "3.16.0",
    "cryptography": "44.0.2",
    "requests": "2.32.3",
    "urllib3": "2.2.3",
}


@pytest.fixture
def requirements(installed: Path) -> dict[str, Requirement]:
    """What the wheel requires in every installation, by package."""
    (metadata,) = installed.glob("django_feexpay-*.dist-info")
    required = map(Requirement, PathDistribution(metadata).requires or ())
    return {one.name.lower(): one for one in required if one.marker is None}


@pytest.mark.parametrize(("package", "version"), PINS.items())
def test_pin_of_a_project_is_accepted(requirements: dict[str, Requirement], package: str, version: str) -> None:
    assert version in requirements[package].specifier


@pytest.mark.parametrize("package", ["requests", "urllib3"])
def test_no_later_version_is_excluded(requirements: dict[str, Requirement], package: str) -> None:
    assert not re.search("<|==", str(requirements[package].specifier))
