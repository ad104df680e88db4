from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from tests.repository.tree import OUR_FOLDERS, python_files, relative

# Such a name does not say what belongs in the file, so it collects unrelated code.
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc", "services", "handlers"}
MOST_LINES = 600


def has_forbidden_name(path: str) -> bool:
    return any(PurePosixPath(part).stem in FORBIDDEN_NAMES for part in PurePosixPath(path).parts)


@pytest.mark.parametrize("path", ["django_feexpay/utils.py", "django_feexpay/helpers/money.py"])
def test_file_name_check_sees_files_and_folders(path: str) -> None:
    assert has_forbidden_name(path)


def test_file_names_say_what_the_file_is_about() -> None:
    assert [relative(path) for path in python_files(*OUR_FOLDERS) if has_forbidden_name(relative(path))] == []


def test_no_module_is_longer_than_600_lines() -> None:
    lengths = {relative(path): len(path.read_text().splitlines()) for path in python_files(*OUR_FOLDERS)}

    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES} == {}
    # Proves that the lines are counted.
    assert lengths["tests/repository/test_files.py"] > 20
