"""What would a rule have done? `python -m deploy.demo.backtest RULE [--from DAY] [--to DAY]` asks the running stack."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from deploy.demo import funnel
from deploy.demo.calls import Calls, Refused
from deploy.demo.settings import Access, access
from deploy.local.failure import StackFailure
from deploy.local.steps import write
from libs.common import clock

_PATIENCE_SECONDS = 3.0
_LOOK_EVERY_SECONDS = 0.5
_DAYS = 90
_BAR = 40
_EXAMPLES = 5
_LINES_MAX = 100

Answer = Mapping[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if not options.rule:
        sys.stderr.write("backtest: name a rule or a file: make backtest RULE=gold-big-basket FROM=2026-10-01\n")
        return 2
    try:
        return asyncio.run(_ask(access(), question_of(options.rule, options.since, options.until, options)))
    except Refused as refused:
        sys.stderr.write(f"backtest: {refused}\n")
        faults = refused.problem.get("errors", ()) if isinstance(refused.problem, dict) else ()
        sys.stderr.writelines(f"  {each['pointer']}: {each['detail']}\n" for each in faults)
        return 1
    except StackFailure as failure:
        sys.stderr.write(f"backtest: {failure}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("backtest: interrupted and cancelled\n")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.demo.backtest", description=__doc__)
    parser.add_argument("rule", help="the id of a rule, id@version, or a file with a rule document (.json)")
    parser.add_argument("--from", dest="since", default="", help=f"a day or an instant (default: {_DAYS} days ago)")
    parser.add_argument("--to", dest="until", default="", help="a day, up to its end, or an instant (default: now)")
    parser.add_argument(
        "--campaign",
        default="",
        help="the id of a campaign, or a file: what its gates would have done",
    )
    parser.add_argument(
        "--no-overlap", action="store_true", help="do not run the live rules beside it, which is faster"
    )
    parser.add_argument("--in-force-before", action="store_true", help="as if it had been in force for long before")
    parser.add_argument("--ignore-valid", action="store_true", help="leave the rule's own valid aside")
    return parser


def question_of(rule: str, since: str, until: str, options: argparse.Namespace) -> dict[str, Any]:
    """The document that asks; days are those of this machine."""
    now = clock.now().astimezone()
    asked: dict[str, Any] = {
        "from": _instant(since or (now - timedelta(days=_DAYS)).date().isoformat(), "--from"),
        "overlap": not options.no_overlap,
        "in_force_before": options.in_force_before,
        "ignore_valid": options.ignore_valid,
        "examples": _EXAMPLES,
    }
    if until:
        asked["to"] = _instant(until, "--to", end_of_day=True)
    if campaign := getattr(options, "campaign", ""):
        asked["campaign"] = _document(campaign) if _is_file(campaign) else campaign
    return asked | _named(rule)


def _named(rule: str) -> dict[str, Any]:
    if _is_file(rule):
        return {"rule": _document(rule)}
    name, _, version = rule.partition("@")
    if version and not version.isdigit():
        raise StackFailure(f"{version!r} is no version: id@3")
    return {"rule_id": name, **({"version": int(version)} if version else {})}


def _is_file(name: str) -> bool:
    return name.endswith(".json") or "/" in name


def _document(file: str) -> Any:
    try:
        return json.loads(Path(file).read_text("utf-8"))
    except OSError as error:
        raise StackFailure(f"cannot read {file}: {error.strerror}") from None
    except ValueError as error:
        raise StackFailure(f"{file} is no JSON: {error}") from None


def _instant(text: str, option: str, *, end_of_day: bool = False) -> str:
    try:
        if len(text) == 10:
            day = date.fromisoformat(text) + timedelta(days=int(end_of_day))
            return datetime.combine(day, time()).astimezone().isoformat()
        found = datetime.fromisoformat(text)
    except ValueError:
        raise StackFailure(f"{option} {text!r} is neither a day nor an instant; e.g. 2026-11-01") from None
    return (found if found.tzinfo else found.astimezone()).isoformat()


async def _ask(found: Access, question: Mapping[str, Any]) -> int:
    async with Calls(found, patience_seconds=_PATIENCE_SECONDS) as calls:
        begun = await calls.post("rules", "/v1/rules/backtests", question, role="marketer")
        place = f"/v1/rules/backtests/{begun['id']}"
        try:
            answer = await _ended(calls, place)
        except asyncio.CancelledError:
            await calls.post("rules", f"{place}/cancel", {}, role="marketer")
            raise
    _clear()
    for line in told(answer):
        write(line)
    return 0 if answer["state"] == "finished" else 1


async def _ended(calls: Calls, place: str) -> Answer:
    while True:
        answer: Answer = await calls.get("rules", place)
        if answer["state"] not in ("queued", "running"):
            return answer
        _show(progress_of(answer))
        await asyncio.sleep(_LOOK_EVERY_SECONDS)


def progress_of(answer: Answer) -> str:
    progress = answer["progress"]
    if answer["state"] == "queued" or not progress["messages_total"]:
        return "waits for its turn" if answer["state"] == "queued" else "begins"
    share = min(1.0, progress["messages_read"] / progress["messages_total"])
    reached = f", at {progress['reached'][:16].replace('T', ' ')}" if progress["reached"] else ""
    return f"{share:4.0%}  {progress['messages_read']:,} of {progress['messages_total']:,} messages{reached}"


def told(answer: Answer) -> Iterator[str]:
    """The report as lines to read."""
    version = f" version {answer['version']}" if answer["version"] else ""
    yield f"\n{answer['rule_id']}{version}, {answer['from'][:16]} to {answer['to'][:16]}: {answer['state']}"
    if answer["error"]:
        yield f"  {answer['error']}"
    report = answer.get("report")
    if report is None:
        return
    yield f"  {report['fires']:,} triggers for {report['customers']:,} customers"
    yield from _days(report["per_day"])
    if report["repeats"]:
        counts = ", ".join(f"{each['times']}x {each['customers']:,}" for each in report["repeats"])
        yield f"  times per customer: {counts}"
    if report["outcomes"]:
        yield "  outcomes: " + ", ".join(f"{name} {count:,}" for name, count in report["outcomes"].items())
    for each in report["overlap"]:
        both = f"{each['customers']:,} customers ({each['share']:.0%}) within 24 h"
        yield f"  also hit by {each['rule_id']} version {each['version']}: {both}"
    if report.get("gates"):
        yield from funnel.told(report["gates"], answer.get("gate_examples", ()))
    yield from _examples(answer["examples"])
    rate = f"{report['events_per_second']:,.0f}/s"
    yield f"  read {report['events_read']:,} events in {report['seconds']:.1f} s ({rate})"
    for warning in report["warnings"]:
        yield f"  note: {warning}"


def _days(days: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    shown = [each for each in days if each["fires"]]
    most = max((each["fires"] for each in shown), default=1)
    for each in shown[-_LINES_MAX:]:
        yield f"  {each['day']}  {each['fires']:>9,}  {'#' * max(1, round(_BAR * each['fires'] / most))}"


def _examples(examples: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for each in examples:
        values = ", ".join(f"{name} {json.dumps(value)}" for name, value in each["values"].items())
        yield f"  {each['occurred_at'][:19]}  customer {each['customer_id']}, event {each['event_id']}"
        if values:
            yield f"      {values}"


def _show(line: str) -> None:
    if sys.stdout.isatty():
        sys.stdout.write(f"\r\x1b[K{line}")
        sys.stdout.flush()
    else:
        write(line)


def _clear() -> None:
    if sys.stdout.isatty():
        sys.stdout.write("\r\x1b[K")


if __name__ == "__main__":
    sys.exit(main())
