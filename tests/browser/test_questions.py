"""Each question of the back office is answered in three clicks or fewer, by the role that asks it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser import office
from tests.browser.chromium import Browser
from tests.browser.office import Office
from tests.browser.questions import MOST_CLICKS, QUESTIONS, Question

pytestmark = [pytest.mark.browser, pytest.mark.django_db, pytest.mark.postgres_only]


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_question_is_answered_in_three_clicks(
    question: Question, browser: Browser, site: Office, pictures: Path | None
) -> None:
    question.prepare()
    browser.look(size=question.size)
    browser.sign_in(office.STAFF[question.role], office.FRONT_PAGE)

    question.walk(browser, site)
    assert browser.clicks <= MOST_CLICKS
    if pictures is not None:
        browser.picture(pictures / f"{question.name}.png", question.picture_of, question.height)
    question.act(browser, site)

    assert browser.errors() == []
