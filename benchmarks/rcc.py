"""Read Qt resource files (.rcc, format versions 1 to 3): a tree of named files, each plain, zlib or zstd."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

COMPRESSED, DIRECTORY, ZSTD = 1, 2, 4


def members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Path and bytes of every file, in the order of the tree. Raises ValueError when it is not such a file."""
    if data[:4] != b"qres":
        raise ValueError("not a Qt resource file: it does not start with qres")
    version, tree, blobs, names = struct.unpack_from(">4I", data, 4)
    size = 14 if version == 1 else 22  # from 2 on each node ends with a time of change

    def name(at: int) -> str:
        (length,) = struct.unpack_from(">H", data, names + at)
        start = names + at + 6  # length u16, hash u32
        return data[start : start + 2 * length].decode("utf-16-be")

    def walk(node: int, path: str) -> Iterator[tuple[str, bytes]]:
        at = tree + node * size
        named, flags = struct.unpack_from(">IH", data, at)
        here = f"{path}/{name(named)}" if node else path
        if flags & DIRECTORY:
            count, first = struct.unpack_from(">II", data, at + 6)
            for child in range(first, first + count):
                yield from walk(child, here)
            return
        (offset,) = struct.unpack_from(">I", data, at + 10)
        (length,) = struct.unpack_from(">I", data, blobs + offset)
        start = blobs + offset + 4
        yield here.lstrip("/"), _plain(data[start : start + length], flags)

    yield from walk(0, "")


def _plain(packed: bytes, flags: int) -> bytes:
    if flags & ZSTD:
        import zstandard

        return zstandard.ZstdDecompressor().decompressobj().decompress(packed)
    return zlib.decompress(packed[4:]) if flags & COMPRESSED else packed  # zlib data follow their full size, u32
