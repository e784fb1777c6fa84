"""Documents to text: what they say, in the order it is read in; and what is no document, or too much of one."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import CorruptMedia, EmptyMedia, Refused, TooLarge, UnsupportedMedia
from core.types import Image, Modality, Segment, Text, Wants
from ingest.decode.document import DOCUMENTS, DOCX, EPUB, HTML, ODT, PDF, RTF
from ingest.limits import Limits
from ingest.prepare import prepare, whole
from ingest.sniff import Sniffed, sniff
from tests.papers import W, archive, assembled, docx, epub, locked_pdf, odt, paragraphs, pdf, scanned_pdf

LIMITS = Limits()
READS = Wants(contents=frozenset({Modality.TEXT}))


def segments(data: bytes, kind: str, *, limits: Limits = LIMITS, wants: Wants = READS) -> list[Segment]:
    made = prepare(io.BytesIO(data), modality=Modality.TEXT, media_type=kind, limits=limits, wants=wants)
    return whole(made)


def text(data: bytes, kind: str, *, limits: Limits = LIMITS) -> str:
    (only,) = segments(data, kind, limits=limits)
    assert isinstance(only.content, Text)
    assert only.span is not None
    assert (only.span.start, only.span.end) == (0, len(only.content.value))
    return only.content.value


SAMPLES = {
    PDF: pdf(["Hello world."]),
    DOCX: docx(paragraphs("Hello world.")),
    ODT: odt("<text:p>Hello world.</text:p>"),
    EPUB: epub(["<p>Hello world.</p>"]),
    RTF: rb"{\rtf1\ansi\pard Hello world.\par}",
    HTML: b"<!doctype html><p>Hello world.",
}


@pytest.mark.parametrize("kind", SAMPLES)
def test_every_kind_of_document_is_known_by_its_bytes_and_gives_its_text(kind):
    found = sniff(io.BytesIO(SAMPLES[kind]), name="thing", limits=LIMITS)
    assert found == Sniffed(Modality.TEXT, kind)
    assert text(SAMPLES[kind], kind).strip() == "Hello world."
    assert SAMPLES.keys() == DOCUMENTS


# HTML


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("<h1>Title</h1><p>One  two\nthree<p>Four", "Title\n\nOne two three\n\nFour"),
        ("a<br>b<br><br>c", "a\nb\n\nc"),
        ("<ul><li>one<li>t<b>w</b>o</ul>", "one\ntwo"),
        ("<table><tr><td>a<td>b<tr><td>c<td>d</table>", "a\tb\nc\td"),
        ("<pre>x = 1\n  y</pre>", "x = 1\n  y"),
        ("<script>if (a<b) {}</script><style>p{}</style><!-- no --><template>no</template>x", "x"),
        ("<noscript>switch it on</noscript><svg><text>no</text></svg>x", "x"),
        ("a&nbsp;b &lt;tag&gt; &#x4e16; &eacute;", "a\xa0b <tag> 世 é"),
        ("<title>T</title><body>x<img alt='no'>y", "T\n\nx y"),
    ],
)
def test_a_page_says_what_a_person_reads(page, said):
    assert text(page.encode(), HTML) == said


def test_a_page_is_read_in_the_encoding_that_it_declares_and_in_utf8_otherwise():
    said = "春天来了，花儿开了。"
    assert text(f"<meta charset=gb2312><p>{said}".encode("gb18030"), HTML) == said
    assert text(f'<?xml version="1.0" encoding="EUC-JP"?><html><p>{"春"}'.encode("euc_jp"), HTML) == "春"
    assert text(f"<meta charset=gb2312><p>{said}".encode(), HTML) == said, "its label is wrong, its bytes are not"
    assert text(f"<p>{said}".encode("utf-16"), HTML) == said
    with pytest.raises(CorruptMedia, match="convert it to UTF-8"):
        text("<meta charset=rot13><p>café".encode("latin-1"), HTML)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("opened", ["<div>", "<b>", "<table><td>", "<ul><li>"])
def test_a_page_nested_without_end_is_read_in_the_time_of_its_length(opened):
    assert text((opened * 100_000 + "deep").encode(), HTML) == "deep"


def test_a_page_without_words_is_empty():
    with pytest.raises(EmptyMedia):
        text(b"<html><img src=x><script>x</script>", HTML)


def test_a_page_of_more_text_than_the_limit_is_refused_while_it_is_read():
    assert len(text(b"<p>" + b"x" * 100 + b"<i>" * 10_000, HTML, limits=Limits(text_chars=100))) == 100
    with pytest.raises(TooLarge, match="QUIVER_MAX_TEXT_CHARS"):
        text(b"<p>word</p>" * 1000, HTML, limits=Limits(text_chars=100))


# Word


def test_a_word_document_gives_paragraphs_tables_tabs_and_breaks():
    cell = "<w:tc><w:p><w:r><w:t>{}</w:t></w:r></w:p></w:tc>"
    rows = "".join(f"<w:tr>{cell.format(a)}{cell.format(b)}</w:tr>" for a, b in (("a", "b"), ("c", "d")))
    run = '<w:p><w:r><w:t xml:space="preserve">One </w:t></w:r><w:r><w:t>two</w:t><w:tab/><w:t>3</w:t><w:br/></w:r>'
    body = f"{run}<w:hyperlink><w:r><w:t>link</w:t></w:r></w:hyperlink></w:p><w:tbl>{rows}</w:tbl>{paragraphs('End')}"
    assert text(docx(body), DOCX) == "One two\t3\nlink\n\na\tb\nc\td\n\nEnd"


def test_what_was_inserted_is_read_and_what_was_deleted_or_is_a_field_is_not():
    body = (
        "<w:p><w:ins><w:r><w:t>new</w:t></w:r></w:ins><w:del><w:r><w:delText>old</w:delText></w:r></w:del>"
        "<w:r><w:instrText>PAGE</w:instrText></w:r></w:p>"
    )
    assert text(docx(body), DOCX) == "new"


def test_a_text_box_is_read_once_and_notes_come_after_the_text():
    mc = "http://schemas.openxmlformats.org/markup-compatibility/2006"
    box = f'<mc:AlternateContent xmlns:mc="{mc}"><mc:Choice>{{0}}</mc:Choice><mc:Fallback>{{0}}</mc:Fallback>'
    body = f"<w:p><w:r>{box.format(paragraphs('box'))}</mc:AlternateContent></w:r></w:p>{paragraphs('body')}"
    note = f'<w:footnotes xmlns:w="{W}"><w:footnote>{paragraphs("note")}</w:footnote></w:footnotes>'
    assert text(docx(body, footnotes=note), DOCX) == "box\n\nbody\n\nnote"


def test_the_text_is_where_the_document_says_it_is():
    data = docx(paragraphs("Hello"), main="word/document2.xml")
    assert sniff(io.BytesIO(data), name="a", limits=LIMITS).media_type == DOCX
    assert text(data, DOCX) == "Hello"


def test_an_archive_that_is_no_document_is_refused_by_name():
    with pytest.raises(UnsupportedMedia, match="ZIP"):
        sniff(io.BytesIO(archive({"a.txt": "word/document.xml"})), name="a.docx", limits=LIMITS)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (archive({"_rels/.rels": "<Relationships/>"}), "which of its parts"),
        (archive({"word/document.xml": "<w/>"}), r"has no _rels/.rels"),
        (docx("<w:p>"), "no XML"),
        (docx(paragraphs("x"))[:-30], "archive is damaged"),
        (docx(paragraphs("word " * 50))[:200] + bytes(60) + docx(paragraphs("word " * 50))[260:], "damaged"),
    ],
)
def test_a_damaged_document_is_refused(data, message):
    with pytest.raises(CorruptMedia, match=message):
        text(data, DOCX)


# Bombs


def test_an_archive_that_unpacks_without_end_is_refused_at_the_limit():
    bomb = docx(paragraphs("x") + "<w:p/>" * 400_000)
    assert len(bomb) < 50_000
    with pytest.raises(TooLarge, match="QUIVER_MAX_BYTES"):
        text(bomb, DOCX, limits=Limits(bytes=1_000_000))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("depth", [2, 30])
def test_entities_are_not_expanded(depth):
    entities = "".join(f'<!ENTITY e{i} "&e{i + 1};&e{i + 1};">' for i in range(depth))
    lol = f'<!DOCTYPE x [{entities}<!ENTITY e{depth} "lol">]>'
    body = f'{lol}<w:document xmlns:w="{W}"><w:p><w:r><w:t>&e0;</w:t></w:r></w:p></w:document>'
    links = docx("")
    assert links
    with pytest.raises(CorruptMedia):
        text(archive({"_rels/.rels": _rels(), "word/document.xml": body}), DOCX)


def test_no_file_of_this_machine_is_read_by_a_document(tmp_path: Path):
    (tmp_path / "secret").write_text("secret")
    entity = f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{tmp_path}/secret">]>'
    body = f'{entity}<w:document xmlns:w="{W}"><w:p><w:r><w:t>&e;</w:t></w:r></w:p></w:document>'
    with pytest.raises(CorruptMedia):
        text(archive({"_rels/.rels": _rels(), "word/document.xml": body}), DOCX)


def _rels() -> str:
    return '<Relationships><Relationship Type="x/officeDocument" Target="word/document.xml"/></Relationships>'


@pytest.mark.timeout(20)
@pytest.mark.parametrize("depth", [1000, 200_000])
def test_elements_nested_without_end_are_read_in_the_time_of_their_length(depth):
    assert text(docx("<w:p>" * depth + "<w:r><w:t>x</w:t></w:r>" + "</w:p>" * depth), DOCX) == "x"


# OpenDocument, EPUB, RTF


def test_an_opendocument_text_gives_paragraphs_tables_and_breaks_and_nothing_deleted():
    cell = "<table:table-cell><text:p>{}</text:p></table:table-cell>"
    body = (
        "<text:tracked-changes><text:p>old</text:p></text:tracked-changes><text:h>Head</text:h>"
        f"<text:p>a<text:tab/>b<text:line-break/>c<text:s text:c='1000000000'/>d  <text:span>e</text:span></text:p>"
        f"<table:table><table:table-row>{cell.format('x')}{cell.format('y')}</table:table-row></table:table>"
    )
    assert text(odt(body), ODT) == "Head\n\na\tb\nc d e\n\nx\ty"


def test_a_book_is_read_in_the_order_of_its_spine():
    chapters = [f"<html><body><h1>{i}</h1><p>Text {i}.</p></body></html>" for i in range(3)]
    assert text(epub(chapters), EPUB) == "0\n\nText 0.\n\n1\n\nText 1.\n\n2\n\nText 2."


def test_rich_text_is_read_with_its_code_pages_and_emoji():
    said = rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 A;}}caf\'e9 \u19990?\par\u-10179?\u-8704? end}"
    assert text(said, RTF) == "café 世\n😀 end"


# Passwords


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (locked_pdf(), PDF),
        (odt("", manifest="<manifest><encryption-data/></manifest>"), ODT),
        (epub(["<p>x"], sealed=True), EPUB),
    ],
)
def test_a_locked_document_is_refused_with_what_to_do(data, kind):
    with pytest.raises(UnsupportedMedia, match=r"save it without one|ingest a copy that is not"):
        text(data, kind)


def test_a_locked_archive_is_refused_with_what_to_do():
    data = bytearray(docx(paragraphs("x")))
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1  # APPNOTE 4.4.4: this part is encrypted
    with pytest.raises(UnsupportedMedia, match="password: save it without one"):
        text(bytes(data), DOCX)


def test_a_locked_word_document_is_told_from_its_container():
    with pytest.raises(UnsupportedMedia, match="password"):
        sniff(io.BytesIO(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)), name="a.docx", limits=LIMITS)


# PDF


def test_a_pdf_gives_a_page_a_segment_with_its_place_in_all_of_the_text():
    found = segments(pdf(["One.\nTwo.", "", "Three (3)."]), PDF)
    said = [one.content.value for one in found if isinstance(one.content, Text)]
    assert said == ["One.\nTwo.", "Three (3)."]
    everything = "\f".join(said)
    for one, value in zip(found, said, strict=True):
        assert one.span is not None
        assert everything[int(one.span.start) : int(one.span.end)] == value
    assert [one.ordinal for one in found] == [0, 1]


def test_a_pdf_of_pictures_is_refused_with_what_to_do_where_nobody_reads_them():
    with pytest.raises(UnsupportedMedia, match=r"no text.*--read ocr"):
        segments(scanned_pdf([["Harbour"]]), PDF)


def test_a_pdf_of_pictures_gives_its_pages_to_who_reads_them():
    wants = Wants(contents=frozenset({Modality.TEXT, Modality.IMAGE}), pixels=300)
    found = segments(scanned_pdf([["Harbour"], ["Office"]]), PDF, wants=wants)
    assert [one.ordinal for one in found] == [0, 1]
    for one in found:
        assert isinstance(one.content, Image)
        height, width, _ = one.content.pixels.shape
        assert 580 <= min(height, width) <= 602, "the short side at twice what is wanted"
        assert one.content.pixels.flags["C_CONTIGUOUS"]
        assert one.content.pixels.min() < 64 < 192 < one.content.pixels.max()


def test_a_picture_of_a_page_has_the_colours_of_the_page():
    red = assembled(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 100 100] /Contents 4 0 R >>",
            b"<< /Length 30 >>\nstream\n1 0 0 rg 0 0 100 100 re f     \nendstream",
        ]
    )
    (only,) = segments(red, PDF, wants=Wants())
    assert isinstance(only.content, Image)
    assert np.array_equal(only.content.pixels[50, 50], [255, 0, 0])


def test_a_page_as_large_as_a_town_is_drawn_within_the_limit():
    vast = assembled(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 14400000 14400] /Contents 4 0 R >>",
            b"<< /Length 30 >>\nstream\n1 0 0 rg 0 0 100 100 re f     \nendstream",
        ]
    )
    limits = Limits(pixels=1_000_000)
    (only,) = segments(vast, PDF, limits=limits, wants=Wants())
    assert isinstance(only.content, Image)
    assert only.content.pixels.size // 3 <= limits.pixels


def test_a_pdf_of_blank_pages_is_empty():
    with pytest.raises(EmptyMedia, match="empty"):
        segments(pdf(["", ""]), PDF)


def test_a_pdf_of_more_text_than_the_limit_is_refused():
    with pytest.raises(TooLarge, match="QUIVER_MAX_TEXT_CHARS"):
        segments(pdf(["word " * 10] * 10), PDF, limits=Limits(text_chars=100))


@pytest.mark.parametrize("data", [b"%PDF-1.7", b"%PDF-1.7\n" + bytes(1000), SAMPLES[PDF][:100]])
def test_a_pdf_that_is_none_is_refused(data):
    with pytest.raises(CorruptMedia):
        segments(data, PDF)


# Whatever the bytes are


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(SAMPLES)), st.data())
def test_damage_anywhere_is_text_or_refused(kind, data):
    whole_file = bytearray(SAMPLES[kind])
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(whole_file) - 1))
        whole_file[at] = data.draw(st.integers(0, 255))
    kept = data.draw(st.sampled_from([len(whole_file), data.draw(st.integers(0, len(whole_file)))]))
    try:
        found = segments(bytes(whole_file[:kept]), kind)
    except Refused:
        return
    assert any(one.content.value.strip() for one in found if isinstance(one.content, Text))
