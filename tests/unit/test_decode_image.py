"""Picture bytes to upright RGB pixels, and whatever else bytes can be."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import PIL.Image
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageFile

from core.errors import CorruptMedia, Refused, TooLarge, UnsupportedMedia
from core.types import Image, Modality, Segment, Wants
from ingest.decode.image import decode_image, reduced
from ingest.limits import Limits
from ingest.prepare import prepare, whole
from tests.photos import KINDS, huge_png, photo, picture, saved, turned

LIMITS = Limits()
RED = (230, 10, 10)


ANYTHING = Wants()


def decoded(data: bytes, *, wants: Wants = ANYTHING, **more: Any) -> list[Segment]:
    return whole(prepare(io.BytesIO(data), wants=wants, **more))


def pixels(data: bytes, side: int = 0) -> np.ndarray:
    return decode_image(data, limits=LIMITS, side=side).pixels


def near(found: np.ndarray, wanted: np.ndarray | tuple[int, ...], by: float = 12) -> bool:
    return bool(np.abs(found.astype(int) - np.asarray(wanted).astype(int)).mean() <= by)


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_decodes_to_rgb_at_native_size(kind):
    found = pixels(photo(kind))
    assert found.shape == (48, 64, 3)
    assert found.dtype == np.uint8
    assert found.flags.writeable
    assert near(found, np.asarray(picture()), by=6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(640, 480), (333, 1001), (99, 99), (50, 40)])
def test_a_reduced_image_keeps_its_shape_and_at_least_twice_the_side(kind, size):
    found = pixels(photo(kind, *size), side=50)
    height, width, _ = found.shape
    assert min(height, width) >= min(*size, 100)
    assert min(height, width) < 200 or min(size) < 200
    assert abs(width / height - size[0] / size[1]) < 0.05 * size[0] / size[1]
    assert near(found[height // 8, width // 8], RED)


@pytest.mark.parametrize(("width", "height"), [(60, 4000), (4000, 60)])
def test_a_panorama_that_is_squashed_is_not_held_whole(width, height):
    long = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    data = saved(PIL.Image.fromarray(long), "PNG")
    said = {"modality": Modality.IMAGE, "media_type": "image/png", "limits": LIMITS}
    [kept] = decoded(data, wants=Wants(pixels=10), **said)
    assert isinstance(kept.content, Image)
    assert sorted(kept.content.pixels.shape) == [3, 20, 1334]  # a middle that is cut out is there as it was
    [small] = decoded(data, wants=Wants(pixels=10, squashed=True), **said)
    assert isinstance(small.content, Image)
    assert sorted(small.content.pixels.shape) == [3, 20, 84]
    squares = [
        np.asarray(PIL.Image.fromarray(some).resize((10, 10), PIL.Image.Resampling.BICUBIC)).astype(int)
        for some in (long, small.content.pixels)
    ]
    assert np.abs(squares[0] - squares[1]).mean() < 2
    assert reduced(kept.content, Wants(pixels=10, squashed=True)).pixels.shape == small.content.pixels.shape
    assert reduced(small.content, Wants(pixels=10, squashed=True)) is small.content


def test_a_picture_of_four_to_one_keeps_its_shape_when_it_is_squashed():
    shown = Image(np.zeros((400, 1600, 3), np.uint8))
    assert reduced(shown, Wants(pixels=50, squashed=True)).pixels.shape == (100, 400, 3)


def test_a_jpeg_is_scaled_while_it_is_decoded(monkeypatch):
    monkeypatch.setattr(PIL.Image.Image, "reduce", None)
    assert pixels(photo("JPEG", 640, 480), side=50).shape == (120, 160, 3)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("side", [0, 24, 59])
@pytest.mark.parametrize("more", [{}, {"progressive": True}, {"subsampling": 0, "quality": 95}])
def test_a_jpeg_has_the_pixels_that_pillow_makes_of_it(monkeypatch, mode, side, more):
    data = saved(picture(641, 479).convert(mode), "JPEG", **more)
    assert PIL.Image.open(io.BytesIO(data)).mode == mode
    with monkeypatch.context() as patch:
        patch.setattr(PIL.Image.Image, "draft", None)  # Pillow is not asked for it
        found = pixels(data, side)
    monkeypatch.setattr("ingest.decode.image.jpeg_pixels", lambda *_: None)
    assert np.array_equal(found, pixels(data, side))


def test_a_jpeg_with_a_fault_that_pillow_forgives_is_decoded():
    whole = photo("JPEG", 200, 150)
    middle = len(whole) * 3 // 4
    data = whole[:middle] + bytes(9) + whole[middle + 9 :]
    with pytest.raises(ValueError, match="Corrupt JPEG data"):
        simplejpeg.decode_jpeg(data)
    assert near(pixels(data)[10, 10], RED)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("side", [0, 8])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_upright_as_its_exif_says(kind, side, orientation):
    found = pixels(turned(orientation, kind=kind, width=128, height=64), side)
    turns = {1: (0, 0), 2: (0, 1), 3: (2, 0), 4: (2, 1), 5: (1, 1), 6: (3, 0), 7: (3, 1), 8: (1, 0)}
    quarters, flip = turns[orientation]
    wanted = np.asarray(picture(128, 64))
    wanted = np.rot90(wanted[:, ::-1] if flip else wanted, quarters)
    step = wanted.shape[0] // found.shape[0]
    assert near(found, wanted[::step, ::step])


def test_a_photo_with_damaged_exif_is_still_a_photo():
    whole = turned(6)
    at = whole.index(b"Exif\0\0") + 6
    assert pixels(whole[:at] + b"\xff" * 12 + whole[at + 12 :]).shape == (48, 64, 3)


def test_transparency_lies_on_white():
    clear = picture().convert("RGBA")
    clear.putalpha(0)
    half = PIL.Image.new("LA", (64, 48), (0, 127))
    palette = picture().quantize(8)
    for image, kind in ((clear, "PNG"), (clear, "WEBP"), (clear, "TIFF")):
        assert (pixels(saved(image, kind)) == 255).all()
    assert near(pixels(saved(half, "PNG")), (128, 128, 128), by=1)
    assert (pixels(saved(palette, "PNG", transparency=bytes(256))) == 255).all()
    assert (pixels(saved(PIL.Image.new("P", (64, 48), 3), "GIF", transparency=3)) == 255).all()
    assert (pixels(saved(PIL.Image.new("RGB", (64, 48), (1, 2, 3)), "PNG", transparency=(1, 2, 3))) == 255).all()
    assert (pixels(saved(PIL.Image.new("L", (64, 48), 7), "PNG", transparency=7), side=5) == 255).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK"])
@pytest.mark.parametrize("side", [0, 6])
def test_every_common_colour_mode_becomes_rgb(mode, side):
    image = picture().convert("L").convert(mode)
    found = pixels(saved(image, "TIFF"), side)
    assert near(found.mean(axis=(0, 1)), np.asarray(image.convert("RGB")).mean(axis=(0, 1)), by=3)


def test_a_cmyk_jpeg_is_not_inverted():
    assert near(pixels(saved(picture().convert("CMYK"), "JPEG")), np.asarray(picture()), by=6)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_keep_the_upper_eight(kind):
    deep = PIL.Image.fromarray((np.arange(64 * 48).reshape(48, 64) * 21).astype(np.uint16))
    found = pixels(saved(deep, kind))
    assert np.abs(found[..., 0].astype(int) - (np.asarray(deep) >> 8)).max() <= 1


def test_fractions_stretch_from_black_to_white():
    values = np.linspace(-3, 5, 64 * 48, dtype=np.float32).reshape(48, 64)
    values[0, 5] = np.nan
    found = pixels(saved(PIL.Image.fromarray(values), "TIFF"))
    assert (found.min(), found.max()) == (0, 255)
    flat = pixels(saved(PIL.Image.fromarray(np.full((48, 64), 0.5, np.float32)), "TIFF"))
    assert (flat == 0).all()


def test_colours_that_have_no_way_to_rgb_are_refused_as_unsupported():
    with pytest.raises(UnsupportedMedia, match="LAB"):
        pixels(saved(PIL.Image.new("LAB", (8, 8)), "TIFF"))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(kind):
    frames = [PIL.Image.new("RGB", (32, 32), colour) for colour in (RED, (0, 0, 255))]
    assert near(pixels(saved(frames[0], kind, save_all=True, append_images=frames[1:])), RED)


def test_a_jpeg_with_further_pictures_is_decoded_as_its_first():
    data = saved(picture(640, 480), "MPO", save_all=True, append_images=[PIL.Image.new("RGB", (640, 480), (0, 0, 255))])
    assert near(pixels(data, side=50)[10, 10], RED)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [0, 8])
def test_a_truncated_image_is_refused_as_corrupt(kind, side):
    whole = photo(kind, 200, 150)
    with pytest.raises(CorruptMedia):
        pixels(whole[: len(whole) // 2], side)


def test_a_decompression_bomb_is_refused_before_it_is_decoded():
    for bomb in (huge_png(), huge_png(20_000, 20_000), huge_png(60_000, 60_000)):
        with pytest.raises(TooLarge, match="QUIVER_MAX_PIXELS"):
            pixels(bomb)


def test_memory_that_runs_out_is_refused_as_too_large(monkeypatch):
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(PIL.Image.Image, "convert", full)
    with pytest.raises(TooLarge, match="memory"):
        pixels(photo("PNG"))


@pytest.mark.parametrize(
    "raised", [OSError, SyntaxError, ValueError, EOFError, KeyError, RuntimeError, ZeroDivisionError, RecursionError]
)
def test_whatever_the_decoder_raises_becomes_corrupt_media(monkeypatch, raised):
    def broken(*_: object, **__: object) -> None:
        raise raised("no luck")

    monkeypatch.setattr(PIL.Image.Image, "transpose", broken)
    with pytest.raises(CorruptMedia, match=r"damaged.*no luck"):
        pixels(turned(6))


def test_threads_decode_what_one_thread_decodes():
    photos = [photo(KINDS[i % len(KINDS)], 120, 90, seed=i) for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda data: pixels(data, 20), photos))
    assert all(np.array_equal(one, pixels(data, 20)) for one, data in zip(found, photos, strict=True))


WHOLE = [photo(kind, 40, 30) for kind in KINDS] + [turned(6, width=40, height=30), huge_png(64, 64)]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A real file, some bytes of it changed, cut out or put in, and perhaps cut short."""
    data = bytearray(draw(st.sampled_from(WHOLE)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, min(len(data) - 1, draw(st.sampled_from([40, 400, 10_000])))))
        match draw(st.sampled_from(["set", "insert", "delete"])):
            case "set":
                data[at] = draw(st.integers(0, 255))
            case "insert":
                data[at:at] = draw(st.binary(max_size=8))
            case _ if len(data) > 9:
                del data[at : at + draw(st.integers(1, 8))]
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


@given(st.one_of(st.binary(max_size=200), damaged()), st.sampled_from(Modality), st.sampled_from([0, 8, 224]))
def test_decoding_any_bytes_gives_segments_or_refuses_and_nothing_else(data, modality, side):
    limits = Limits(pixels=1_000_000)
    try:
        segments = decoded(data, modality=modality, media_type="?", limits=limits, wants=Wants(pixels=side))
    except Refused:
        return
    assert [segment.ordinal for segment in segments] == list(range(len(segments)))
    assert segments
    for segment in segments:
        assert segment.content.modality is modality
        if isinstance(segment.content, Image):
            height, width, channels = segment.content.pixels.shape
            assert height > 0
            assert width > 0
            assert channels == 3
            assert segment.content.pixels.dtype == np.uint8


def test_a_file_over_the_byte_limit_is_not_decoded():
    with pytest.raises(TooLarge, match="QUIVER_MAX_BYTES"):
        decoded(photo(), modality=Modality.IMAGE, media_type="image/jpeg", limits=Limits(bytes=100))


def test_pillow_is_never_asked_to_accept_truncated_files():
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
