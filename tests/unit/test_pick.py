"""Patterns of names, as .gitignore writes them."""

from __future__ import annotations

import pytest

from core.errors import BadQuery
from ingest.sources.folder import Found, walk
from ingest.sources.pick import Pick

NAMES = ["a.jpg", "a.txt", "raw/b.jpg", "raw/c.png", "x/raw/d.jpg"]


@pytest.mark.parametrize(
    ("glob", "exclude", "taken"),
    [
        ((), (), NAMES),
        (("*.jpg",), (), ["a.jpg", "raw/b.jpg", "x/raw/d.jpg"]),
        (("**/*.jpg",), (), ["a.jpg", "raw/b.jpg", "x/raw/d.jpg"]),
        (("/*.jpg",), (), ["a.jpg"]),
        (("raw/**",), (), ["raw/b.jpg", "raw/c.png"]),
        (("*.jpg", "*.png"), ("/raw/",), ["a.jpg", "x/raw/d.jpg"]),
        ((), ("raw/",), ["a.jpg", "a.txt"]),
    ],
)
def test_a_pattern_means_what_it_means_in_gitignore(glob, exclude, taken):
    pick = Pick(glob, exclude)
    assert [name for name in NAMES if pick.takes(name)] == taken


def test_a_folder_that_is_left_out_is_not_even_listed(tmp_path):
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "raw").chmod(0o000)
    try:
        found = list(walk(tmp_path, pick=Pick((), ("raw/",))))
    finally:
        (tmp_path / "raw").chmod(0o755)
    assert [one.external_id for one in found if isinstance(one, Found)] == ["a.jpg", "a.txt"]
    assert len(found) == 2


@pytest.mark.parametrize("wrong", ["", "  ", "!keep", "# a comment"])
def test_what_is_no_pattern_is_refused_when_it_is_given(wrong):
    with pytest.raises(BadQuery, match="no pattern"):
        Pick((wrong,))
    with pytest.raises(BadQuery, match="no pattern"):
        Pick((), (wrong,))
