"""How does the library look as a page for people? Its tables, by subject."""

from __future__ import annotations

from collections.abc import Iterator

from services.rules.library.shelf import SUBJECTS, library
from services.rules.library.traits import TRAITS

BEGIN = "<!-- The tables below are made of the documents by `python -m services.rules.library`. -->"
"""What stands above it on the page is written by hand."""


def tables() -> str:
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    for subject, title in SUBJECTS.items():
        yield f"## {title}\n"
        yield "| trigger | catches | kind |"
        yield "|---|---|---|"
        for each in library().values():
            if each.subject == subject:
                needs = f" *Needs {', '.join(f'`{name}`' for name in each.traits)}.*" if each.traits else ""
                yield f"| `{each.id}` | **{each.name}.** {each.sentence}{needs} | {each.kind} |"
        yield ""
    yield "## Traits that have to be delivered\n"
    yield "| trait | holds |"
    yield "|---|---|"
    yield from (f"| `{name}` | {holds} |" for name, holds in sorted(TRAITS.items()))
    yield ""
