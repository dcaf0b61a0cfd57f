"""The page of the matrix: a table for each domain, a row a model and property, a column a method."""

from collections.abc import Sequence
from pathlib import Path

from zsteer.core.files import new_file
from zsteer.evaluate.report import Cell

__all__ = ["page", "write_page"]

HEAD = """# What steers what

After reading this you know which method steers which model towards which property, and what it reached when it was run.
`zsteer bench matrix` runs every cell and writes this page. A cell with figures was run: the mean of the property before
and after, the value that was wanted, and the seconds; the settings are small, so that the figures show that it works
and not how well it can work. `cannot` stands with the method's own reason; `failed` with what stopped it when it ran:
the models that do not ship are trained for a minute at most, and such a model of molecules makes hardly a valid one.
"""


def _cell(row: Sequence[Cell], columns: Sequence[str]) -> str:
    at = dict(zip(columns, row, strict=True))
    if at["result"] != "works":
        return str(at["result"]).replace("|", "\\|")
    before = "" if at["before"] == "" else f"{_number(at['before'])} to "
    return f"{before}{_number(at['after'])} (wanted {at['wanted']}; {_number(at['seconds'])} s)"


def _number(value: Cell) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def page(columns: Sequence[str], rows: Sequence[Sequence[Cell]], notes: Sequence[str]) -> str:
    """The page as Markdown.

    Args:
        columns: names of the cells of a row.
        rows: of the matrix.
        notes: what a reader must know.
    """
    place = {name: columns.index(name) for name in ("model", "kind", "domain", "method", "property")}
    parts = [HEAD, *(f"- {note}" for note in notes)]
    for domain in dict.fromkeys(str(row[place["domain"]]) for row in rows):
        own = [row for row in rows if row[place["domain"]] == domain]
        methods = list(dict.fromkeys(str(row[place["method"]]) for row in own))
        parts += ["", f"## {domain.capitalize()}", "", "| model | property | " + " | ".join(methods) + " |"]
        parts.append("|" + "---|" * (2 + len(methods)))
        groups: dict[tuple[str, str, str], dict[str, str]] = {}
        for row in own:
            key = (str(row[place["model"]]), str(row[place["kind"]]), str(row[place["property"]]))
            groups.setdefault(key, {})[str(row[place["method"]])] = _cell(row, columns)
        for (model, kind, name), cells in groups.items():
            shown = " | ".join(cells[method] for method in methods)
            parts.append(f"| {model} ({kind}) | {name} | {shown} |")
    return "\n".join(parts) + "\n"


def write_page(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Cell]], notes: Sequence[str]) -> None:
    """Write the page.

    Args:
        path: of the page.
        columns: names of the cells of a row.
        rows: of the matrix.
        notes: what a reader must know.
    """
    with new_file(path, overwrite=True) as partial:
        partial.write_text(page(columns, rows, notes), encoding="utf-8")
