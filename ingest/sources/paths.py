"""What was named on a command line, as items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from core.errors import Conflict, Refused
from ingest.files import printable
from ingest.sources.folder import Found, require, walk
from ingest.sources.manifest import Item, read_manifest


def items(paths: Sequence[Path]) -> Iterator[Item | Refused]:
    """Files and folders first, then what the manifests (`*.jsonl` given by name) hold; a line's fault in its place.

    Raises NoSuchPath and Conflict before the first item; a manifest's fault stands in for what it would have given.
    """
    require(paths)
    manifests = [path for path in paths if path.suffix.lower() == ".jsonl" and not path.is_dir()]
    found = walk([path for path in paths if path not in manifests])
    return _joined(found, list(dict.fromkeys(manifests)))


def _joined(found: Iterator[Found], manifests: list[Path]) -> Iterator[Item | Refused]:
    seen: dict[str, str] = {}
    for item in found:
        seen[item.external_id] = printable(str(item.path))
        yield item
    for manifest in manifests:
        name = printable(str(manifest))
        for line in _guarded(manifest):
            if isinstance(line, Refused) or seen.setdefault(line.external_id, name) == name:
                yield line
            else:
                yield Conflict(f"{name} and {seen[line.external_id]} both give {line.external_id!r}: rename one")


def _guarded(manifest: Path) -> Iterator[Item | Refused]:
    try:
        yield from read_manifest(manifest)
    except Refused as exc:
        yield type(exc)(f"{printable(manifest.name)}: {exc}")
