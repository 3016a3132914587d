"""Is what we write about the product true of it? Decisions, commands, links, and what never belongs in a text."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

from tests.contract.tree import ROOT, at, parsed, texts

DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "tests").rglob("README.md")])
SECTIONS = ["Context", "Decision", "Consequences", "Enforced by"]
DECISION_LINES_MAX = 50

# Addresses of package registries and homes of people who built this: they change with the machine. The brackets
# keep the patterns from finding themselves.
FORBIDDEN = (
    r"/roo[t]/",
    r"/hom[e]/",
    r"/User[s]/",
    r"\bpyp[i]\.org\b",
    r"\bpythonhoste[d]\.org\b",
    r"\brepo1?\.mave[n]\b",
    r"\bnpmj[s]\.(com|org)\b",
    r"\bartifactor[y]\b",
    r"--(extra-)?index-ur[l]\b",
)

each_page = pytest.mark.parametrize("page", PAGES, ids=at)
each_decision = pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)


def test_no_text_names_a_registry_or_somebodys_home() -> None:
    forbidden = re.compile("|".join(FORBIDDEN), re.IGNORECASE)
    assert not [
        f"{at(path, number)}: {line.strip()[:80]}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if forbidden.search(line)
    ]


@each_page
def test_every_command_of_make_exists(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    named = {name for code in _code(page) for name in re.findall(r"\bmake ([a-z0-9][a-z0-9-]*)", code)}
    assert named <= targets


def test_every_module_that_make_runs_exists() -> None:
    named = re.findall(r"python3?\)? -m ((?:deploy|libs|services|tests)[\w.]*)", (ROOT / "Makefile").read_text("utf-8"))
    paths = {name: ROOT / Path(*name.split(".")) for name in named}
    assert paths
    assert not [
        name
        for name, path in paths.items()
        if not path.with_suffix(".py").is_file() and not (path / "__main__.py").is_file()
    ]


@each_page
def test_every_link_between_our_pages_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md"])
def test_every_file_that_a_page_names_is_there(name: str) -> None:
    paths = {
        word.partition("::")[0].rstrip("/")
        for code in _code(ROOT / name)
        for word in re.findall(r"\b(?:libs|services|deploy|tests|docs)/[\w./<>*-]*", code)
    }
    assert paths
    assert not [path for path in sorted(paths) if not re.search(r"[<*]", path) and not (ROOT / path).exists()]


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md"])
def test_every_function_that_a_page_names_is_there(name: str) -> None:
    """Named as `path/file.py::function` or `path/file.py::Class.method`."""
    named = {word for code in _code(ROOT / name) for word in re.findall(r"[\w/]+\.py::[\w.]+", code)}
    gone = []
    for word in sorted(named):
        path, _, names = word.partition("::")
        known = _functions(ROOT / path) if (ROOT / path).exists() else set()
        if not known.issuperset(names.split(".")):
            gone.append(word)
    assert not gone


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [int(page.stem[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@each_decision
def test_a_decision_is_one_page_of_one_form(page: Path) -> None:
    text = page.read_text("utf-8")
    assert re.match(rf"# {page.stem[:4]} · \S", text)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    assert len(text.splitlines()) <= DECISION_LINES_MAX


@each_decision
def test_a_decision_names_what_enforces_it(page: Path) -> None:
    """Each item begins with a file, a test as `file::name`, or an import contract by its name."""
    enforced = page.read_text("utf-8").partition("## Enforced by\n")[2]
    items = re.findall(r"^- (.+)$", enforced, re.MULTILINE)
    assert items
    assert not [item for item in items if not _is_there(item)]


def test_the_changelog_speaks_of_this_version() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        version = tomllib.load(file)["project"]["version"]
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def _is_there(item: str) -> bool:
    if contract := re.match(r"import contract \"([^\"]+)\"", item):
        with (ROOT / "pyproject.toml").open("rb") as file:
            contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
        return contract[1] in {each["name"] for each in contracts}
    named = re.match(r"`([^`:]+)(?:::(\w+))?`", item)
    if named is None or not (ROOT / named[1]).exists():
        return False
    return named[2] is None or named[2] in _functions(ROOT / named[1])


def _functions(path: Path) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in ast.walk(parsed(path)) if isinstance(node, kinds)}


def _code(page: Path) -> list[str]:
    """What stands in code spans and code blocks."""
    text = page.read_text("utf-8")
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^```\w*\n.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return blocks + re.findall(r"`([^`\n]+)`", rest)
