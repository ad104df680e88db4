"""The sample shop shows hosts how to use the package, so it imports only what hosts may import."""

from __future__ import annotations

import ast
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2] / "sample_project"
PUBLIC = {"django_feexpay"} | {
    f"django_feexpay.{name}"
    for name in (
        "api.metrics",
        "checks",
        "models",
        "monitoring",
        "monitoring.logs",
        "openapi",
        "rest",
        "secrets",
        "secrets.files",
        "secrets.source",
        "signals",
        "testing",
    )
}


def imported_modules(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.split(".")[0] == "django_feexpay"}


def test_shop_imports_public_modules_only() -> None:
    files = [path for path in PROJECT.rglob("*.py") if "demo_data" not in path.as_posix()]  # invents rows, no example
    used = {module for path in files for module in imported_modules(path)}

    assert used - PUBLIC == set()
    assert "django_feexpay" in used
