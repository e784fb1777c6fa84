"""Settings: two names for the same thing, nothing misspelt, no secret printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import Misconfigured, UnknownSetting
from core.runtime.settings import Settings, lane_count, load_settings

SECRET = "s3cret-of-the-operator"
URLS = {
    "database_url": f"postgresql://me:{SECRET}@db/quiver",
    "qdrant_api_key": SECRET,
    "broker_url": f"redis://:{SECRET}@broker:6379/0",
}


def secret(settings: Settings, name: str) -> str | None:
    held = getattr(settings, name)
    return None if held is None else str(held.get_secret_value())


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("DATABASE_URL", "database_url"),
        ("QUIVER_DATABASE_URL", "database_url"),
        ("QDRANT_API_KEY", "qdrant_api_key"),
        ("QUIVER_QDRANT_API_KEY", "qdrant_api_key"),
        ("REDIS_URL", "broker_url"),
        ("CELERY_BROKER_URL", "broker_url"),
        ("QUIVER_BROKER_URL", "broker_url"),
    ],
)
def test_the_fields_own_names_are_heard(variable: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert secret(load_settings(), name) is None
    monkeypatch.setenv(variable, "redis://somewhere")
    assert secret(load_settings(), name) == "redis://somewhere"


def test_the_qdrant_url_is_heard_by_both_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_URL", "http://theirs:6333")
    assert load_settings().qdrant_url == "http://theirs:6333"
    monkeypatch.setenv("QUIVER_QDRANT_URL", "http://ours:6333")
    assert load_settings().qdrant_url == "http://ours:6333"


def test_our_name_wins_over_the_twin_and_what_is_said_over_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://redis")
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://celery")
    assert secret(load_settings(), "broker_url") == "redis://celery"
    monkeypatch.setenv("QUIVER_BROKER_URL", "redis://ours")
    assert secret(load_settings(), "broker_url") == "redis://ours"
    assert secret(load_settings(broker_url="redis://said"), "broker_url") == "redis://said"


def test_what_is_not_said_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QUIVER_DATA", str(tmp_path))
    monkeypatch.setenv("QUIVER_BATCH", "7")
    settings = load_settings(data=None, lanes=3)
    assert (settings.data, settings.batch, settings.lanes) == (tmp_path, 7, 3)


def test_secrets_are_in_no_printed_form() -> None:
    settings = load_settings(**URLS)
    assert secret(settings, "database_url") == URLS["database_url"]
    printed = [
        repr(settings),
        str(settings),
        settings.model_dump_json(),
        json.dumps(settings.model_dump(), default=str),
    ]
    for form in printed:
        assert SECRET not in form


def test_an_unknown_variable_is_refused_and_the_known_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUIVER_NONSENSE", SECRET)
    with pytest.raises(UnknownSetting, match=r"QUIVER_NONSENSE is no setting.*QUIVER_BATCH.*QUIVER_DATA") as caught:
        load_settings()
    assert SECRET not in str(caught.value)


def test_an_unknown_argument_is_refused_and_the_known_are_listed() -> None:
    with pytest.raises(UnknownSetting, match=r"nonsense is no setting.*batch.*data") as caught:
        load_settings(nonsense=SECRET)
    assert SECRET not in str(caught.value)


def test_variables_of_the_tests_and_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUIVER_TEST_POSTGRES", "postgresql://x")
    monkeypatch.setenv("QUIVERING", "1")
    assert load_settings() == load_settings()


def test_the_collection_of_the_command_line_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUIVER_COLLECTION", "photos")
    assert load_settings().collection == "photos"


@pytest.mark.parametrize(
    ("name", "value"), [("lanes", "many"), ("lanes", "-1"), ("batch", "0"), ("lease_seconds", "0"), ("max_bytes", "")]
)
def test_a_bad_value_is_refused_by_name(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"QUIVER_{name.upper()}", value)
    with pytest.raises(Misconfigured, match=name.upper()):
        load_settings()


@pytest.mark.parametrize("name", URLS)
def test_a_bad_secret_is_not_echoed(name: str) -> None:
    with pytest.raises(Misconfigured, match=name.upper()) as caught:
        load_settings(**{name: [SECRET]})
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().batch = 3


def test_there_is_always_a_lane() -> None:
    assert lane_count(load_settings(lanes=0)) >= 1
    assert lane_count(load_settings(lanes=5)) == 5
