"""The child's half of the protocol: a line of JSON asks, a line of JSON answers. Nothing but the standard library, for
it runs in the environments of all peers.

The first line is the child's own: `{"ready": {package: version}}`. Then `{"do": NAME, ...}` runs the job of that name
with the rest as its arguments and is answered by `{"value": ..., "seconds": ...}`, the seconds of the job alone, or by
`{"failed": why}`; a child outlives what fails in it. The end of the input ends the child.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

Job = Callable[..., Any]
Load = Callable[[Path, Path, str], Mapping[str, Job]]  # model, a folder to write in, a variant: to its jobs by name


def serve(load: Load, packages: Sequence[str]) -> None:
    """Load once, then do what is asked until nobody asks. Arguments: MODEL SCRATCH VARIANT."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer

    def say(**said: Any) -> None:
        answers.write(json.dumps(said) + "\n")
        answers.flush()

    model, scratch, variant = sys.argv[1:]
    try:
        jobs = load(Path(model), Path(scratch), variant)
    except Exception as exc:  # noqa: BLE001 - whatever a peer raises is told
        traceback.print_exc()
        say(failed=_told(exc))
        return
    say(ready={name: version(name) for name in packages})
    for line in sys.stdin:
        asked = json.loads(line)
        job, began = jobs[asked.pop("do")], perf_counter()
        try:
            value = job(**asked)
        except Exception as exc:  # noqa: BLE001 - whatever a peer raises is told
            traceback.print_exc()
            say(failed=_told(exc))
        else:
            say(value=value, seconds=perf_counter() - began)


def _told(exc: Exception) -> str:
    first = (str(exc).splitlines() or [""])[0]
    return f"{type(exc).__name__}: {first}"[:300]
