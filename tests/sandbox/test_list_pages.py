"""Paging of the list of payments and of the payer's prompts."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
import requests

from django_feexpay.sandbox.store import Store
from tests.sandbox.feexpay import collect
from tests.sandbox.running import RunningSandbox, run_sandbox

COUNT = 48


@pytest.fixture(scope="module")
def full_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    """A sandbox with 48 payments, whose amounts are 1 to 48 in the order of their creation."""
    state = tmp_path_factory.mktemp("list") / "state.sqlite3"
    with run_sandbox(f"--state={state}") as sandbox:
        collect(sandbox)
        sandbox.stop()
    _multiply(state, COUNT)
    with run_sandbox("--language=en", f"--state={state}") as sandbox:
        yield sandbox


def _multiply(state: Path, count: int) -> None:
    with sqlite3.connect(state) as connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(payments)") if row[1] != "number"]
        copied = {"reference": "printf('%08d-copy', value)", "amount": "value"}
        values = ", ".join(copied.get(name, name) for name in names)
        connection.execute(
            "WITH RECURSIVE numbers (value) AS (SELECT 2 UNION ALL SELECT value + 1 FROM numbers WHERE value < ?)"
            f" INSERT INTO payments ({', '.join(names)}) SELECT {values} FROM payments, numbers WHERE number = 1"  # noqa: S608 -- column names
            " ORDER BY value",
            (count,),
        )
        connection.execute("UPDATE payments SET amount = number")
    connection.close()


def _amounts(answer: requests.Response) -> list[int]:
    cells = re.findall(r'class="amount">(\d+)', answer.text) or re.findall(r"<strong>(\d+)", answer.text)
    return [int(cell) for cell in cells]


def _follow(sandbox: RunningSandbox, answer: requests.Response, rel: str) -> requests.Response:
    found = re.search(rf'<a href="([^"]*)" rel="{rel}"', answer.text)
    assert found
    return sandbox.get(unescape(found[1]))


def _position(answer: requests.Response) -> str:
    found = re.search(r'<span class="note">([^<]*)</span>', answer.text)
    return found[1] if found else ""


def test_payments_are_paged_newest_first(full_sandbox: RunningSandbox) -> None:
    first = full_sandbox.get("/payments")
    second = _follow(full_sandbox, first, "next")
    third = _follow(full_sandbox, second, "next")
    shown = [_amounts(one) for one in (first, second, third)]
    assert shown == [list(range(48, 28, -1)), list(range(28, 8, -1)), list(range(8, 0, -1))]
    assert [_position(one) for one in (first, second, third)] == [
        "1 to 20 of 48",
        "21 to 40 of 48",
        "41 to 48 of 48",
    ]
    assert ('rel="prev"' in first.text, 'rel="next"' in third.text) == (False, False)
    back = _follow(full_sandbox, third, "prev")
    assert _amounts(back) == shown[1]
    assert _follow(full_sandbox, back, "prev").url == f"{full_sandbox.base_url}/payments"


def test_pages_keep_the_chosen_language(full_sandbox: RunningSandbox) -> None:
    first = full_sandbox.get("/payments", params={"lang": "fr"})
    second = _follow(full_sandbox, first, "next")
    assert _position(second) == "21 à 40 sur 48"
    english = re.search(r'href="(/payments[^"]*lang=en)"', second.text)
    assert english
    assert _position(full_sandbox.get(unescape(english[1]))) == "21 to 40 of 48"


def test_page_polls_its_own_version(full_sandbox: RunningSandbox) -> None:
    second = _follow(full_sandbox, full_sandbox.get("/payments"), "next")
    found = re.search(r'data-version="(\w+)" data-state="([^"]*)" data-next="([^"]*)"', second.text)
    assert found
    assert full_sandbox.get(unescape(found[2])).json() == {"version": found[1]}
    assert full_sandbox.base_url + unescape(found[3]) == second.url


@pytest.mark.parametrize("query", ["before=1", "after=99999", "before=x", "before=-1", f"before={'9' * 40}", "before="])
def test_unknown_page_shows_the_newest_payments(full_sandbox: RunningSandbox, query: str) -> None:
    assert _position(full_sandbox.get(f"/payments?{query}")) == "1 to 20 of 48"


def test_short_list_has_no_pages(sandbox: RunningSandbox) -> None:
    collect(sandbox)
    assert 'class="pager"' not in sandbox.get("/payments").text


def test_prompts_are_paged_oldest_first(full_sandbox: RunningSandbox) -> None:
    first = full_sandbox.get("/")
    second = _follow(full_sandbox, first, "next")
    third = _follow(full_sandbox, second, "next")
    assert "48 payments are waiting" in first.text
    shown = [_amounts(one) for one in (first, second, third)]
    assert shown == [list(range(1, 21)), list(range(21, 41)), list(range(41, 49))]
    assert _position(third) == "41 to 48 of 48"
    assert _amounts(_follow(full_sandbox, third, "first")) == shown[0]
    assert "47 other payments are waiting" in full_sandbox.get("/?payment=00000005-copy").text


def test_pages_read_no_more_rows_than_they_show(tmp_path: Path) -> None:
    """The statements search by the number: none sorts, or reads the table from its start."""
    state = tmp_path / "state.sqlite3"
    Store(str(state)).close()
    queries = [
        "SELECT * FROM payments WHERE number < 9 ORDER BY number DESC LIMIT 20",
        "SELECT * FROM payments WHERE status = 'PENDING' AND prompts > 0 AND number > 9 ORDER BY number ASC LIMIT 20",
        "SELECT COUNT(*) FROM payments WHERE status = 'PENDING' AND prompts > 0 AND number > 9",
    ]
    connection = sqlite3.connect(state)
    plans = [str(connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()) for query in queries]
    connection.close()
    assert ["SEARCH" in plan and "TEMP B-TREE" not in plan for plan in plans] == [True] * 3
