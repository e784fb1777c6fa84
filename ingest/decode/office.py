"""Documents that are ZIP archives of XML: Word, OpenDocument, EPUB. Read as a stream, under a limit of what unpacks."""

from __future__ import annotations

import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO
from urllib.parse import unquote

from lxml import etree

from core.errors import CorruptMedia, UnsupportedMedia
from ingest.decode.flow import CHUNK, DOCX, HTML, ODT, Flow, read_html
from ingest.limits import Limits

_LOCKED = "the document has a password: save it without one"


class _Archive:
    """The parts of a document by name, of which no more bytes come out than a file may have."""

    def __init__(self, archive: zipfile.ZipFile, limits: Limits) -> None:
        self._archive, self._limits = archive, limits
        self._read = 0
        self.names = frozenset(archive.namelist())

    def chunks(self, name: str) -> Iterator[bytes]:
        """A part, unpacked as it is read. Raises CorruptMedia when there is none of that name, TooLarge."""
        if name not in self.names:
            raise CorruptMedia(f"the document has no {name}: repair it or ingest another copy")
        with self._archive.open(name) as part:
            while chunk := part.read(CHUNK):
                self._read += len(chunk)
                self._limits.check("bytes", self._read, what=f"what unpacks of it is over {self._read:,} bytes")
                yield chunk

    def whole(self, name: str) -> bytes:
        """A part that is small, or is needed at once."""
        return b"".join(self.chunks(name))

    def tree(self, name: str) -> etree._Element:
        """A small part, as elements."""
        return etree.fromstring(self.whole(name), etree.XMLParser(**_SAFE))


_SAFE = {"resolve_entities": False, "no_network": True, "load_dtd": False, "huge_tree": False}


def docx_text(source: BinaryIO, *, limits: Limits) -> str:
    """Body, tables and text boxes, then footnotes and endnotes; without headers, comments and what was deleted.

    Raises CorruptMedia, UnsupportedMedia, TooLarge.
    """
    with _opened(source, limits) as archive:
        links = archive.tree("_rels/.rels").iter("{*}Relationship")
        main = [one.get("Target", "") for one in links if one.get("Type", "").endswith("/officeDocument")]
        if not main:
            raise CorruptMedia("the document does not say which of its parts is the text: save it again")
        body = main[0].lstrip("/")
        notes = [posixpath.join(posixpath.dirname(body), name) for name in ("footnotes.xml", "endnotes.xml")]
        flow = Flow(DOCX, limits)
        for name in (body, *(note for note in notes if note in archive.names)):
            _feed(archive, name, flow)
        return flow.text


def odt_text(source: BinaryIO, *, limits: Limits) -> str:
    """Body, tables and notes; without headers, comments and what was deleted. Raises as `docx_text`."""
    with _opened(source, limits) as archive:
        if "META-INF/manifest.xml" in archive.names and b"encryption-data" in archive.whole("META-INF/manifest.xml"):
            raise UnsupportedMedia(_LOCKED)
        flow = Flow(ODT, limits)
        _feed(archive, "content.xml", flow)
        return flow.text


def epub_text(source: BinaryIO, *, limits: Limits) -> str:
    """Its chapters in the order they are read in (EPUB 3.3, 5.7: the spine). Raises as `docx_text`."""
    with _opened(source, limits) as archive:
        roots = [one.get("full-path", "") for one in archive.tree("META-INF/container.xml").iter("{*}rootfile")]
        if not roots:
            raise CorruptMedia("the book does not say what it holds: repair it or ingest another copy")
        package = archive.tree(roots[0])
        places = {one.get("id"): unquote(one.get("href", "")) for one in package.iter("{*}item")}
        folder = posixpath.dirname(roots[0])
        spine = [places.get(one.get("idref"), "") for one in package.iter("{*}itemref")]
        chapters = [posixpath.normpath(posixpath.join(folder, place)) for place in spine if place]
        if "META-INF/encryption.xml" in archive.names:
            sealed = {
                unquote(one.get("URI", ""))
                for one in archive.tree("META-INF/encryption.xml").iter("{*}CipherReference")
            }
            if sealed & set(chapters):
                raise UnsupportedMedia("the book is encrypted (DRM): ingest a copy that is not")
        flow = Flow(HTML, limits)
        for chapter in chapters:
            read_html(archive.whole(chapter), flow)
        return flow.text


def _feed(archive: _Archive, name: str, flow: Flow) -> None:
    parser = etree.XMLParser(target=flow, **_SAFE)
    for chunk in archive.chunks(name):
        parser.feed(chunk)
    parser.close()


@contextmanager
def _opened(source: BinaryIO, limits: Limits) -> Iterator[_Archive]:
    """The seam: whatever a damaged archive or its XML makes its reader raise becomes Refused."""
    try:
        with zipfile.ZipFile(source) as archive:
            if any(part.flag_bits & 1 for part in archive.infolist()):
                raise UnsupportedMedia(_LOCKED)
            yield _Archive(archive, limits)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as exc:
        raise CorruptMedia(f"the document's archive is damaged ({exc}): repair it or ingest another copy") from exc
    except etree.LxmlError as exc:
        raise CorruptMedia(f"a part of the document is no XML ({exc}): repair it or ingest another copy") from exc
