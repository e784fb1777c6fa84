"""Pictures, sounds and films as their first bytes tell: data, and no codec is run to read it.

A container says little of what is in it. Where its header names the tracks, sound alone is a sound (Ogg, Matroska); the
tracks of an MP4 may be listed at its end, so it is a film unless its brand says otherwise. A film without pictures is
indexed by its sound all the same.
"""

from __future__ import annotations

import re

from core.types import Modality

SVG = "image/svg+xml"
HEIC = "image/heic"
AVIF = "image/avif"

# Told by Pillow from the header, which also says how large it is: see `ingest.decode.image.probe`.
PROBED = re.compile(
    rb"\xff\xd8|\x89PNG|GIF8[79]a|RIFF....WEBP|II[*+]\0|MM\0[*+]|8BPS\0\x01|\0\0[\x01\x02]\0|icns\0"
    rb"|\0\0\0\x0cjP|\xff\x4f\xff\x51|DDS \x7c|\x01\xda[\0\x01][\x01\x02]|\x0a\x05\x01[\x01\x02\x04\x08]",
    re.DOTALL,
)
MAYBE_PROBED = re.compile(rb"BM|P[1-6fy]\s|qoif")  # a text may begin like this too
TARGA = b"TRUEVISION-XFILE.\0"  # how a TGA of 1989 or later ends: it has no beginning of its own

# Instructions, comments and white space; possessive, so that no file makes the match go back and forth.
_XML = rb"(?:\xef\xbb\xbf)?\s*+(?>(?:<\?.{0,4096}?\?>|<!--.{0,65536}?-->)\s*+)*+"
_SVG = re.compile(_XML + rb"<(?:!DOCTYPE\s+svg\b|(?:\w{1,32}:)?svg[\s/>])", re.DOTALL)

_KINDS = tuple(
    (re.compile(pattern, re.DOTALL), modality, media_type)
    for modality, rows in {
        Modality.IMAGE: [
            (rb"....ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1)", HEIC),
            (rb"....ftypavi[fs]", AVIF),
        ],
        Modality.AUDIO: [
            (rb"(?:RIFF|RF64|RIFX)....WAVE", "audio/wav"),
            (rb"fLaC", "audio/flac"),
            (rb"ID3[\x02-\x04]|\xff[\xe2\xe3\xf2-\xf5\xfa-\xfd]", "audio/mpeg"),
            (rb"\xff[\xf0\xf1\xf8\xf9]", "audio/aac"),
            (rb"FORM....AIF[FC]", "audio/aiff"),
            (rb"\.snd\0", "audio/basic"),
            (rb"caff\0\x01", "audio/x-caf"),
            (rb"#!AMR(?:-WB)?\n", "audio/amr"),
            (rb"....ftyp(?:M4[ABP] |F4[AB] )", "audio/mp4"),
            (rb"OggS\0(?!.{,8192}?\x80theora)", "audio/ogg"),  # the first packets name the codecs
            (rb"\x1aE\xdf\xa3(?=.*?\x86.A_)(?!.*?\x86.V_)", "audio/x-matroska"),  # CodecID: RFC 9559, 5.1.4.1.21
        ],
        Modality.VIDEO: [
            (rb"OggS\0", "video/ogg"),
            (rb"....ftypqt  |....(?:moov|mdat|wide)", "video/quicktime"),
            (rb"....ftyp3g", "video/3gpp"),
            (rb"....ftyp", "video/mp4"),
            (rb"\x1aE\xdf\xa3.{,64}?webm", "video/webm"),
            (rb"\x1aE\xdf\xa3", "video/x-matroska"),
            (rb"RIFF....AVI ", "video/x-msvideo"),
            (rb"FLV\x01", "video/x-flv"),
            (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-asf"),
            (rb"\0\0\x01[\xba\xb3]", "video/mpeg"),
            (rb"(?:G.{187}){3}G|.{4}(?:G.{191}){3}G", "video/mp2t"),
        ],
    }.items()
    for pattern, media_type in rows
)

# What files are called that hold none of what they are called when they hold text: a failed download, nearly always.
NAMES = {
    f".{suffix}": what
    for what, suffixes in {
        "an image": "jpg jpeg jpe png apng gif webp bmp tif tiff ppm pgm pbm pnm heic heif avif jp2 j2k ico psd tga",
        "a sound": "wav flac mp3 m4a aac ogg oga opus aif aiff wma amr mka",
        "a film": "mp4 m4v mov mkv webm avi mpg mpeg m2ts flv wmv 3gp ogv",
    }.items()
    for suffix in suffixes.split()
}


def kind_of(head: bytes) -> tuple[Modality, str] | None:
    """The modality and media type of what begins like this and is no text, besides what is PROBED; or of a drawing."""
    return next(((modality, kind) for pattern, modality, kind in _KINDS if pattern.match(head)), None)


def is_svg(head: bytes) -> bool:
    """Whether a text that begins like this is a drawing."""
    return _SVG.match(head) is not None
