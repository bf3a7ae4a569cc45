"""The house in numbers: files and their lines, floors and arrows of each wing, names that are used twice.

`python -m tests.house` prints them; `tests/test_architecture.py` holds them to their limits.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path
from statistics import median

import grimp

PACKAGE = Path(__file__).parents[1] / "vigbench"
WINGS = tuple(sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()))


@cache
def graph() -> grimp.ImportGraph:
    """All imports of the package, also those inside of functions."""
    return grimp.build_graph("vigbench", exclude_type_checking_imports=True)


def lines() -> dict[str, int]:
    """Lines of each Python file of the package."""
    return {
        path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8").count("\n")
        for path in PACKAGE.rglob("*.py")
    }


def flat_files(wing: str) -> list[str]:
    """Files directly in a wing's folder, without its `__init__.py`."""
    return sorted(path.name for path in (PACKAGE / wing).glob("*.py") if path.name != "__init__.py")


def room_of(wing: str, module: str) -> str:
    """The room of a module: a file directly in the wing, or a folder in it as a whole; no room is an `__init__.py`."""
    path = module.removeprefix(f"vigbench.{wing}").lstrip(".")
    return path.partition(".")[0]


def rooms_of(wing: str) -> set[str]:
    """A wing's rooms."""
    return {room_of(wing, module) for module in graph().find_descendants(f"vigbench.{wing}")}


def arrows_in(wing: str) -> set[tuple[str, str]]:
    """Imports from one room of a wing to another."""
    inside = graph().find_descendants(f"vigbench.{wing}")
    return {
        (room_of(wing, one), room_of(wing, other))
        for one in inside
        for other in graph().find_modules_directly_imported_by(one)
        if other in inside and room_of(wing, one) != room_of(wing, other)
    }


def floors_of(wing: str) -> int:
    """Rooms on the longest chain of imports inside a wing; AssertionError where there is a circle."""
    below: dict[str, set[str]] = {}
    for one, other in arrows_in(wing):
        below.setdefault(one, set()).add(other)

    def height(room: str, way: tuple[str, ...] = ()) -> int:
        assert room not in way, f"a circle: {' -> '.join((*way, room))}"
        return 1 + max((height(other, (*way, room)) for other in below.get(room, ())), default=0)

    return max((height(room) for room in below), default=1)


def circles() -> list[tuple[str, str]]:
    """Pairs of modules that import each other, over whatever way."""
    rooms = sorted(graph().modules)
    return [
        (one, other)
        for one in rooms
        for other in graph().find_modules_directly_imported_by(one)
        if graph().chain_exists(importer=other, imported=one)
    ]


def names_used_twice() -> dict[str, int]:
    """Public classes of one name."""
    found = Counter(
        name
        for path in PACKAGE.rglob("*.py")
        for name in re.findall(r"^class ([A-Za-z]\w*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    )
    return {name: count for name, count in found.items() if count > 1}


def files_that_name(word: str) -> list[str]:
    """Python files of the package with this word."""
    pattern = re.compile(rf"\b{word}\b")
    files = sorted(PACKAGE.rglob("*.py"))
    return [path.relative_to(PACKAGE).as_posix() for path in files if pattern.search(path.read_text(encoding="utf-8"))]


def main() -> None:
    """All figures."""
    sizes = lines()
    print(f"{len(sizes)} files, {sum(sizes.values()):,} lines, median {median(sizes.values()):g}, ", end="")
    longest = max(sizes, key=sizes.__getitem__)
    print(f"longest {longest} ({sizes[longest]})")
    print(f"{'wing':12}{'files':>6}{'flat':>6}{'rooms':>7}{'floors':>8}{'arrows':>8}")
    for wing in WINGS:
        count = sum(name.startswith(f"{wing}/") for name in sizes)
        rooms = len(rooms_of(wing))
        print(f"{wing:12}{count:6}{len(flat_files(wing)):6}{rooms:7}{floors_of(wing):8}{len(arrows_in(wing)):8}")
    print("circles:", circles() or "none")
    print("class names used twice:", names_used_twice() or "none")
    for word in ("tf32", "cuda_graph", "memory_format"):
        print(f"{word} is named in {len(files_that_name(word))} files")


if __name__ == "__main__":
    main()
