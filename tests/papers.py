"""Small real documents, written by hand: PDF, Word, OpenDocument, EPUB and RTF."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
OFFICE = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"
TEXT = "urn:oasis:names:tc:opendocument:xmlns:text:1.0"
TABLE = "urn:oasis:names:tc:opendocument:xmlns:table:1.0"


def pdf(pages: Sequence[str], *, trailer: bytes = b"") -> bytes:
    """A page a text, a line a line, in Helvetica; a page of no text is blank."""
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for i, text in enumerate(pages):
        lines = [line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)") for line in text.splitlines()]
        shown = "BT /F1 12 Tf 14 TL 72 720 Td " + " ".join(f"({line}) Tj T*" for line in lines) + " ET" if text else ""
        said = shown.encode("cp1252")
        bodies.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * i} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        bodies.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(said), said))
    return assembled(bodies, trailer)


def assembled(bodies: Sequence[bytes], trailer: bytes = b"") -> bytes:
    """Objects as a PDF file, the first of them its catalogue."""
    out = b"%PDF-1.7\n"
    places = []
    for number, body in enumerate(bodies, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(bodies) + 1)
    end = b"trailer\n<< /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF" % (len(bodies) + 1, trailer, len(out))
    return out + head + table + end


def locked_pdf() -> bytes:
    """A PDF that only opens with a password."""
    key = b"<" + b"5a" * 32 + b">"
    lock = b"/Encrypt << /Filter /Standard /V 2 /R 3 /Length 128 /P -44 /O %s /U %s >> /ID [<00> <00>]" % (key, key)
    return pdf(["secret"], trailer=lock)


def scanned_pdf(pages: Sequence[Sequence[str]]) -> bytes:
    """Pages that are pictures of lines."""
    first, *rest = [written(lines, (1240, 600)) for lines in pages]
    out = io.BytesIO()
    first.save(out, "PDF", save_all=True, append_images=rest, resolution=150)
    return out.getvalue()


def written(lines: Sequence[str], size: tuple[int, int] = (900, 400), *, height: int = 40) -> PIL.Image.Image:
    """Lines of black writing on white."""
    picture = PIL.Image.new("RGB", size, "white")
    pen, font = PIL.ImageDraw.Draw(picture), PIL.ImageFont.load_default(height)
    for i, line in enumerate(lines):
        pen.text((40, 30 + i * 2 * height), line, fill="black", font=font)
    return picture


def archive(parts: Mapping[str, str | bytes], *, stored: Sequence[str] = ()) -> bytes:
    """A ZIP of these parts, in order."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, body in parts.items():
            made.writestr(name, body, zipfile.ZIP_STORED if name in stored else zipfile.ZIP_DEFLATED)
    return out.getvalue()


def docx(body: str, *, main: str = "word/document.xml", **more: str | bytes) -> bytes:
    """A Word document of this body, WordprocessingML with the prefix w; `more`: notes by the name of their part."""
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
    links = "http://schemas.openxmlformats.org/package/2006/relationships"
    link = f'<Relationship Type="{kind}" Target="/{main}"/>'
    notes = {f"word/{name}.xml": said for name, said in more.items()}
    return archive(
        {
            "[Content_Types].xml": "<Types/>",
            "_rels/.rels": f'<Relationships xmlns="{links}">{link}</Relationships>',
            main: f'<w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>',
            **notes,
        }
    )


def paragraphs(*texts: str) -> str:
    """WordprocessingML."""
    return "".join(f"<w:p><w:r><w:t>{escape(text)}</w:t></w:r></w:p>" for text in texts)


def odt(body: str, *, manifest: str = "<manifest/>") -> bytes:
    """An OpenDocument text of this body, with the prefixes text and table."""
    names = f'xmlns:office="{OFFICE}" xmlns:text="{TEXT}" xmlns:table="{TABLE}"'
    content = f"<office:document-content {names}><office:body><office:text>{body}</office:text></office:body>"
    return archive(
        {
            "mimetype": "application/vnd.oasis.opendocument.text",
            "META-INF/manifest.xml": manifest,
            "content.xml": f"{content}</office:document-content>",
        },
        stored=["mimetype"],
    )


def epub(chapters: Sequence[str], *, sealed: bool = False) -> bytes:
    """A book of these pages, which its spine has in order and its archive has not."""
    items = "".join(f'<item id="c{i}" href="text/chapter%20{i}.xhtml"/>' for i in range(len(chapters)))
    spine = "".join(f'<itemref idref="c{i}"/>' for i in range(len(chapters)))
    pages = {f"OEBPS/text/chapter {i}.xhtml": chapter for i, chapter in enumerate(chapters)}
    seal = '<encryption><CipherReference URI="OEBPS/text/chapter%200.xhtml"/></encryption>'
    return archive(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container><rootfile full-path="OEBPS/book.opf"/></container>',
            **dict(reversed(pages.items())),
            "OEBPS/book.opf": f"<package><manifest>{items}</manifest><spine>{spine}</spine></package>",
            **({"META-INF/encryption.xml": seal} if sealed else {}),
        },
        stored=["mimetype"],
    )
