"""What one client of the load benchmark does, for `locust`; `benchmarks.http` starts it and reads what it wrote.

Told by the environment: BENCH_COLLECTION, BENCH_PHOTOS (a folder of JPEGs), BENCH_OUT (a folder: ids that were
accepted, and what failed).
"""

from __future__ import annotations

import os
import random
from itertools import count
from pathlib import Path
from typing import Any

from locust import FastHttpUser, constant, events, task

from benchmarks.phrases import FILTERS, metadata, phrase, queries

OUT = Path(os.environ["BENCH_OUT"])
HERE = f"/v1/collections/{os.environ['BENCH_COLLECTION']}"
PHOTOS = [path.read_bytes() for path in sorted(Path(os.environ["BENCH_PHOTOS"]).glob("*.jpg"))]
QUERIES = queries()
NUMBERS = count()
accepted = (OUT / "accepted").open("a", buffering=1)
failed = (OUT / "failed").open("a", buffering=1)


@events.request.add_listener  # type: ignore[untyped-decorator]  # locust declares no types here
def tell(name: str, exception: BaseException | None, response: Any, **_: Any) -> None:
    """Keep what failed, and what the server said to it."""
    if exception is not None:
        said = (getattr(response, "text", None) or "").replace("\n", " ")
        failed.write(f"{name}: {exception!r} {said[:500]}\n")


class Client(FastHttpUser):
    """Asks again as soon as it was answered."""

    wait_time = constant(0)
    max_retries = 0  # of connections: a reset is an error

    @task(80)
    def search(self) -> None:
        """By words, every third with a filter. Without one there is always something to find."""
        where = random.choice(FILTERS) if random.random() < 0.33 else None
        body = {"text": random.choice(QUERIES)} | ({"where": where} if where else {})
        with self.client.post(f"{HERE}/search", json=body, name="search", catch_response=True) as answer:
            if answer.status_code == 200 and not where and not answer.json()["hits"]:
                answer.failure("a search found nothing")

    @task(15)
    def add(self) -> None:
        """A text under an id of its own."""
        number = next(NUMBERS)
        name = f"{OUT.name}-text-{number}"
        body = {"id": name, "text": phrase(number), "metadata": metadata(number)}
        self._taken(name, "add", json=body)

    @task(3)
    def upload(self) -> None:
        """A picture of its own: bytes behind its end make it one that was never seen."""
        number = next(NUMBERS)
        name = f"{OUT.name}-photo-{number}"
        picture = random.choice(PHOTOS) + name.encode()
        form = {"id": name, "metadata": '{"kind": "photo"}'}
        self._taken(name, "upload", data=form, files={"file": (f"{name}.jpg", picture, "image/jpeg")})

    @task(2)
    def status(self) -> None:
        """How the collection stands."""
        self.client.get(HERE, name="status")

    def _taken(self, name: str, route: str, **body: Any) -> None:
        with self.client.post(f"{HERE}/assets", name=route, catch_response=True, **body) as answer:
            taken = answer.json()["assets"] if answer.status_code == 202 else []
            if [each["external_id"] for each in taken] == [name]:
                accepted.write(f"{name}\n")
            else:
                answer.failure(f"status {answer.status_code}, taken in as {taken}")
