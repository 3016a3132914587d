"""How do rules and segments that live as files come into force? `python -m deploy.rules check|plan|apply FOLDER`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy.local.failure import StackFailure
from deploy.local.steps import write
from deploy.rules import applying, files, planning, settings
from deploy.rules.calls import Service
from deploy.rules.files import RULE, SEGMENT, RuleFile
from deploy.rules.planning import Step

_SHOWN_MAX = 100


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        found = files.read(options.folder, settings.company_zone())
        good = _told(found)
        if options.command == "check" or not good:
            return 0 if good else 1
        return asyncio.run(_run(options, found))
    except StackFailure as failure:
        sys.stderr.write(f"rules: {failure}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.rules", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser(
        "check", help="are the files rules and segments, and do the tests hold? Needs no server"
    )
    plan = commands.add_parser("plan", help="what apply would create, change, pause and retire")
    apply = commands.add_parser("apply", help="do it, through the public API")
    for each in (check, plan, apply):
        each.add_argument("folder", type=Path, help="holds rules as <id>.json, and segments as segments/<id>.json")
    for each in (plan, apply):
        each.add_argument("--prune", action="store_true", help="retire what came from files and has no file any more")
        each.add_argument("--overwrite", action="store_true", help="also what somebody has done by hand")
    apply.add_argument("--note", default="", help="why; kept beside versions and orders, such as a commit")
    apply.add_argument("--ramp", type=int, default=None, metavar="PERCENT", help="for how many; else as before, or all")
    apply.add_argument("--reach", type=float, default=None, metavar="PERCENT", help="estimated share of the customers")
    return parser


def _told(found: Sequence[RuleFile]) -> bool:
    """Whether every file is in order."""
    for each in found:
        for name, faults in (("error", each.faults), ("warning", each.warnings)):
            for fault in faults:
                write(f"{each.name}: {name}: {fault.pointer or 'the document'}: {fault.detail}")
    broken = sum(bool(each.faults) for each in found)
    tests = sum(each.tests for each in found)
    write(f"rules: {len(found)} files, {broken} with errors, {tests} tests hold")
    return not broken


async def _run(options: argparse.Namespace, found: Sequence[RuleFile]) -> int:
    async with Service(settings.target()) as service:
        known, segments = [
            await applying.known(service, [each.id for each in found if each.kind == kind], kind)
            for kind in (RULE, SEGMENT)
        ]
        steps = planning.plan(found, known, segments, prune=options.prune, overwrite=options.overwrite)
        if options.command == "plan":
            return _shown(steps)
        return await _applied(service, steps, options)


def _shown(steps: Sequence[Step]) -> int:
    for step in steps:
        if not step.is_nothing:
            why = step.refusal or step.left
            write(f"{step.told}: {step.title()}{f': {why}' if why else ''}")
            for line in _lines(step):
                write(f"    {line}")
    write(f"rules: {_counted(Counter(step.title() for step in steps))}; nothing was done")
    return 1 if any(step.refusal for step in steps) else 0


def _lines(step: Step) -> list[str]:
    if step.expected == 0:
        return [json.dumps(step.document, ensure_ascii=False)[:2_000]]
    lines = [_line(dict(each)) for each in step.differences]
    return lines[:_SHOWN_MAX] + ([f"and {len(lines) - _SHOWN_MAX} more"] if len(lines) > _SHOWN_MAX else [])


def _line(each: dict[str, Any]) -> str:
    was, now = (json.dumps(each[side], ensure_ascii=False)[:200] if side in each else None for side in ("was", "now"))
    if was is None:
        return f"+ {each['pointer']}: {now}"
    return f"- {each['pointer']}: {was}" if now is None else f"~ {each['pointer']}: {was} -> {now}"


async def _applied(service: Service, steps: Sequence[Step], options: argparse.Namespace) -> int:
    counts: Counter[str] = Counter()
    done = applying.applied(service, steps, note=options.note, ramp_percent=options.ramp, reach=options.reach)
    async for each in done:
        counts[each.outcome] += 1
        if each.outcome != "same":
            title = "" if each.outcome == each.step.title() else f"{each.step.title()}: "
            write(f"{each.step.told}: {title}{each.outcome}: {each.told}")
    write(f"rules: {_counted(counts)}")
    return 1 if counts["refused"] else 0


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "nothing to do"


if __name__ == "__main__":
    sys.exit(main())
