"""The OpenAPI description over HTTP, and the page that shows it."""

from __future__ import annotations

import json
import re

from django.test import Client


def test_schema_is_json_and_the_same_in_every_language(client: Client) -> None:
    english = client.get("/api/v1/schema/")
    french = client.get("/api/v1/schema/", headers={"Accept-Language": "fr"})

    assert english.headers["Content-Type"] == "application/json"
    assert json.loads(english.content)["openapi"] == "3.1.0"
    assert english.content == french.content


def test_schema_is_yaml_on_request(client: Client) -> None:
    written = client.get("/api/v1/schema/?format=yaml")

    assert written.status_code == 200
    assert written.content.startswith(b"openapi: 3.1.0")


def test_docs_load_nothing_from_other_servers(client: Client) -> None:
    page = client.get("/api/v1/docs/")
    text = page.content.decode()
    sources = re.findall(r'(?:src|href)="([^"]+)"', text)

    assert page.status_code == 200
    assert any("swagger-ui-bundle" in source for source in sources)
    assert all(re.match("/(?!/)|#", source) for source in sources)
    assert "<style" not in text
    assert not re.search(r"<script>|\son\w+=", text)
    assert "unsafe" not in page.headers["Content-Security-Policy"]


def test_docs_are_in_the_readers_language_and_say_what_to_do_without_script(client: Client) -> None:
    page = client.get("/api/v1/docs/", headers={"Accept-Language": "fr"}).content.decode()

    assert '<html lang="fr">' in page
    assert "<h1>L&#x27;API en détail</h1>" in page or "<h1>L'API en détail</h1>" in page
    assert "Cette page a besoin de JavaScript" in page.partition("<noscript>")[2].partition("</noscript>")[0]
    assert '<div id="swagger-ui" lang="en">' in page
    assert '<html lang="en">' in client.get("/api/v1/docs/", headers={"Accept-Language": "en"}).content.decode()


def test_script_of_the_docs_loads_the_schema(client: Client) -> None:
    page = client.get("/api/v1/docs/").content.decode()
    address = re.findall(r'<script src="(/api[^"]+)" defer', page)[0].replace("&amp;", "&")

    script = client.get(address)

    assert script.headers["Content-Type"].startswith("application/javascript")
    assert "/api/v1/schema/" in script.content.decode()
