"""Files of evaluation: what they say is read, and a bad line costs itself alone and is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadQuery, NoSuchPath
from workers.trec import Read, asked_of, qrels_lines, read_pairs, read_qrels, read_queries, run_lines


def read(path: Path, said: str | bytes, reader=read_qrels, into: Read | None = None) -> Read:
    path.write_bytes(said if isinstance(said, bytes) else said.encode())
    out = into or Read()
    reader(path, out)
    return out


def test_judgements_are_read_as_trec_and_beir_write_them(tmp_path: Path) -> None:
    said = read(tmp_path / "r", "q1 0 a 2\nq1\t0\ta b.png\t1\r\n\nq2 Q0 c d 0\nq2 0 spam -2\nq3\tx\t1.0\n")
    assert said.refused == []
    assert said.qrels == {"q1": {"a": 2, "a b.png": 1}, "q2": {"c d": 0, "spam": 0}, "q3": {"x": 1}}
    beir = read(tmp_path / "b", "\ufeffquery-id\tcorpus-id\tscore\nq\ta\t1\n")
    assert (beir.qrels, beir.refused) == ({"q": {"a": 1}}, [])


def test_a_bad_judgement_costs_itself_alone_and_is_named(tmp_path: Path) -> None:
    lines = [b"q 0 a 1", b"q 0", b"q 0 b good", b"q 0 \xff 1", b"q 0 a 2", b"q 0 c 1.5", b"q 0 d 1000", b"q 0 e 1"]
    said = read(tmp_path / "r.tsv", b"\n".join(lines))
    assert said.qrels == {"q": {"a": 1, "e": 1}}
    assert [line.partition(":")[0] for line in said.refused] == [f"r.tsv line {n}" for n in range(2, 8)]
    assert "judged 1 for 'q' before" in said.refused[3]


def test_queries_are_read_with_what_else_is_said_of_them(tmp_path: Path) -> None:
    lines = [
        '{"id": "q1", "text": "red", "language": "en", "hard": true, "where": "price < 2"}',
        '{"_id": 7, "image": "pics/a.png"}',
        '{"id": "m", "mix": [{"image": "b.png"}, {"text": "x", "weight": 0.5}]}',
        '{"id": "q1", "text": "again"}',
        '{"id": "q 2", "text": "white space"}',
        '{"id": "q3"}',
        '{"id": "q4", "image": {"sha256": "00"}}',
        "[1]",
        "{",
        '{"id": "q5", "mix": "no"}',
    ]
    said = read(tmp_path / "q.jsonl", "\n".join(lines), read_queries)
    assert [line.id for line in said.queries] == ["q1", "7", "m"]
    assert said.queries[0].said == {"text": "red", "where": "price < 2"}
    assert said.queries[0].traits == {"language": "en", "hard": "True"}
    assert said.queries[1].said == {"image": str(tmp_path / "pics/a.png")}
    assert said.queries[2].said["mix"][0] == {"image": str(tmp_path / "b.png")}
    assert [line.partition(":")[0] for line in said.refused] == [f"q.jsonl line {n}" for n in range(4, 11)]
    assert "was not kept" in said.refused[3]


def test_captions_of_the_same_words_are_one_query(tmp_path: Path) -> None:
    lines = ["a dog\td1.png", "a dog\td2.png", '{"text": "a cat", "asset": "c", "language": "en"}', "no tab", "\tx"]
    said = read(tmp_path / "p.tsv", "\n".join(lines), read_pairs)
    assert [(line.id, line.said["text"], dict(line.traits)) for line in said.queries] == [
        ("pair-1", "a dog", {}),
        ("pair-2", "a cat", {"language": "en"}),
    ]
    assert said.qrels == {"pair-1": {"d1.png": 1, "d2.png": 1}, "pair-2": {"c": 1}}
    assert [line.partition(":")[0] for line in said.refused] == ["p.tsv line 4", "p.tsv line 5"]
    assert "tab" in said.refused[0]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoSuchPath, match=r"nowhere\.tsv"):
        read_qrels(tmp_path / "nowhere.tsv", Read())


NAMES = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=20)
NAMES = NAMES.filter(lambda name: name == name.strip())


@given(st.dictionaries(st.from_regex(r"[a-z0-9-]{1,8}", fullmatch=True), st.dictionaries(NAMES, st.integers(0, 100))))
def test_what_is_written_is_read_again(tmp_path_factory, qrels: dict[str, dict[str, int]]) -> None:
    said = read(tmp_path_factory.getbasetemp() / "again.tsv", "".join(qrels_lines(qrels)))
    assert said.refused == []
    assert said.qrels == {query: grades for query, grades in qrels.items() if grades}


def test_a_name_that_no_line_can_hold_is_refused() -> None:
    with pytest.raises(BadQuery, match="tab"):
        list(qrels_lines({"q": {"a\tb": 1}}))


def test_a_run_is_as_trec_eval_reads_it() -> None:
    said = "".join(run_lines({"q": [("a", 0.5), ("b c", 0.5)], "none": []}, "tag"))
    assert said == "q Q0 a 1 2 tag\nq\tQ0\tb c\t2\t1\ttag\n"


def test_what_a_query_is_of() -> None:
    vector = {"space": "s", "values": [1.0]}
    said: list[dict[str, Any]] = [
        {"text": "a"},
        {"image": "a"},
        {"text": "a", "image": "b"},
        {"text": "a", "less": ["b"]},
        {"like": "a"},
    ]
    assert [asked_of(one) for one in said] == ["text", "image", "mixture", "mixture", "like"]
    assert asked_of({"vector": vector}) == "vector"
    assert asked_of({"vector": {**vector, "modality": "image"}}) == "image"
