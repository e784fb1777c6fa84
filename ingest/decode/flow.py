"""Markup to text, while it is parsed: no tree is built, so that nesting costs nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from lxml import etree

from core.errors import CorruptMedia
from ingest.decode.text import decoded
from ingest.limits import Limits

CHUNK = 1 << 16
_GAPS = ("", " ", "\t", "\n", "\n\n")  # what may stand between two texts: the widest asked for does
_WHITE = re.compile(r"[ \t\r\n\f]+")  # HTML 2.1: what collapses; a no-break space does not


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """What the elements of a format, by local name, do to the text in them."""

    gaps: Mapping[str, str]  # what stands before and after
    breaks: frozenset[str] = frozenset()  # end a line; twice is an empty one
    skipped: frozenset[str] = frozenset()  # with all that is in them
    cells: frozenset[str] = frozenset()  # of tables: what is in one shares a line
    only: frozenset[str] = frozenset()  # outside of these there is no text; none: it is everywhere
    verbatim: frozenset[str] = frozenset()  # white space in these stays as it is


def _gaps(**elements: str) -> dict[str, str]:
    gap = {"apart": "\n\n", "line": "\n", "tab": "\t", "space": " "}
    return {name: gap[kind] for kind, names in elements.items() for name in names.split()}


HTML = Grammar(
    gaps=_gaps(
        apart="address article aside blockquote body dialog dl fieldset figure footer form h1 h2 h3 h4 h5 h6 header hr "
        "main nav ol p pre section table title ul",
        line="caption center dd details div dt figcaption legend li optgroup option summary tbody textarea tfoot thead "
        "tr",
        tab="td th",
        space="button input img select",
    ),
    breaks=frozenset({"br"}),
    skipped=frozenset({"math", "noscript", "object", "script", "style", "svg", "template"}),
    verbatim=frozenset({"pre", "textarea"}),
)
DOCX = Grammar(  # ISO/IEC 29500-1, 17: text lies in runs, in `t` alone
    gaps=_gaps(apart="p tbl", line="tr", tab="tc tab ptab"),
    breaks=frozenset({"br", "cr"}),
    skipped=frozenset({"Fallback"}),  # the same once more, for older readers (29500-3, 7.5)
    cells=frozenset({"tc"}),
    only=frozenset({"t"}),
    verbatim=frozenset({"t"}),
)
ODT = Grammar(  # OpenDocument 1.3, part 3, 5 and 6
    gaps=_gaps(apart="h p table", line="table-row", tab="table-cell tab", space="s"),
    breaks=frozenset({"line-break"}),
    skipped=frozenset({"annotation", "desc", "forms", "sequence-decls", "title", "tracked-changes"}),
    cells=frozenset({"table-cell"}),
    only=frozenset({"h", "p"}),
)


class Flow:
    """A target of lxml's parsers, for the parts of one document after each other; `text` is what was said."""

    def __init__(self, grammar: Grammar, limits: Limits) -> None:
        self._grammar, self._limits = grammar, limits
        self._said: list[str] = []
        self._count = 0
        self._gap = ""
        self._skipped = self._cells = self._inside = self._verbatim = 0  # how deep

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self._said)

    def start(self, tag: str, _attributes: Mapping[str, str]) -> None:
        """Target."""
        name = tag.rpartition("}")[2]
        if self._skipped or name in self._grammar.skipped:
            self._skipped += 1
            return
        self._around(name)
        self._cells += name in self._grammar.cells
        self._inside += name in self._grammar.only
        self._verbatim += name in self._grammar.verbatim
        if name in self._grammar.breaks:
            self._gap = "\n\n" if self._gap == "\n" else "\n"

    def end(self, tag: str) -> None:
        """Target."""
        if self._skipped:
            self._skipped -= 1
            return
        name = tag.rpartition("}")[2]
        self._cells -= name in self._grammar.cells
        self._inside -= name in self._grammar.only
        self._verbatim -= name in self._grammar.verbatim
        self._around(name)

    def data(self, text: str) -> None:
        """Target. Raises TooLarge."""
        if self._skipped or (self._grammar.only and not self._inside):
            return
        if self._verbatim:
            self._say(text)
            return
        flat = _WHITE.sub(" ", text)
        if flat.startswith(" "):
            self._widen(" ")
        if bare := flat.strip(" "):
            self._say(bare)
            if flat.endswith(" "):
                self._widen(" ")

    def doctype(self, _name: str | None, _public: str | None, _system: str | None) -> None:
        """Target. Office formats have none: it is there to declare entities."""
        if self._grammar is not HTML:
            raise CorruptMedia("a part of the document declares a DOCTYPE, which such a document never does")

    def close(self) -> None:
        """Target: the end of a part."""
        self._skipped = self._cells = self._inside = self._verbatim = 0
        self._widen("\n\n")

    def _around(self, name: str) -> None:
        gap = self._grammar.gaps.get(name, "")
        self._widen(" " if self._cells and gap.startswith("\n") else gap)

    def _widen(self, gap: str) -> None:
        self._gap = max(self._gap, gap, key=_GAPS.index)

    def _say(self, text: str) -> None:
        gap = self._gap if self._said else ""
        self._gap = ""
        self._said += [gap, text]
        self._count += len(gap) + len(text)
        self._limits.check("text_chars", self._count)


def html_text(data: bytes, *, limits: Limits) -> str:
    """What a page says. Raises CorruptMedia, TooLarge."""
    flow = Flow(HTML, limits)
    read_html(data, flow)
    return flow.text


def read_html(data: bytes, flow: Flow) -> None:
    """A page, into the flow. Raises CorruptMedia, TooLarge."""
    said = decoded(data).encode()
    parser = etree.HTMLParser(target=flow, encoding="utf-8")
    try:
        for at in range(0, len(said), CHUNK):
            parser.feed(said[at : at + CHUNK])
        parser.close()
    except (etree.LxmlError, AssertionError) as exc:
        raise CorruptMedia(f"the page cannot be parsed ({exc}): repair it or ingest another copy") from exc
