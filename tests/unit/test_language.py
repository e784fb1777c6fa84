"""The language of a text: named when it is plain, and not otherwise."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.language import language_of

PLAIN = {
    "en": "The office at the harbour opens at nine in the morning, and closes when the last ship has left.",
    "de": "Das Büro am Hafen öffnet um neun Uhr morgens und schließt, wenn das letzte Schiff abgefahren ist.",
    "fr": "Le bureau du port ouvre à neuf heures du matin et ferme quand le dernier navire est parti.",
    "es": "La oficina del puerto abre a las nueve de la mañana y cierra cuando ha salido el último barco.",
    "ru": "Контора в порту открывается в девять часов утра и закрывается, когда уходит последний корабль.",
    "zh": "港口的办公室早上九点开门，最后一艘船离开以后关门。我们明天一起去那里看看吧。",
    "ja": "港の事務所は朝九時に開き、最後の船が出たあとに閉まります。",
    "ar": "يفتح مكتب الميناء في الساعة التاسعة صباحا ويغلق عندما تغادر السفينة الأخيرة.",
}


@pytest.mark.parametrize("language", PLAIN)
def test_a_sentence_says_which_language_it_is_in(language):
    assert language_of(PLAIN[language]) == language


@pytest.mark.parametrize("text", ["", "ok", "42", "STOP", "Exit 12", "x = f(y)", "0x3f 0x40", "IMG_2481.JPG"])
def test_what_is_in_no_language_for_sure_is_in_none(text):
    assert language_of(text) == ""


@given(st.text(max_size=300))
def test_every_text_has_a_code_of_two_letters_or_none(text):
    assert len(language_of(text)) in (0, 2)


def test_threads_agree():
    barrier = threading.Barrier(4)

    def ask(_: int) -> list[str]:
        barrier.wait()
        return [language_of(text) for text in PLAIN.values()]

    with ThreadPoolExecutor(4) as pool:
        assert all(said == list(PLAIN) for said in pool.map(ask, range(4)))
