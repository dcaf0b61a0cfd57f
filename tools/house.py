"""Facts of the house that can be counted: python tools/house.py prints each bound that is crossed; 1 if any is.

Import circles, the size of rooms, folders and files, words that only this project would use, and parameters that are
unnamed tuples of mixed things. What is only worth a warning is printed and does not fail.
"""

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "zsteer"
ROOM_SHARE = 0.20
FILES_IN_A_FOLDER = 24
CODE_LINES = 400
README_LINES = 100
FUNCTION_LINES = 60
WORDS: Mapping[str, int] = {
    r"\bsaid": 20,
    r"\btold": 20,
    r"\bwalked": 5,
    r"\bdrown": 2,
    r"\b[Kk]nobs": 5,
    r"\bDatum": 10,
    r"\basked": 60,
    r"-> Any": 40,
}
"""Regular expression of a word -> how often it may stand in the source."""

LEFT = ("kits/molecules/guides.py", "kits/molecules/kit.py", "kits/sequences/diffusion.py", "steer/sampling.py")
"""Files that still have parameters which are unnamed tuples; none may be added."""

Trees = Mapping[Path, ast.Module]


def module_of(path: Path, root: Path) -> str:
    """Dotted name of a file under the package's folder ``root``."""
    parts = (PACKAGE, *path.relative_to(root).with_suffix("").parts)
    return ".".join(parts).removesuffix(".__init__")


def imports(trees: Trees, root: Path) -> dict[str, set[str]]:
    """Module -> modules that it imports, also late and for types only; packages' own files are left out."""
    names = {module_of(path, root): path for path in trees}
    found: dict[str, set[str]] = {name: set() for name in names}
    for name, path in names.items():
        for node in ast.walk(trees[path]):
            if not (isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE):
                continue
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                target = inner if inner in names else node.module
                if target in names and target != name and names[target].name != "__init__.py":
                    found[name].add(target)
    return found


def circles(edges: Mapping[str, set[str]]) -> list[str]:
    """One line for each import circle that a walk in depth meets."""
    found: dict[frozenset[str], str] = {}
    done: set[str] = set()

    def visit(name: str, way: list[str]) -> None:
        for target in sorted(edges[name]):
            if target in way:
                ring = way[way.index(target) :]
                found.setdefault(frozenset(ring), "import circle: " + " -> ".join([*ring, target]))
            elif target not in done:
                visit(target, [*way, target])
        done.add(name)

    for name in edges:
        if name not in done:
            visit(name, [name])
    return list(found.values())


def rooms(sizes: Mapping[str, int]) -> list[str]:
    """Rooms with more than their share of the lines.

    Args:
        sizes: room -> lines.
    """
    total = sum(sizes.values())
    return [
        f"the room {room} holds {lines / total:.0%} of the lines; split it below {ROOM_SHARE:.0%}"
        for room, lines in sizes.items()
        if lines > ROOM_SHARE * total
    ]


def code_lines(text: str, tree: ast.Module) -> int:
    """Lines of a file that are neither blank nor docstring nor comment."""
    documented: set[int] = set()
    for node in ast.walk(tree):
        owner = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if owner and ast.get_docstring(node) is not None:
            documented |= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(bool(line.strip()) and k not in documented and not line.strip().startswith("#") for k, line in lines)


def mixed_tuples(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of each parameter that is a tuple of two or more different types, or such a tuple or None."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
            for part in _alternatives(argument.annotation):
                if not (isinstance(part, ast.Subscript) and ast.unparse(part.value) == "tuple"):
                    continue
                elements = part.slice.elts if isinstance(part.slice, ast.Tuple) else [part.slice]
                if len({_kind(each) for each in elements} - {"..."}) > 1:
                    yield argument.lineno, f"{node.name}({argument.arg}: {ast.unparse(part)})"


def _alternatives(annotation: ast.expr | None) -> list[ast.expr]:
    """The types of a union; a type alone is one."""
    if isinstance(annotation, ast.BinOp):
        return _alternatives(annotation.left) + _alternatives(annotation.right)
    return [] if annotation is None else [annotation]


def _kind(annotation: ast.expr) -> str:
    """The type that an annotation names; shapes of tensors do not make two types of one."""
    text = ast.unparse(annotation)
    return "Tensor" if re.fullmatch(r"(Float|Int|Bool|Integer|Num)\[Tensor, .*\]|Tensor", text) else text


def words(text: str) -> list[str]:
    """Words that stand more often than their bound."""
    counts = {word: len(re.findall(word, text)) for word in WORDS}
    return [f"{count} times {word!r} in the source ({WORDS[word]} at most)" for word, count in counts.items()
            if count > WORDS[word]]  # fmt: skip


def problems(root: Path) -> list[str]:
    """Every bound that is crossed under the package's folder.

    Args:
        root: the folder ``src/zsteer``.
    """
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(root.rglob("*.py"))}
    trees = {path: ast.parse(text) for path, text in texts.items()}
    sizes: Counter[str] = Counter()
    for path, text in texts.items():
        sizes[path.relative_to(root).parts[0]] += text.count("\n")
    folders = Counter(path.parent for path in texts)
    flat = [
        f"{folder}: {count} files in one folder ({FILES_IN_A_FOLDER} at most)"
        for folder, count in folders.items()
        if count > FILES_IN_A_FOLDER
    ]
    counts = {path: code_lines(texts[path], trees[path]) for path in texts}
    long = [f"{path}: {count} lines of code ({CODE_LINES})" for path, count in counts.items() if count > CODE_LINES]
    unnamed = [
        f"{path.relative_to(root)}:{line}: an unnamed tuple of mixed things: {what}; make it a frozen dataclass"
        for path, tree in trees.items()
        for line, what in mixed_tuples(tree)
        if path.relative_to(root).as_posix() not in LEFT
    ]
    functions = [
        f"{path.relative_to(root)}:{node.lineno}: {node.name} is longer than {FUNCTION_LINES} lines"
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno > FUNCTION_LINES
    ]
    found = circles(imports(trees, root)) + rooms(sizes) + flat + long + functions
    return found + unnamed + words("\n".join(texts.values()))


def warnings() -> list[str]:
    """What is worth a look and fails nothing."""
    count = (ROOT / "README.md").read_text(encoding="utf-8").count("\n")
    return [f"README.md has {count} lines ({README_LINES} at most)"] * (count > README_LINES)


def main() -> int:
    """Print what was found; 1 if a bound is crossed."""
    for line in warnings():
        print(f"warning: {line}")
    found = problems(ROOT / "src" / PACKAGE)
    print("\n".join(found) or "every bound is kept")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
