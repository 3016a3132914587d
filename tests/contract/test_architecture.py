"""Has the code the form that we agreed on? What import-linter and ruff do not look at: sizes, names, broad nets."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.tree import CODE, ROOT, at, modules, parsed

FUNCTION_LINES_MAX = 60
FILE_LINES_MAX = 350
BANNED_NAMES = {"utils", "helpers", "misc", "manager", "base", "service", "models"}
PRODUCT = ("libs", "services", "deploy")

# Where a loop, or the last line of a process, must survive whatever it meets: how many such places each file has.
BROAD_NETS = {
    "libs/common/documents/watcher.py": 1,
    "libs/common/footing.py": 1,
    "libs/common/kafka/publishing.py": 2,
    "libs/common/runtime/life.py": 1,
    "libs/common/runtime/parts.py": 1,
    "libs/common/runtime/process.py": 1,
    "libs/common/unit/runner.py": 3,
    "libs/common/watching.py": 1,
    "libs/common/web/edge.py": 1,
    "services/ingest/deadlines.py": 1,
    "services/ingest/hooks/book.py": 1,
    "services/ingest/registry.py": 1,
    "services/ingest/schemas/violations.py": 1,
    "services/notify/sender.py": 2,
    "services/profile/privacy/auditing.py": 1,
    "services/profile/privacy/erasing.py": 1,
}


def test_a_function_fits_on_a_screen() -> None:
    long = [
        f"{at(path, node.lineno)} {node.name}: {lines} lines"
        for path in modules(*CODE)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]
    assert not long


def test_a_file_has_one_subject_and_so_an_end() -> None:
    long = [
        f"{at(path)}: {lines} lines"
        for path in modules(*PRODUCT)
        if (lines := len(path.read_text("utf-8").splitlines())) > FILE_LINES_MAX
    ]
    assert not long


def test_every_module_says_which_question_it_answers() -> None:
    assert not [at(path) for path in modules(*PRODUCT) if not ast.get_docstring(parsed(path))]


def test_no_name_could_hold_anything() -> None:
    assert not [at(path) for path in _named(*CODE) if path.stem in BANNED_NAMES]


def test_no_name_shadows_the_standard_library() -> None:
    """Only the folder `services/profile` may: nothing ever puts `services` on the path."""
    shadows = [path for path in _named(*CODE) if path.stem in sys.stdlib_module_names and path.stem != "__init__"]
    assert [at(path) for path in shadows] == ["services/profile"]


def test_a_profiler_still_finds_the_profiler(tmp_path: Path) -> None:
    """What the shadow would break first: cProfile imports the standard library's `profile`."""
    script = tmp_path / "nothing.py"
    script.write_text("pass\n")
    subprocess.run([sys.executable, "-m", "cProfile", script], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def test_tests_are_no_packages() -> None:
    assert not [at(path) for path in modules("tests") if path.name == "__init__.py"]


def test_a_test_file_says_what_it_is_about() -> None:
    named = re.compile(r"^(conftest|__main__|[a-z]+(_[a-z]+)*)$")
    assert not [at(path) for path in modules("tests") if not named.match(path.stem)]


def test_broad_nets_hang_only_where_a_loop_must_survive() -> None:
    found = Counter(at(path) for path in modules(*PRODUCT) for _ in _swallowing(parsed(path)))
    assert dict(found) == BROAD_NETS, "raise what you cannot name, or say here why this place must outlive it"


def test_a_broad_net_says_that_it_is_meant() -> None:
    silent = [
        at(path, node.lineno)
        for path in modules(*PRODUCT)
        for node in _swallowing(parsed(path))
        if "noqa: BLE001" not in path.read_text("utf-8").splitlines()[node.lineno - 1]
    ]
    assert not silent


def test_nothing_is_left_for_later() -> None:
    """Words by which a line says that it is not finished."""
    later = re.compile("|".join(("TO" + "DO", "FIX" + "ME")) + r"\b")
    assert not [
        at(path, number)
        for path in modules(*CODE)
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if later.search(line)
    ]


@pytest.mark.parametrize("folder", sorted(path.name for path in (ROOT / "services").glob("[a-z]*") if path.is_dir()))
def test_every_service_has_the_same_edges(folder: str) -> None:
    """One learns one of them and knows them all; a file may have grown into a folder of the same name."""
    service = ROOT / "services" / folder
    for edge in ("__init__", "__main__", "app", "settings", "api", "store"):
        assert (service / f"{edge}.py").is_file() or (service / edge).is_dir(), f"services/{folder} has no {edge}"
    assert any((service / "migrations" / "versions").glob("*.py"))


def _named(*folders: str) -> list[Path]:
    """Modules and the packages that they lie in, each once."""
    files = modules(*folders)
    packages = {path.parent for path in files if path.parent != ROOT}
    return sorted([*files, *packages])


def _swallowing(tree: ast.Module) -> Iterator[ast.ExceptHandler]:
    """Handlers of any exception whatever that may end without raising one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type) and not isinstance(node.body[-1], ast.Raise):
            yield node


def _is_broad(kind: ast.expr | None) -> bool:
    named = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(
        each is None or isinstance(each, ast.Name) and each.id in ("Exception", "BaseException") for each in named
    )
