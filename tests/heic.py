"""A photo as an iPhone takes it: nothing here writes HEIC, so it is put together from a film of one picture."""

from __future__ import annotations

import io
import struct
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray


def heic(pixels: NDArray[np.uint8], *, turns: int = 0) -> bytes:
    """A HEIC file (ISO/IEC 23008-12) of u8 (height, width, 3), both even and 64 or more, shown turned by so many
    quarters against the clock."""
    coded, configuration = _hevc(pixels)
    height, width, _ = pixels.shape
    properties = _box(b"hvcC", configuration) + _full(b"ispe", struct.pack(">II", width, height))
    properties += _box(b"irot", bytes([turns])) if turns else b""
    used = bytes([0x81, 2, 0x83][: 3 if turns else 2])  # the first and the third must be understood
    described = _box(
        b"iprp",
        _box(b"ipco", properties) + _full(b"ipma", struct.pack(">IHB", 1, 1, len(used)) + used),
    )
    kind = _box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")

    def meta(at: int) -> bytes:
        return _full(
            b"meta",
            _full(b"hdlr", bytes(4) + b"pict" + bytes(13))
            + _full(b"pitm", struct.pack(">H", 1))
            + _full(b"iloc", b"\x44\0" + struct.pack(">HHHHII", 1, 1, 0, 1, at, len(coded)))
            + _full(b"iinf", struct.pack(">H", 1) + _full(b"infe", struct.pack(">HH", 1, 0) + b"hvc1\0", version=2))
            + described,
        )

    head = kind + meta(len(kind) + len(meta(0)) + 8)
    return head + _box(b"mdat", coded)


def _hevc(pixels: NDArray[np.uint8]) -> tuple[bytes, bytes]:
    """A picture as HEVC with the configuration of its decoder."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as made:
        options = {"x265-params": "log-level=none:keyint=1", "crf": "10"}
        stream: Any = made.add_stream("libx265", rate=1, options=options)
        stream.height, stream.width = pixels.shape[:2]
        stream.pix_fmt, stream.codec_context.codec_tag = "yuv420p", "hvc1"
        made.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        made.mux(stream.encode())
    with av.open(io.BytesIO(out.getvalue()), "r") as opened:
        film = opened.streams.video[0]
        configuration = film.codec_context.extradata
        packet = next(packet for packet in opened.demux(film) if packet.size)
        assert configuration is not None
        return bytes(packet), bytes(configuration)


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def _full(kind: bytes, body: bytes, *, version: int = 0) -> bytes:
    return _box(kind, bytes([version, 0, 0, 0]) + body)
