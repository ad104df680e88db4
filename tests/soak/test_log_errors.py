"""The soak finds every traceback in the logs of the shop's processes."""

from __future__ import annotations

import logging

from django.db import OperationalError

from django_feexpay.monitoring.logs import text_formatter
from tests.soak.run import _errors


def test_each_traceback_is_found_but_those_of_an_absent_database() -> None:
    raised: list[Exception] = []
    for error in (ValueError("first"), OperationalError("away"), KeyError("last")):
        try:
            raise error
        except Exception as caught:
            raised.append(caught)
    formatter = text_formatter()
    records = [
        logging.LogRecord("shop", logging.ERROR, __file__, 1, "it failed", (), (type(one), one, one.__traceback__))
        for one in raised
    ]

    text = "\n".join(formatter.format(record) for record in records)

    assert list(_errors(text)) == ["ValueError: first", "KeyError: 'last'"]
