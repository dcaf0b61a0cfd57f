"""The lecture index: slide -> equation -> function -> test -> measured error.

docs/lecture/equations.toml lists what the lecture displays. The function (or class) of src/ that computes an entry
says so in its docstring with a line ``Lecture: wae.mmd``; the test that holds it carries
``@pytest.mark.lecture("wae.mmd")``. This tool joins the three and writes docs/lecture/index.md.

    python tools/lecture_index.py            write docs/lecture/index.md
    python tools/lecture_index.py --check    fail on a wrong, double or half-finished entry, or an outdated page
    python tools/lecture_index.py --record   take over the errors that the last test run measured, then write

An entry that nothing claims yet is listed as open. An id that the list does not have, an id owned by two functions,
a function without a test and a test without a function are errors.
"""

import argparse
import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KINDS = {"equation", "algorithm", "definition", "table"}
LECTURE_LINE = re.compile(r"^\s*Lecture:[ \t]*(?P<ids>\S.*)$", re.MULTILINE)
LECTURE_SECTION = re.compile(r"^(?P<indent>\s*)Lecture:[ \t]*\n(?P<body>(?:(?P=indent)[ \t]+\S.*\n?)+)", re.MULTILINE)
MARKER = "lecture"


@dataclass(frozen=True)
class Entry:
    """One displayed equation, algorithm or table."""

    id: str
    slide: str
    kind: str
    latex: str


@dataclass
class Index:
    """What was found: entries in the lecture's order, owners, tests and errors by id, and what is wrong."""

    entries: list[Entry] = field(default_factory=list)
    owners: dict[str, list[str]] = field(default_factory=dict)
    tests: dict[str, list[str]] = field(default_factory=dict)
    measured: dict[str, dict[str, object]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_entries(path: Path) -> tuple[list[Entry], list[str]]:
    """Read equations.toml; returns the entries and what is wrong with them."""
    entries: list[Entry] = []
    problems: list[str] = []
    for slide in tomllib.loads(path.read_text(encoding="utf-8"))["slide"]:
        for row in slide["entry"]:
            entry = Entry(slide=slide["title"], **row)
            if entry.id in {known.id for known in entries}:
                problems.append(f"{path.name}: the id {entry.id} is listed twice")
            if entry.kind not in KINDS:
                problems.append(f"{path.name}: {entry.id} has kind {entry.kind!r}, expected one of {sorted(KINDS)}")
            if "|" in entry.latex:
                problems.append(rf"{path.name}: {entry.id} has a bar in its LaTeX; write \mid or \Vert")
            entries.append(entry)
    return entries, problems


def ids_of(docstring: str) -> list[str]:
    """Ids that a docstring's ``Lecture:`` line or section names."""
    texts = [match["ids"] for match in LECTURE_LINE.finditer(docstring)]
    texts += [match["body"] for match in LECTURE_SECTION.finditer(docstring)]
    return [word.strip("`.;") for text in texts for word in re.split(r"[,\s]+", text) if word.strip("`.;")]


def definitions(tree: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef | ast.ClassDef]]:
    """All functions and classes under a node, with dotted names."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield f"{prefix}.{node.name}", node
            yield from definitions(node, f"{prefix}.{node.name}")


def find_owners(src: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Owners of each id in src/, as dotted names, and ids named in a module docstring (where they own nothing)."""
    owners: dict[str, list[str]] = {}
    problems: list[str] = []
    for path in sorted(src.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        module = ".".join(path.relative_to(src).with_suffix("").parts).removesuffix(".__init__")
        problems += [
            f"{module}: its module docstring names the lecture id {lecture_id}; the function that computes it should"
            for lecture_id in ids_of(ast.get_docstring(tree) or "")
        ]
        for name, node in definitions(tree, module):
            for lecture_id in dict.fromkeys(ids_of(ast.get_docstring(node) or "")):
                owners.setdefault(lecture_id, []).append(name)
    return owners, problems


def marked_ids(node: ast.FunctionDef | ast.ClassDef) -> list[str]:
    """Ids in the ``@pytest.mark.lecture(...)`` decorators of a test."""
    found: list[str] = []
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith(f"mark.{MARKER}"):
            found += [str(argument.value) for argument in decorator.args if isinstance(argument, ast.Constant)]
    return found


def find_tests(tests: Path) -> dict[str, list[str]]:
    """Tests of each id, as ``file::name``."""
    found: dict[str, list[str]] = {}
    for path in sorted(tests.rglob("test_*.py")):
        for name, node in definitions(ast.parse(path.read_text(encoding="utf-8")), ""):
            for lecture_id in marked_ids(node):
                label = f"{path.relative_to(tests.parent).as_posix()}::{name.lstrip('.').replace('.', '::')}"
                found.setdefault(lecture_id, []).append(label)
    return found


def collect(root: Path) -> Index:
    """Join the list, the source and the tests below a root folder, and note every problem."""
    entries, problems = read_entries(root / "docs/lecture/equations.toml")
    owners, misplaced = find_owners(root / "src")
    tests = find_tests(root / "tests")
    measured_file = root / "docs/lecture/measured.json"
    measured = json.loads(measured_file.read_text(encoding="utf-8")) if measured_file.exists() else {}
    problems += misplaced
    known = {entry.id for entry in entries}
    for source, where in ((owners, "src"), (tests, "tests"), (measured, "docs/lecture/measured.json")):
        problems += [f"{where}: unknown lecture id {key}" for key in source if key not in known]
    for lecture_id, names in owners.items():
        if len(names) > 1:
            problems.append(f"{lecture_id} is owned by {len(names)} functions: {', '.join(names)}")
        if lecture_id in known and lecture_id not in tests:
            problems.append(f"{lecture_id} is computed by {names[0]} and no test carries its marker")
    for lecture_id, names in tests.items():
        if lecture_id in known and lecture_id not in owners:
            problems.append(f"{lecture_id} is tested by {names[0]} and no function of src names it")
    return Index(entries, owners, tests, measured, problems)


def row(entry: Entry, index: Index) -> str:
    """One line of the table."""
    owner = next(iter(index.owners.get(entry.id, [])), None)
    tests = [f"`{name.removeprefix('tests/')}`" for name in index.tests.get(entry.id, [])]
    error = index.measured.get(entry.id)
    shown = f"{error['value']} ({error['what']})" if error else ""
    function = f"`{owner.removeprefix('zsteer.')}`" if owner else "open"
    return f"| `{entry.id}` | {entry.kind} | $`{entry.latex}`$ | {function} | {'<br>'.join(tests)} | {shown} |"


def render(index: Index) -> str:
    """The page."""
    done = sum(entry.id in index.owners for entry in index.entries)
    lines = [
        "# Lecture index",
        "",
        "After this page you can find the function that computes any equation of the lecture, and the test that holds",
        "it. The page is generated by `python tools/lecture_index.py` from `equations.toml`, the docstrings and the",
        "tests; do not edit it. Function names are relative to `zsteer`, tests to `tests/`. Measured errors are those",
        "that the tests print against closed forms (`python tools/lecture_index.py --record` takes them over).",
        "",
        f"{done} of {len(index.entries)} entries are implemented; the others are open.",
    ]
    slide = ""
    for entry in index.entries:
        if entry.slide != slide:
            slide = entry.slide
            lines += ["", f"## {slide}", "", "| id | kind | equation | function | test | measured |"]
            lines += ["| --- | --- | --- | --- | --- | --- |"]
        lines.append(row(entry, index))
    return "\n".join(lines) + "\n"


def record(root: Path) -> int:
    """Copy the errors measured by the last test run (build/measured/*.json) into docs/lecture/measured.json."""
    target = root / "docs/lecture/measured.json"
    values = json.loads(target.read_text(encoding="utf-8")) if target.exists() else {}
    found = sorted((root / "build/measured").glob("*.json"))
    for path in found:
        one = json.loads(path.read_text(encoding="utf-8"))
        values[one["id"]] = {"value": f"{float(one['value']):.1e}", "what": one["what"], "test": one["test"]}
    target.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return len(found)


def main(arguments: list[str]) -> int:
    """Write or check the page; 1 if something is wrong."""
    parser = argparse.ArgumentParser(description="The lecture index: slide, equation, function, test, measured error.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail on errors or an outdated page")
    parser.add_argument("--record", action="store_true", help="take over the errors measured by the last test run")
    options = parser.parse_args(arguments)
    if options.record:
        print(f"{record(ROOT)} measured errors taken over")
    index = collect(ROOT)
    page = ROOT / "docs/lecture/index.md"
    if options.check:
        if not page.exists() or page.read_text(encoding="utf-8") != render(index):
            index.problems.append("docs/lecture/index.md is out of date: run python tools/lecture_index.py")
    else:
        page.write_text(render(index), encoding="utf-8")
    for problem in index.problems:
        print(problem)
    done = sum(entry.id in index.owners for entry in index.entries)
    print(f"lecture index: {done} of {len(index.entries)} entries implemented, {len(index.problems)} problems")
    return 1 if index.problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
