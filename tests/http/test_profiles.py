"""Which profiles a request may name."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import Forbidden
from core.types import Tenant
from quiver import Quiver
from quiver.http.access import Caller
from tests.doubles import toy_parts


def test_a_folder_that_the_settings_allow_may_be_named_as_they_do_or_by_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mine", "yours"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    made = toy_parts(tmp_path / "data", profiles="hf:mine")
    caller = Caller(Quiver(made), made, Tenant("ann"), None)
    for said in ("hf:mine", f"hf:{tmp_path}/mine", f"hf:{tmp_path}/mine#clip"):
        assert caller.profile(said) == said
    for said in ("hf:yours", f"hf:{tmp_path}/yours", "hf:./mine", ""):
        with pytest.raises(Forbidden, match="may not be named here; may be: hf:mine, toy"):
            caller.profile(said)
