"""Sounds and films opened with FFmpeg, by PyAV: which formats and codecs, and what their errors mean.

FFmpeg reads hundreds of formats, and some of them name other files and addresses to be opened. Only those are read that
people have, only codecs of the list decode, and whatever a file refers to stays closed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, NoReturn

import av
import av.error
import av.logging
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from core.errors import CorruptMedia, Refused, TooLarge, UnsupportedMedia
from ingest.limits import Limits

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,wav,w64,flac,mp3,aac,aiff,au,caf,amr"
)
ESTIMATED = frozenset({"mpegts", "mpeg", "mpegvideo", "mp3", "aac", "amr"})  # that do not say how long they are
CODECS = frozenset(
    name
    for names in (
        "h264 hevc av1 libdav1d vp8 vp9 libvpx libvpx-vp9 mpeg1video mpeg2video mpeg4 msmpeg4v1 msmpeg4v2 msmpeg4",
        "h263 flv vp6 vp6a vp6f wmv1 wmv2 wmv3 vc1 theora mjpeg prores dnxhd dvvideo ffv1 huffyuv utvideo rawvideo",
        "cinepak svq1 svq3 qtrle png",
        "aac aac_latm mp1float mp2float mp3float mp1 mp2 mp3 opus libopus vorbis flac alac ac3 eac3 dca truehd mlp",
        "wmav1 wmav2 wmapro wmalossless amrnb amrwb libopencore_amrnb libopencore_amrwb speex nellymoser gsm gsm_ms",
        "adpcm_ima_wav adpcm_ima_qt adpcm_ms adpcm_swf pcm_u8 pcm_s8 pcm_alaw pcm_mulaw pcm_s16le pcm_s16be",
        "pcm_s24le pcm_s24be pcm_s32le pcm_s32be pcm_f32le pcm_f32be pcm_f64le pcm_f64be pcm_bluray pcm_dvd",
    )
    for name in names.split()
)
_CONTINUOUS = frozenset({"wav", "w64", "flac", "aiff", "au", "caf"})  # sound and nothing else, without a gap
_HEAD = 8192  # bytes in which a file says how large it is
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_UNKNOWN = 0x7FFF0000  # bytes that a writer says who could not go back
_SHARE = 20  # one packet in so many may be damaged, and such a share of the end missing
_SLACK = 0.25  # seconds that every end may be early: encoders round up to whole frames

av.logging.set_level(None)  # what FFmpeg remarks on odd files is of no use to anybody here


@dataclass(slots=True)
class Media:
    """An open file, and how much of it was whole."""

    container: InputContainer
    limits: Limits
    packets: int = 0
    damaged: int = 0
    reached: float = 0.0  # seconds
    heard: float = 0.0  # seconds of sound that came out

    @property
    def begins(self) -> float:
        """The time that its streams call the beginning, in seconds."""
        return (self.container.start_time or 0) / av.time_base

    @property
    def declared(self) -> float:
        """How long it says it is, in seconds; 0: it does not."""
        return max(0.0, (self.container.duration or 0) / av.time_base)

    @property
    def pictures(self) -> VideoStream | None:
        """Its first stream of pictures that is not a cover."""
        for stream in self.container.streams.video:
            if not stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails):
                return stream
        return None

    @property
    def sound(self) -> AudioStream | None:
        """The stream of sound that a player would choose."""
        best = self.container.streams.best("audio")
        return best if isinstance(best, AudioStream) else None

    def demuxed(self) -> Iterator[Packet[Any]]:
        """Its packets in the order of the file, those that end a stream included. A file that breaks off ends."""
        try:
            for packet in self.container.demux():
                self._reach(packet)
                yield packet
        except (av.error.InvalidDataError, av.error.EOFError):
            self.damaged += 1

    def decoded(self, packet: Packet[Any]) -> list[Any]:
        """The frames that come out when it goes in; none when it is damaged."""
        self.packets += 1
        try:
            frames: list[Any] = packet.decode()
        except (av.error.InvalidDataError, av.error.EOFError, av.error.PatchWelcomeError):
            self.damaged += packet.size > 0
            return []
        self.heard += sum(frame.samples / frame.sample_rate for frame in frames if isinstance(frame, av.AudioFrame))
        return frames

    def check_whole(self) -> None:
        """Raises CorruptMedia when too much of it was damaged or missing. To be asked at its end."""
        if self.damaged * _SHARE > self.packets:
            raise CorruptMedia(f"{self.damaged} of its {self.packets:,} packets are damaged: ingest another copy")
        kind = self.container.format.name
        reached = self.heard if kind in _CONTINUOUS else self.reached
        if kind not in ESTIMATED and self.declared - reached > _SLACK + self.declared / _SHARE:
            raise CorruptMedia(f"only {reached:.1f} of its {self.declared:.1f} seconds are whole: ingest another copy")

    def _reach(self, packet: Packet[Any]) -> None:
        if packet.pts is not None and packet.size:
            end = float((packet.pts + (packet.duration or 0)) * packet.time_base) - self.begins
            self.reached = max(self.reached, end)
            self.limits.check("seconds", int(end), what=f"it goes on after {end:,.0f} seconds")


@contextmanager
def opened(source: BinaryIO, *, limits: Limits) -> Iterator[Media]:
    """The file, from its beginning. Raises CorruptMedia, UnsupportedMedia, TooLarge, also for what happens inside."""
    _check_size(source)
    source.seek(0)
    try:
        with av.open(
            _Unnamed(source),
            "r",
            options={"format_whitelist": FORMATS, "codec_whitelist": ",".join(sorted(CODECS))},
            metadata_errors="replace",
            io_open=_closed,
        ) as container:
            media = Media(container, limits)
            limits.check("seconds", int(media.declared), what=f"it is {media.declared:,.0f} seconds long")
            yield media
    except Refused:
        raise
    except MemoryError as exc:
        raise TooLarge("it does not fit into memory: make it smaller") from exc
    except (av.error.DecoderNotFoundError, av.error.PatchWelcomeError, av.error.NotImplementedError) as exc:
        raise UnsupportedMedia(f"its codec is not known here ({exc}): convert it to H.264 or AAC") from exc
    except Exception as exc:
        said = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
        raise CorruptMedia(f"the file is damaged ({said}): repair it or ingest another copy") from exc


def ready(stream: VideoStream | AudioStream, *, skip: Literal["DEFAULT", "NONREF", "NONKEY"] = "DEFAULT") -> None:
    """Make a stream decodable, in this thread, leaving out what `skip` says. Raises UnsupportedMedia."""
    name = stream.codec_context.codec.name
    if name not in CODECS:
        raise UnsupportedMedia(f"its {stream.type} is in the codec {name}: convert it to H.264 or AAC")
    stream.codec_context.thread_count = 1  # a lane has one core
    if isinstance(stream, VideoStream):
        stream.codec_context.skip_frame = skip


def seconds(stream: Stream, at: int) -> float:
    """A time of that stream."""
    return float(at * (stream.time_base or 0))


def _check_size(source: BinaryIO) -> None:
    """RIFF (WAV, AVI) and ASF say how many bytes they have; FFmpeg takes one that was cut for a shorter one."""
    size = source.seek(0, os.SEEK_END)
    source.seek(0)
    head = source.read(_HEAD)
    said = 0
    if head.startswith(b"RIFF"):
        said = int.from_bytes(head[4:8], "little") + 8
    elif (at := head.find(_ASF_PROPERTIES)) >= 0:
        said = int.from_bytes(head[at + 40 : at + 48], "little")
    if said < _UNKNOWN and said - size > said / _SHARE:
        raise CorruptMedia(f"it breaks off after {size:,} of {said:,} bytes: ingest another copy")


class _Unnamed:
    """A file that can be read and nothing else: its name is none of FFmpeg's business."""

    def __init__(self, source: BinaryIO) -> None:
        self.read, self.seek, self.tell = source.read, source.seek, source.tell


def _closed(url: str, flags: int, options: object) -> NoReturn:  # noqa: ARG001  as PyAV calls it
    raise CorruptMedia("it is made of several files, and refers to others: join them into one")
