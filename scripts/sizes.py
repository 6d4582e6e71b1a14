"""Prints the sizes of the sources, as the table in docs/ARCHITECTURE.md has them.

    python scripts/sizes.py

Functions are counted as tests/test_style.py counts them: clang-format puts their braces in column
1, and the lines between these are the function's. Standard library only.
"""

from __future__ import annotations

import statistics
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def function_lengths(path: Path) -> list[int]:
    """The lines of the body of each function of a C file."""
    lines = path.read_text().splitlines()
    starts = [number for number, line in enumerate(lines) if line == "{"]
    return [lines.index("}", start) - start - 1 for start in starts]


def line_count(paths: list[Path]) -> int:
    return sum(len(path.read_text().splitlines()) for path in paths)


def largest_folder(paths: list[Path]) -> str:
    (folder, count), *_ = Counter(path.parent for path in paths).most_common(1)
    return f"`{folder.relative_to(ROOT).as_posix()}`, {count} files"


def main() -> None:
    c_files = sorted((ROOT / "ext").rglob("*.[ch]"))
    py_files = sorted((ROOT / "pysrc").rglob("*.py"))
    lengths = [length for path in c_files for length in function_lengths(path)]
    print(f"C functions: {len(lengths):,}")
    print(f"median, longest: {statistics.median(lengths):g}, {max(lengths)} lines")
    print(f"lines of ext: {line_count(c_files):,} in {len(c_files)} files")
    print(f"largest folder of ext: {largest_folder(c_files)}")
    print(f"lines of pysrc: {line_count(py_files):,} in {len(py_files)} files")
    print(f"largest folder of pysrc: {largest_folder(py_files)}")


if __name__ == "__main__":
    main()
