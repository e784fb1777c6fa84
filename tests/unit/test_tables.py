"""CSV and Parquet manifests."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import sys
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadManifest, CorruptMedia, MissingExtra
from core.fields import FieldType, normal_metadata
from ingest.sources import csv_rows
from ingest.sources.folder import Found
from ingest.sources.manifest import Inline, form_of, read_manifest, read_sent
from ingest.sources.parquet import parquet_count
from ingest.sources.url import Remote

F = FieldType
FIELDS = {
    "n": F.INTEGER,
    "x": F.FLOAT,
    "ok": F.BOOL,
    "when": F.DATETIME,
    "where": F.GEO,
    "tag": F.KEYWORD,
    "note": F.TEXT,
}


def read(data: str | bytes, fields: Any = FIELDS) -> list[Any]:
    return list(read_sent(io.BytesIO(data.encode() if isinstance(data, str) else data), fields))


def parquet(rows: list[dict[str, Any]], **types: pyarrow.DataType) -> bytes:
    out = io.BytesIO()
    names = {name: None for row in rows for name in row}
    columns = {name: pyarrow.array([row.get(name) for row in rows], types.get(name)) for name in names}
    pyarrow.parquet.write_table(pyarrow.table(columns), out)
    return out.getvalue()


def test_cells_become_values_of_the_declared_types():
    said = read(
        "id,text,n,x,ok,when,where,tag,note,free\n"
        'a,hello,3,0.5,yes,2020-01-02,"48.1,11.5",007,[1],7\n'
        'b,world,"[1, 2]",1e3,FALSE,2020-01-02T03:04:05Z,"{""lat"": 1, ""lon"": 2}","[""p"", ""q""]",,\n'
    )
    a = {
        "n": 3,
        "x": 0.5,
        "ok": True,
        "when": "2020-01-02T00:00:00+00:00",
        "where": {"lat": 48.1, "lon": 11.5},
        "tag": "007",
        "note": "[1]",
        "free": "7",
    }
    b = {
        "n": [1, 2],
        "x": 1000.0,
        "ok": False,
        "when": "2020-01-02T03:04:05+00:00",
        "where": {"lat": 1.0, "lon": 2.0},
        "tag": ["p", "q"],
    }
    assert said == [(2, Inline("a", "hello", a)), (3, Inline("b", "world", b))]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("t,x,,,,,,", "column 'n': 'x' is no integer"),
        ("t,,nan,,,,,", "column 'x': 'nan' is no float"),
        ("t,,,maybe,,,,", "column 'ok': 'maybe' is no bool (write true or false)"),
        ("t,,,,soon,,,", "column 'when': 'soon' is no datetime"),
        ("t,,,,,91;0,,", "column 'where': '91;0' is no geo (write LATITUDE,LONGITUDE)"),
        ('t,,,,,"91,0",,', "lat reaches from -90 to 90"),
        ("t,9999999999999999999,,,,,,", "2^53"),
        ('t,"[1, ""b""]",,,,,,', "column 'n'"),
        ("t,1,2", "3 cells, but the header has 8 columns"),
        (",1,,,,,,", 'one of "path", "text" and "url"'),
        ('t,"1,,,,,,', "not CSV"),
        ('t,"a"b,,,,,,', "not CSV"),
    ],
)
def test_a_bad_row_is_told_with_its_line_and_column_and_stops_no_other(row, says):
    said = read(f'text,n,x,ok,when,where,tag,note\n"first\nand more",,,,,,,\n{row}\nlast,,,,,,,\n')
    assert [number for number, _ in said] == [2, 4, 5]
    assert isinstance(said[0][1], Inline)
    assert said[0][1].text == "first\nand more"
    assert isinstance(said[1][1], BadManifest)
    assert says in str(said[1][1])
    assert isinstance(said[2][1], Inline)


def test_a_quote_inside_a_cell_costs_its_line_alone():
    said = read('text,tag\na 5" disk,x\nb,y\nanother 3" one,z\nc,"q"\n')
    assert [number for number, _ in said] == [2, 3, 4, 5]
    assert [getattr(item, "text", "") for _, item in said if isinstance(item, Inline)][-1] == "c"
    assert {item.text for _, item in said if isinstance(item, Inline)} >= {"b", "c"}


def test_blank_lines_a_mark_other_delimiters_and_line_ends_are_no_matter():
    for text in ("\ufefftext;tag\r\n\r\na;x\r\n", "text\ttag\na\tx", "text,tag\na,x\n\n"):
        [(number, item)] = read(text)
        assert item == Inline("text-" + item.external_id[5:], "a", {"tag": "x"})
        assert number in (2, 3)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("text,text", "there twice"),
        ("text,a b", "column 'a b'"),
        ("text,", "column ''"),
    ],
)
def test_a_header_that_cannot_be_used_is_refused_once(header, says):
    with pytest.raises(BadManifest, match=says):
        read(f"{header}\na,b\na,b\n")


def test_a_table_named_as_such_without_a_usable_header_says_so(tmp_path):
    (tmp_path / "a.csv").write_text("name,age\nAnn,7\n")
    with pytest.raises(BadManifest, match="first line must name the columns"):
        list(read_manifest(tmp_path / "a.csv"))
    (tmp_path / "b.parquet").write_bytes(parquet([{"name": "Ann"}]))
    with pytest.raises(BadManifest, match="one of its columns must be path, text or url; it has name"):
        list(read_manifest(tmp_path / "b.parquet"))


def test_paths_are_relative_to_the_table_and_refused_from_afar(tmp_path):
    (tmp_path / "a.csv").write_text("path,id\nx/y.jpg,\n")
    assert list(read_manifest(tmp_path / "a.csv")) == [Found("x/y.jpg", tmp_path / "x/y.jpg", {})]
    [(_, fault)] = read("path\nx.jpg\n")
    assert "one of the server" in str(fault)


def test_a_row_too_long_for_memory_is_told_and_the_next_is_read(monkeypatch):
    monkeypatch.setattr(csv_rows, "LINE", 100)
    for cell in ("x" * 200, '"' + "x\n" * 100 + '"', '"' + "x" * 200 + '"'):
        said = read(f"text\n{cell}\nlast\n")
        assert said[-1][1] == Inline(said[-1][1].external_id, "last", {})
        assert any(isinstance(item, BadManifest) for _, item in said[:-1])


def test_parquet_has_the_types_it_has():
    moment = dt.datetime(2020, 1, 2, 3, 4, 5)  # noqa: DTZ001  # as pandas writes it
    said = read(
        parquet(
            [
                {
                    "id": "a",
                    "text": "t",
                    "n": 3.0,
                    "when": moment,
                    "day": dt.date(2020, 1, 2),
                    "tag": ["p"],
                    "ok": True,
                },
                {"id": "b", "text": "u", "n": float("nan"), "when": None, "day": None, "tag": [], "ok": None},
            ]
        )
    )
    assert said == [
        (1, Inline("a", "t", {"n": 3, "when": "2020-01-02T03:04:05", "day": "2020-01-02", "tag": ["p"], "ok": True})),
        (2, Inline("b", "u", {"tag": []})),
    ]


def test_a_bad_value_in_parquet_is_told_with_row_and_column_and_stops_no_other():
    said = read(parquet([{"text": "a", "raw": None}, {"text": "b", "raw": b"\xff"}, {"text": "c", "raw": None}]))
    assert [number for number, _ in said] == [1, 2, 3]
    assert "column 'raw': bytes has no place in metadata" in str(said[1][1])
    assert isinstance(said[2][1], Inline)


def test_a_whole_number_may_be_an_id_in_parquet():
    [(_, item)] = read(parquet([{"id": 7, "url": "https://e.com/a.jpg"}]))
    assert item == Remote("7", "https://e.com/a.jpg", {})


def test_damaged_parquet_is_a_fault_of_the_whole():
    good = parquet([{"text": f"text {at}"} for at in range(500)])
    for bad in (good[: len(good) // 2], b"PAR1" + b"x" * 50 + b"PAR1", good[:20] + b"\xff" * 200 + good[220:]):
        with pytest.raises(CorruptMedia):
            read(bad)
    assert parquet_count(io.BytesIO(good)) == 500


def test_without_pyarrow_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"pip install 'quiver\[parquet\]'"):
        read(b"PAR1...")


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (b'{"text": "a"}\n', "jsonl"),
        (b'\xef\xbb\xbf  {"text": "a,url"}\n', "jsonl"),
        (b"\n\n", "jsonl"),
        (b"oops\n", "jsonl"),
        (b"caf\xe9,text\n", "jsonl"),
        (b"id,text\n", "csv"),
        (b"url\n", "csv"),
        (b'"text";id\r\n', "csv"),
        (b"PAR1\x15\x00", "parquet"),
        (b"", "jsonl"),
    ],
)
def test_the_form_is_seen_from_the_beginning(data, form):
    assert form_of(io.BytesIO(data)) == form


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12).filter(str.strip)
rows = st.fixed_dictionaries(
    {"text": cells},
    optional={
        "id": cells,
        "n": st.integers(-(2**53), 2**53),
        "x": st.floats(allow_nan=False, allow_infinity=False),
        "ok": st.booleans(),
        "when": st.datetimes(dt.datetime.fromisoformat("1970-01-01"), dt.datetime.fromisoformat("2200-01-01")),
        "tag": cells.filter(lambda said: not said.startswith("[")),
        "note": cells,
        "free": cells,
    },
)
TYPES = {
    "n": pyarrow.int64(),
    "x": pyarrow.float64(),
    "ok": pyarrow.bool_(),
    "when": pyarrow.timestamp("us"),
    **dict.fromkeys(("text", "id", "tag", "note", "free"), pyarrow.string()),
}
COLUMNS = list(TYPES)


def as_jsonl(given_rows: list[dict[str, Any]]) -> bytes:
    out = []
    for row in given_rows:
        own: dict[str, Any] = {name: row[name] for name in ("text", "id") if name in row}
        own["metadata"] = {name: value for name, value in row.items() if name not in own}
        out.append(json.dumps(own, default=lambda moment: moment.isoformat()))
    return "\n".join(out).encode()


def as_csv(given_rows: list[dict[str, Any]]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, COLUMNS)
    writer.writeheader()
    for row in given_rows:
        writer.writerow({name: value.isoformat() if name == "when" else value for name, value in row.items()})
    return out.getvalue().encode()


@given(st.lists(rows, min_size=1, max_size=6))
def test_the_same_rows_are_the_same_items_in_every_form(given_rows):
    whole = [{name: row.get(name) for name in COLUMNS} for row in given_rows]
    forms = [as_jsonl(given_rows), as_csv(given_rows), parquet(whole, **TYPES)]

    def said(data: bytes) -> list[Any]:
        out: list[Any] = []
        for _, item in read(data):
            if isinstance(item, BadManifest):
                assert "already on line" in str(item)
                out.append("twice")
            else:
                out.append((item.external_id, item.text, normal_metadata(FIELDS, item.metadata)))
        return out

    jsonl, table, columns = map(said, forms)
    assert len(jsonl) == len(given_rows)
    assert jsonl == table == columns


@given(st.binary(max_size=200))
def test_any_bytes_after_a_header_are_items_or_faults_and_nothing_else(data):
    for _, item in read(b"text,n,url\n" + data):
        assert isinstance(item, (Inline, Remote, BadManifest))
