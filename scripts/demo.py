"""`make demo`: real photos and texts in, answers in two languages out, everything embedded."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

from quiver import Answer, Quiver
from quiver.cli.ingest import show_report
from quiver.cli.render import answer_table, out

HERE = Path(__file__).parent
DATA = Path("demo-data")
PHOTOS = {  # sample photos that ship inside scikit-image and scikit-learn
    "skimage/data": {
        "photo": "astronaut camera chelsea coffee coins hubble_deep_field moon motorcycle_left rocket",
        "texture": "brick grass gravel",
        "document": "clock_motion page text",
        "medical": "cell ihc microaneurysms retina",
    },
    "sklearn/datasets/images": {"photo": "china flower"},
}
HELD_OUT = "skimage/data/motorcycle_right.png"  # the other eye's view of motorcycle_left: a query, not an asset
SEARCHES: list[tuple[str, str, dict[str, Any]]] = [
    ("a cat", 'quiver search "a cat" -m image', {"text": "a cat", "modality": "image"}),
    ("一杯咖啡 (a cup of coffee)", "quiver search 一杯咖啡 -m image", {"text": "一杯咖啡", "modality": "image"}),
    ("a photo of the same thing", "quiver search --image motorcycle_right.png -m image", {"modality": "image"}),
    ("texts about a photo", "quiver search --image coffee.png -m text", {"modality": "text"}),
    (
        "a stone wall, textures only",
        "quiver search \"a stone wall\" --where 'kind = texture'",
        {"text": "a stone wall", "where": "kind = texture"},
    ),
    ("more like brick.png", "quiver search --like brick.png", {"like": "brick.png"}),
]
RIGHT = {"a cat": "chelsea.png", "rocket": "rocket.jpg", "a cup of coffee": "coffee.png", "一杯咖啡": "coffee.png"}


def inside(package_path: str) -> Path:
    """A path inside an installed package."""
    package, _, rest = package_path.partition("/")
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        sys.exit(f"the demo's photos ship inside {package}: pip install 'quiver[demo]'")
    return Path(spec.origin).parent / rest


def manifest() -> Path:
    """The photos with their metadata, and our texts, as a manifest."""
    lines = (HERE / "demo_texts.jsonl").read_text(encoding="utf-8").splitlines()
    for folder, kinds in PHOTOS.items():
        for kind, names in kinds.items():
            for name in names.split():
                [path] = [p for p in inside(folder).glob(f"{name}.*") if p.suffix in {".png", ".jpg"}]
                lines.append(json.dumps({"path": str(path), "id": path.name, "metadata": {"kind": kind}}))
    DATA.mkdir(exist_ok=True)
    made = DATA / "manifest.jsonl"
    made.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return made


def say(command: str) -> None:
    """A command as one would type it."""
    out.print(f"\n$ {command}", style="bold", markup=False, highlight=False)


def main() -> None:
    """Ingest, search, check, draw."""
    with Quiver.open(DATA / "quiver") as quiver:
        say("quiver ingest manifest.jsonl -c demo -f kind=keyword -f lang=keyword")
        report = quiver.ingest(manifest(), collection="demo", fields=["kind=keyword", "lang=keyword"])
        show_report(report, "demo")
        answers: list[tuple[str, Answer]] = []
        for title, command, query in SEARCHES:
            say(f"{command} -c demo -n 6")
            if "--image motorcycle" in command:
                query = {**query, "image": inside(HELD_OUT)}
            elif "--image" in command:
                query = {**query, "image": inside("skimage/data/coffee.png")}
            answer = quiver.search("demo", limit=6, **query)
            answer_table(answer)
            answers.append((title, answer))
        out.print()
        wrong = check(quiver)
        sheet = DATA / "contact-sheet.html"
        sheet.write_text(quiver.contact_sheet("demo", answers), encoding="utf-8")
        out.print(f"contact sheet: {sheet.resolve()}", markup=False, highlight=False, soft_wrap=True)
    began = perf_counter()
    cold = [sys.executable, "-c", "from quiver.cli.app import main; main()", "search", "a cat", "-c", "demo", "--json"]
    subprocess.run([*cold, "-d", str(DATA / "quiver")], check=True, stdout=subprocess.DEVNULL)
    seconds = perf_counter() - began
    out.print(f"a cold text query, process and models included: {seconds:.1f} s", highlight=False)
    sys.exit(1 if wrong or not report.ok else 0)


def check(quiver: Quiver) -> int:
    """The right photo is first; how often it was not. Prints the time of a warm query too."""
    wrong = 0
    for text, photo in RIGHT.items():
        first = quiver.search("demo", text, modality="image", limit=1).hits[0].external_id
        out.print(f"{'right' if first == photo else 'WRONG'}: {text} → {first}", highlight=False)
        wrong += first != photo
    seconds = [quiver.search("demo", text, modality="image").seconds["total"] for text in [*RIGHT] * 10]
    out.print(
        f"a warm text query: {statistics.median(seconds) * 1e3:.1f} ms (median of {len(seconds)})", highlight=False
    )
    return wrong


if __name__ == "__main__":
    main()
