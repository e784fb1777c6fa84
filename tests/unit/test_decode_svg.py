"""Drawings: what is drawn, and what is never done for one."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from core.errors import CorruptMedia, Refused, TooLarge
from ingest.decode.svg import SIDE, decode_svg
from ingest.limits import Limits
from tests.photos import huge_png, photo

LIMITS = Limits()
NS = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'


def drawn(
    inside: str, attributes: str = 'viewBox="0 0 100 50"', *, side: int = 0, limits: Limits = LIMITS
) -> np.ndarray:
    return decode_svg(f"<svg {NS} {attributes}>{inside}</svg>".encode(), limits=limits, side=side).pixels


RED = '<rect width="50" height="50" fill="red"/>'


def test_a_drawing_is_drawn_on_white_in_its_proportions():
    found = drawn(RED, side=40)
    assert found.shape == (80, 160, 3)
    assert found[40, 40].tolist() == [255, 0, 0]
    assert found[40, 120].tolist() == [255, 255, 255]
    assert drawn(RED).shape == (SIDE, 2 * SIDE, 3)


@pytest.mark.parametrize(
    ("attributes", "ratio"),
    [
        ('width="30mm" height="1cm"', 3.0),
        ('width="1in" height="72pt"', 1.0),
        ('width="100%" height="100%" viewBox="0,0,40,10"', 4.0),
        ('viewBox="-5 -5 1e1 2e1"', 0.5),
        ("", 1.0),
        ('viewBox="0 0 0 0"', 1.0),
        ('viewBox="none" width="" height="NaN"', 1.0),
        ('width="1e400" height="5"', 1.0),
    ],
)
def test_every_way_to_say_a_size_is_understood_or_passed_over(attributes, ratio):
    found = drawn(RED, attributes, side=20)
    assert found.shape[1] / found.shape[0] == pytest.approx(ratio, rel=0.05)


@pytest.mark.parametrize("attributes", ['width="1e9" height="1e9"', 'viewBox="0 0 1 100000000"', 'viewBox="0 0 9e9 1"'])
def test_a_drawing_of_any_extent_is_drawn_inside_the_limits(attributes):
    found = drawn(RED, attributes, side=200, limits=Limits(pixels=1_000_000))
    assert found.shape[0] * found.shape[1] <= 1_010_000
    assert max(found.shape) >= 400


def test_nothing_outside_the_file_is_read(tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(photo("PNG"))
    other = tmp_path / "other.svg"
    other.write_text(f"<svg {NS} viewBox='0 0 9 9'><rect id='a' width='9' height='9'/></svg>")
    for href in (str(secret), secret.as_uri(), f"  {secret}", "https://127.0.0.1/x.png", "//host/x.png", "secret.png"):
        for name in ("href", "xlink:href"):
            assert (drawn(f'<image {name}="{href}" width="100" height="50"/>', side=20) == 255).all()
    assert (drawn(f'<use href="{other}#a"/>', side=20) == 255).all()
    css = f"<style>@import url({other}); rect {{ fill: url({secret}) }}</style>"
    assert (drawn(f'{css}<image xlink:href="{secret}" width="9" height="9"/>', side=20) == 255).all()
    with pytest.raises(CorruptMedia, match="entity"):
        decode_svg(
            f'<!DOCTYPE svg [<!ENTITY e SYSTEM "{secret.as_uri()}">]><svg {NS}><text>&e;</text></svg>'.encode(),
            limits=LIMITS,
            side=0,
        )


def test_a_drawing_inside_a_drawing_does_not_bring_in_a_file(tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(photo("PNG"))
    inner = base64.b64encode(
        f'<svg {NS} viewBox="0 0 9 9"><image href="{secret}" width="9" height="9"/></svg>'.encode()
    )
    for kind in ("image/svg+xml", "text/plain", "image/png"):
        try:
            found = drawn(f'<image href="data:{kind};base64,{inner.decode()}" width="100" height="50"/>', side=20)
        except Refused:
            continue
        assert (found == 255).all()


def test_a_picture_inside_a_drawing_is_drawn():
    inner = base64.b64encode(photo("PNG", 100, 50)).decode()
    found = drawn(f'<image href="data:image/png;base64,{inner}" width="100" height="50"/>', side=50)
    assert np.abs(found[10, 10].astype(int) - (230, 10, 10)).max() < 5


def test_a_script_does_not_run_and_does_not_show():
    assert (
        drawn("<script>document.documentElement.innerHTML = ''</script>" + RED, side=20)[20, 5] == (255, 0, 0)
    ).all()


def test_entities_are_known_and_do_not_grow_without_end():
    data = (
        f'<!DOCTYPE svg [<!ENTITY c "red">]><svg {NS} viewBox="0 0 9 9"><rect width="9" height="9" fill="&c;"/></svg>'
    )
    assert decode_svg(data.encode(), limits=LIMITS, side=8).pixels[5, 5].tolist() == [255, 0, 0]
    grown = "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True))
    with pytest.raises((TooLarge, CorruptMedia)):
        decode_svg(
            f'<!DOCTYPE svg [<!ENTITY a "{"a" * 100}">{grown}]><svg {NS}><text>&j;</text></svg>'.encode(),
            limits=LIMITS,
            side=8,
        )


def test_uses_of_uses_are_bounded():
    groups = "".join(f'<g id="g{i}">' + f'<use href="#g{i - 1}"/>' * 10 + "</g>" for i in range(1, 10))
    with pytest.raises((TooLarge, CorruptMedia)):
        drawn(f'<defs><g id="g0">{RED}</g>{groups}</defs><use href="#g9"/>', side=8)


def test_a_use_of_itself_is_no_loop():
    drawn('<g id="a"><use href="#a"/></g><pattern id="p"><rect fill="url(#p)"/></pattern>' + RED, side=8)


def test_a_deep_drawing_is_refused_before_it_overflows_a_stack():
    with pytest.raises(CorruptMedia, match="within each other"):
        drawn("<g>" * 100_000 + "</g>" * 100_000)


@pytest.mark.parametrize("data", [b"", b"<svg", b"<svg></wrong>", b"\xff\xfe<svg/>", b"<svg>&nope;</svg>", b"<html/>"])
def test_what_is_no_drawing_is_refused(data):
    with pytest.raises(CorruptMedia):
        decode_svg(data, limits=LIMITS, side=8)


def test_a_bomb_in_a_picture_of_a_drawing_is_refused_before_it_is_decoded():
    inner = base64.b64encode(huge_png(30_000, 30_000)).decode()
    with pytest.raises(TooLarge, match="QUIVER_MAX_PIXELS"):
        drawn(f'<image href="data:image/png;base64,{inner}" width="100" height="50"/>')
    many = f'<image href="data:image/png;base64,{base64.b64encode(photo("PNG")).decode()}"/>' * 40
    with pytest.raises(TooLarge, match="QUIVER_MAX_PIXELS"):
        drawn(many, limits=Limits(pixels=100_000))
