"""How does the library look as a page for people? Its tables, by subject."""

from __future__ import annotations

from collections.abc import Iterator

from services.rules.library.shelf import SUBJECTS, Trigger, library, ready_segments
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
                yield f"| `{each.id}` | **{each.name}.** {each.sentence}{_needs(each)} | {each.kind} |"
        yield ""
    yield "## Segments that come with them\n"
    yield "| segment | who is in it |"
    yield "|---|---|"
    yield from (f"| `{each.id}` | **{each.name}.** {each.sentence} |" for each in ready_segments().values())
    yield ""
    yield "## Traits that have to be delivered\n"
    yield "| trait | holds |"
    yield "|---|---|"
    yield from (f"| `{name}` | {holds} |" for name, holds in sorted(TRAITS.items()))
    yield ""


def _needs(trigger: Trigger) -> str:
    named = [("Needs", trigger.traits), ("Rests on", trigger.segments)]
    return "".join(f" *{verb} {', '.join(f'`{name}`' for name in names)}.*" for verb, names in named if names)
