"""The Postman collection in docs/ matches the OpenAPI description."""

from __future__ import annotations

import json

from tests.api.described import document
from tools import postman


def test_collection_is_current() -> None:
    assert postman.TARGET.read_text() == postman.written(), "run `make postman`"


def test_collection_has_every_call_and_both_variables() -> None:
    made = json.loads(postman.TARGET.read_text())
    calls = sum(len(methods) for methods in document()["paths"].values())

    assert made["info"]["schema"] == postman.FORMAT
    assert {"base_url", "token"} <= {variable["key"] for variable in made["variable"]}
    assert sum(len(folder["item"]) for folder in made["item"]) == calls
