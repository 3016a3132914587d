"""How are the tables of docs/library.md made? `python -m services.rules.library` writes them anew."""

from __future__ import annotations

import sys
from pathlib import Path

from services.rules.library.page import BEGIN, tables

PAGE = Path(__file__).parents[3] / "docs" / "library.md"


def main() -> int:
    above, found, _ = PAGE.read_text("utf-8").partition(BEGIN)
    if not found:
        sys.stderr.write(f"library: {PAGE} does not hold the line {BEGIN}\n")
        return 1
    PAGE.write_text(f"{above}{BEGIN}\n\n{tables()}", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
