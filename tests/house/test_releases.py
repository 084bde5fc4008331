"""What the script of other releases makes of pytest's last line, and how it keeps the table of the page."""

from __future__ import annotations

import pytest

from tests.releases.__main__ import HEADER, Row, put, went_wrong

RESULTS = {
    "2250 passed, 7 skipped": False,
    "2249 passed, 7 skipped, 1 xfailed": False,
    "not run": False,
    "1 failed, 2248 passed, 1 xfailed": True,
    "2248 passed, 2 errors": True,
    "did not run: exit code 4": True,
}


@pytest.mark.parametrize("result", RESULTS)
def test_only_what_failed_or_did_not_run_went_wrong(result: str) -> None:
    assert went_wrong(result) is RESULTS[result]


def test_a_row_takes_the_place_of_the_one_of_the_same_release_and_the_rest_stays() -> None:
    old = [Row("2.10.0", "3.11", "core", "1 failed", "before"), Row("2.9.0", "3.11", "core", "2 passed", "before")]
    page = "\n".join(["# Page", "", HEADER, "|---|---|---|---|---|", *map(str, old), "", "More.", ""])
    new = Row("2.10.0", "3.11", "core", "3 passed", "today")
    assert put(page, [new]) == page.replace(str(old[0]) + "\n", "").replace(str(old[1]), f"{old[1]}\n{new}")


def test_a_page_without_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="no table"):
        put("# Page", [])
