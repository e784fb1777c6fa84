"""What was named on a command line, as sources of items."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from core.errors import BadQuery, Conflict, Refused
from core.fields import Fields
from ingest.files import opened, printable, reading
from ingest.limits import Limits
from ingest.sources.folder import Found, one, require, walk
from ingest.sources.manifest import FORMS, Item, read_manifest, read_rows
from ingest.sources.objects import WEB, Objects
from ingest.sources.parquet import parquet_count
from ingest.sources.pick import Pick
from ingest.sources.points import SCHEMES, Columns, Payloads, address, read_points
from ingest.sources.seen import Seen
from ingest.sources.tar import is_tar, read_tar
from ingest.sources.url import Remote, url_id

PathLike = str | Path
PayloadsOf = Callable[[str, str], Payloads]  # the server's URL, the collection


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How what is named is read."""

    pick: Pick = field(default_factory=Pick)
    sidecars: bool = False
    columns: Columns = field(default_factory=Columns)
    fields: Fields = field(default_factory=dict)  # declared: what cells of CSV become
    limits: Limits = field(default_factory=Limits)
    payloads: PayloadsOf | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A place that gives items; a fault among them stands for what could not be listed.

    `name` is the same whenever it is listed the same way. `count` says how many items there will be, or gives as many
    things; None: that is not known before the end.
    """

    name: str
    items: Callable[[], Iterator[Item | Refused]]
    count: Callable[[], int | Iterator[object] | None]


def sources(given: Sequence[PathLike], how: How) -> list[Source]:
    """A source for each: folders and files; manifests and tars given by name; URLs. Given twice, it is one.

    Raises NoSuchPath when nothing is at a path, BadQuery, MissingExtra; RemoteFailed when a `*` cannot be resolved.
    """
    out: dict[str, Source] = {}
    for said in given:
        for source in _urls(said, how) if isinstance(said, str) and "://" in said else [_path(Path(said), how)]:
            out.setdefault(source.name, source)
    return list(out.values())


def apart(given: Sequence[Source]) -> Iterator[tuple[Source, Iterator[Item | Refused]]]:
    """Each source with its items. An id that another source gave before is a Conflict, but for the very same file."""
    if len(given) == 1:
        yield given[0], given[0].items()
        return
    with closing(Seen()) as seen:
        for source in given:
            yield source, _once(source, seen)


def items(given: Sequence[PathLike], how: How | None = None) -> Iterator[Item | Refused]:
    """All items of all that was named. Raises as `sources`."""
    named = sources(given, how or How())
    return (item for _, each in apart(named) for item in each)


def _once(source: Source, seen: Seen) -> Iterator[Item | Refused]:
    for item in source.items():
        if isinstance(item, Refused):
            yield item
            continue
        place = str(item.path) if isinstance(item, Found) else source.name
        where = f"{printable(place)}\0{source.name}"
        before = seen.first(item.external_id, where)
        if before is None:
            yield item
        elif not (isinstance(item, Found) and not item.metadata and _same(item.path, before.partition("\0")[0])):
            other = before.partition("\0")[0]
            yield Conflict(
                f"{source.name}: {printable(place)} and {other} would both be {item.external_id!r}: "
                "ingest a folder that holds both, or name them in a manifest"
            )


def _same(path: Path, other: str) -> bool:
    try:
        return path.samefile(other)
    except (OSError, ValueError):
        return False


def _path(path: Path, how: How) -> Source:
    require(path)
    place = path.resolve()
    name = printable(str(place))
    if path.is_dir():
        listing = partial(walk, path, pick=how.pick, sidecars=how.sidecars)
        return Source(_called(name, how), listing, listing)
    if is_tar(path.name):
        return Source(name, partial(_guarded, name, partial(_tar, path, how.limits)), lambda: None)
    if path.suffix.lower() in FORMS:
        rows = partial(_guarded, printable(path.name), partial(read_manifest, path, how.fields))
        return Source(name, rows, partial(_counted, path))
    return Source(name, partial(one, path, sidecars=how.sidecars), lambda: 1)


def _urls(url: str, how: How) -> Iterator[Source]:
    scheme = urlsplit(url).scheme
    if scheme == "file":
        yield _path(Path(unquote(urlsplit(url).path)), how)
    elif scheme in SCHEMES:
        yield _points(url, how)
    elif scheme in WEB and _single(url):
        yield Source(url_id(url), partial(_one_address, url), lambda: 1)
    else:
        for named in Objects(url, how.limits).named():
            yield _objects(named, how)


def _objects(url: str, how: How) -> Source:
    there, name = Objects(url, how.limits), url_id(url)
    last = PurePosixPath(urlsplit(url).path).name
    form = FORMS.get(PurePosixPath(last).suffix.lower())
    if is_tar(last):
        return Source(name, partial(_guarded, name, partial(_remote_tar, there, last, how.limits)), lambda: None)
    if form is not None:

        def rows() -> Iterator[Item | Refused]:
            with there.opened() as source:
                yield from read_rows(source, form, last, there.place, how.fields)

        return Source(name, partial(_guarded, name, rows), lambda: None)
    listing = partial(_guarded, name, partial(there.listed, pick=how.pick, sidecars=how.sidecars))
    return Source(_called(name, how), listing, lambda: None)


def _points(url: str, how: How) -> Source:
    if how.payloads is None:
        raise BadQuery("another Qdrant collection is read where its client is: by `quiver ingest` or `Quiver.open`")
    payloads = how.payloads(*address(url))
    name = url_id(url)
    return Source(
        name, partial(_guarded, name, partial(read_points, payloads, name, how.columns)), lambda: len(payloads)
    )


def _single(url: str) -> bool:
    """Whether a web address is of one file, to be fetched as every address is; else it is listed or read as rows."""
    last = PurePosixPath(urlsplit(url).path).name
    return not url.endswith("/") and not is_tar(last) and PurePosixPath(last).suffix.lower() not in FORMS


def _one_address(url: str) -> Iterator[Item | Refused]:
    yield Remote(url_id(url), url)


def _called(name: str, how: How) -> str:
    """Listed another way, it is another source: what a pattern leaves out has not vanished."""
    said = [sorted(how.pick.glob), sorted(how.pick.exclude), how.sidecars]
    return name if said == [[], [], False] else f"{name} {json.dumps(said, ensure_ascii=False)}"


def _tar(path: Path, limits: Limits) -> Iterator[Item | Refused]:
    with opened(path) as source:
        yield from read_tar(source, printable(path.name), limits)


def _remote_tar(there: Objects, name: str, limits: Limits) -> Iterator[Item | Refused]:
    with there.opened() as source:
        yield from read_tar(source, name, limits)


def _guarded(name: str, listing: Callable[[], Iterator[Item | Refused]]) -> Iterator[Item | Refused]:
    """A fault of the whole stands for what it would have given."""
    try:
        yield from listing()
    except Refused as exc:
        said = str(exc)
        yield exc if said.startswith(name) else type(exc)(f"{name}: {said}")


def _counted(path: Path) -> Iterator[object]:
    """About as many things as a manifest has rows: its lines, or what Parquet says of itself."""
    with opened(path) as source, reading():
        form = FORMS[path.suffix.lower()]
        if form == "parquet":
            yield from range(parquet_count(source))
        else:
            yield from islice((line for line in source if not line.isspace()), form == "csv", None)
