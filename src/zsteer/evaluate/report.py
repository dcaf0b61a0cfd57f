"""``Report``: tables of values with their spread, as text, JSON and one self-contained page.

A page asks nothing from any other host: style is inline, pictures are inline SVG or HTML. A cell is text, a number, a
``Value`` (mean, standard deviation over repeats, number of repeats) or an ``Interval``, in all three forms.
"""

import html
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zsteer.errors import InputError

__all__ = ["Block", "Interval", "Report", "Table", "Value"]


@dataclass(frozen=True)
class Value:
    """A mean over repeats.

    Args:
        mean: the mean; NaN when there is nothing to report.
        sd: standard deviation over the repeats, or None for a single one.
        n: number of repeats.
    """

    mean: float
    sd: float | None = None
    n: int = 1

    @staticmethod
    def of(repeats: Sequence[float]) -> "Value":
        """Mean and sample standard deviation of repeats; NaN repeats make the value NaN."""
        if not repeats or any(math.isnan(x) for x in repeats):
            return Value(math.nan, None, len(repeats))
        sd = statistics.stdev(repeats) if len(repeats) > 1 else None
        return Value(statistics.fmean(repeats), sd, len(repeats))

    def __str__(self) -> str:
        if math.isnan(self.mean):
            return "n/a"
        mean = _number(self.mean)
        return mean if self.sd is None else f"{mean} +- {_number(self.sd)}"


@dataclass(frozen=True)
class Interval:
    """A figure with the ends of its interval.

    Args:
        value: the figure; NaN when there is nothing to report.
        low: lower end; NaN where there is no interval.
        high: upper end.
        n: members that it was taken from.
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "n/a"
        digits = 1 if abs(self.value) >= 10 else 3 if abs(self.value) >= 0.01 or self.value == 0 else 4
        if math.isnan(self.low):
            return f"{self.value:.{digits}f}"
        return f"{self.value:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


Cell = str | float | int | Value | Interval


def _number(value: float | int) -> str:  # noqa: PYI041 - beartype tells them apart
    if isinstance(value, float) and math.isnan(value):
        return "n/a"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.1f}"


def _text(cell: Cell) -> str:
    return cell if isinstance(cell, str) else str(cell) if isinstance(cell, Value | Interval) else _number(cell)


@dataclass(frozen=True)
class Table:
    """Rows under named columns.

    Args:
        title: what the table shows.
        columns: names.
        rows: one cell for each column.
        notes: what a reader must know to read it right.
        best: first cell of the row to set in bold.

    Raises:
        InputError: if two columns have one name, or a row has another number of cells than there are columns.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()
    best: str | None = None

    def __post_init__(self) -> None:
        if len(set(self.columns)) < len(self.columns):
            raise InputError(f"table {self.title!r}: expected columns of different names, got {list(self.columns)}")
        for row in self.rows:
            if len(row) != len(self.columns):
                raise InputError(f"table {self.title!r}: expected {len(self.columns)} cells, got {len(row)}: {row}")

    def text(self) -> str:
        """Plain lines with aligned columns."""
        cells = [list(self.columns), *[[_text(cell) for cell in row] for row in self.rows]]
        widths = [max(len(row[k]) for row in cells) for k in range(len(self.columns))]
        lines = [
            "  ".join(
                cell.ljust(width) if k == 0 else cell.rjust(width)
                for k, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in cells
        ]
        rule = "  ".join("-" * width for width in widths)
        return "\n".join([self.title, "", lines[0], rule, *lines[1:], *["  " + note for note in self.notes]])

    def to_html(self) -> str:
        """The table as HTML."""
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.columns)
        body = []
        for row in self.rows:
            strong = self.best is not None and _text(row[0]) == self.best
            kinds = ["text" if isinstance(cell, str) else "number" for cell in row]
            cells = "".join(
                f'<td class="{kind}">{html.escape(_text(c))}</td>' for kind, c in zip(kinds, row, strict=True)
            )
            body.append(f"<tr{' class=best' if strong else ''}>{cells}</tr>")
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return (
            f"<h2>{html.escape(self.title)}</h2><div class=scroll><table><thead><tr>{head}</tr></thead>"
            f"<tbody>{''.join(body)}</tbody></table></div>" + (f"<ul class=notes>{notes}</ul>" if notes else "")
        )

    def to_dict(self) -> dict[str, Any]:
        """The table as JSON values."""

        def plain(cell: Cell) -> object:
            if isinstance(cell, Value):
                return {"mean": None if math.isnan(cell.mean) else cell.mean, "sd": cell.sd, "n": cell.n}
            if isinstance(cell, Interval):
                ends = {"value": cell.value, "low": cell.low, "high": cell.high}
                return {name: None if math.isnan(end) else end for name, end in ends.items()} | {"n": cell.n}
            return None if isinstance(cell, float) and math.isnan(cell) else cell

        rows = [{name: plain(cell) for name, cell in zip(self.columns, row, strict=True)} for row in self.rows]
        return {"title": self.title, "rows": rows, "notes": list(self.notes)}


@dataclass(frozen=True)
class Block:
    """A picture or other fragment of a page, safe HTML made by zsteer, with the same thing as text."""

    title: str
    fragment: str
    text: str = ""


@dataclass(frozen=True)
class Report:
    """What was done and how well it worked.

    Args:
        title: one line.
        summary: a few sentences, the result first.
        tables: the figures.
        blocks: pictures and alignments.
        facts: settings, versions, hashes, by name.
    """

    title: str
    summary: Sequence[str]
    tables: Sequence[Table] = ()
    blocks: Sequence[Block] = ()
    facts: Mapping[str, object] = field(default_factory=dict)

    def text(self) -> str:
        """Plain lines."""
        parts = [self.title, *self.summary, *[""], *[table.text() + "\n" for table in self.tables]]
        return "\n".join([*parts, *[block.text + "\n" for block in self.blocks if block.text]]).rstrip() + "\n"

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "title": self.title,
            "summary": list(self.summary),
            "tables": [table.to_dict() for table in self.tables],
            "facts": dict(self.facts),
        }

    def to_json(self) -> str:
        """JSON text."""
        return json.dumps(self.to_dict(), indent=1)

    def to_html(self) -> str:
        """One page that needs nothing from any other host."""
        summary = "".join(f"<p>{html.escape(line)}</p>" for line in self.summary)
        blocks = "".join(f"<h2>{html.escape(block.title)}</h2>{block.fragment}" for block in self.blocks)
        facts = "".join(
            f"<tr><th>{html.escape(k)}</th><td>{html.escape(str(v))}</td></tr>" for k, v in self.facts.items()
        )
        origin = f"<h2>How this was made</h2><table class=facts>{facts}</table>" if facts else ""
        return (
            "<!doctype html><html lang=en><head><meta charset=utf-8>"
            '<meta name=viewport content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(self.title)}</title><style>{STYLE}</style></head><body><main>"
            f"<h1>{html.escape(self.title)}</h1>{summary}{blocks}"
            f"{''.join(table.to_html() for table in self.tables)}{origin}</main></body></html>\n"
        )


STYLE = """
:root{color-scheme:light dark;--ink:#1d2430;--quiet:#5c6675;--line:#d8dde5;--paper:#fff;--mark:#eef4ff;--edit:#b3470f}
@media(prefers-color-scheme:dark){:root{--ink:#e8ebf0;--quiet:#9aa5b4;--line:#333b47;--paper:#14181e;--mark:#1c2736;--edit:#ff9d66}}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1080px;margin:0 auto;padding:32px 20px 64px}
h1{font-size:26px;line-height:1.25;margin:0 0 12px}h2{font-size:18px;margin:36px 0 8px}
p{max-width:74ch}.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:13.5px}th{font-weight:600;text-align:left}
th,td{padding:5px 10px;border-bottom:1px solid var(--line);vertical-align:top;white-space:nowrap}
td.number{text-align:right;font-variant-numeric:tabular-nums}tr.best td{font-weight:600;background:var(--mark)}
.notes{color:var(--quiet);font-size:13px;max-width:90ch}.facts th{color:var(--quiet);font-weight:400}
.facts td{white-space:normal;word-break:break-word}
pre,code,.seq{font-family:ui-monospace,Menlo,Consolas,monospace}
.seq{font-size:14px;letter-spacing:.06em;white-space:pre}.seq b{color:var(--edit);text-decoration:underline}
.quiet{color:var(--quiet)}
""".replace("\n", "")
