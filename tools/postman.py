"""Makes a Postman collection (v2.1) from the OpenAPI description: `python tools/postman.py [--check]`.

It writes docs/reference/postman.json. With --check it writes nothing and exits with 1 if that file is out of date.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs/reference/postman.json"
FORMAT = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"

# Stores the token of the answer, which every other request sends.
KEEP_TOKEN = "pm.collectionVariables.set('token', pm.response.json().token);"  # noqa: S105 -- a script, no token


def collection(document: dict[str, Any]) -> dict[str, Any]:
    """The collection of an OpenAPI document: a folder for each tag, a request for each call."""
    folders: dict[str, list[dict[str, Any]]] = {}
    for path, methods in document["paths"].items():
        for method, call in methods.items():
            folders.setdefault(call["tags"][0], []).append(_item(path, method, call))
    return {
        "info": {
            "name": document["info"]["title"],
            "description": document["info"]["description"],
            "schema": FORMAT,
        },
        "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}", "type": "string"}]},
        "variable": [
            {"key": "base_url", "value": "http://127.0.0.1:8000"},
            {"key": "token", "value": ""},
            {"key": "payment_id", "value": ""},
        ],
        "item": [{"name": name, "item": items} for name, items in sorted(folders.items())],
    }


def _item(path: str, method: str, call: dict[str, Any]) -> dict[str, Any]:
    request: dict[str, Any] = {
        "method": method.upper(),
        "description": call["description"],
        "header": _headers(call),
        "url": _url(path, call),
    }
    if not call["security"]:
        request["auth"] = {"type": "noauth"}
    body = call.get("requestBody", {}).get("content", {}).get("application/json")
    if body is not None:
        example = next(iter(body["examples"].values()))["value"]
        request["body"] = {
            "mode": "raw",
            "raw": json.dumps(example, indent=2, ensure_ascii=False),
            "options": {"raw": {"language": "json"}},
        }
    item: dict[str, Any] = {"name": call["summary"], "request": request}
    if call["operationId"] == "token":
        item["event"] = [{"listen": "test", "script": {"type": "text/javascript", "exec": [KEEP_TOKEN]}}]
    return item


def _headers(call: dict[str, Any]) -> list[dict[str, Any]]:
    """The headers of a call. Only Idempotency-Key is enabled, with a new value for each request."""
    headers = []
    for parameter in call["parameters"]:
        if parameter["in"] == "header":
            key = parameter["name"]
            enabled = key == "Idempotency-Key"
            value = "{{$guid}}" if enabled else parameter.get("example", "")
            description = parameter["description"]
            headers.append({"key": key, "value": value, "disabled": not enabled, "description": description})
    return headers


def _url(path: str, call: dict[str, Any]) -> dict[str, Any]:
    written = re.sub(r"{(\w+)}", r":\1", path)
    query = [
        {
            "key": parameter["name"],
            "value": str(parameter.get("example", "")),
            "description": parameter.get("description", ""),
            "disabled": not parameter["required"],
        }
        for parameter in call["parameters"]
        if parameter["in"] == "query"
    ]
    variables = [{"key": name, "value": "{{" + name + "}}"} for name in re.findall(r"{(\w+)}", path)]
    url: dict[str, Any] = {"raw": "{{base_url}}" + written, "host": ["{{base_url}}"], "path": written.split("/")[1:]}
    return {**url, **({"query": query} if query else {}), **({"variable": variables} if variables else {})}


def written() -> str:
    """The collection as text. Django must be set up."""
    from drf_spectacular.generators import SchemaGenerator

    document = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]  # theirs
    return json.dumps(collection(document), indent=1, ensure_ascii=False) + "\n"


def main(check: bool) -> int:
    sys.path[:0] = [str(ROOT), str(ROOT / "sample_project")]
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.development")
    import django

    django.setup()
    if check:
        return int(not TARGET.exists() or TARGET.read_text() != written())
    TARGET.write_text(written())
    return 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
