"""Tables of ratings in the usual public formats, each also with .gz.

=============== ==================================================================== =========================
format          looks like                                                           known from
=============== ==================================================================== =========================
tab             user TAB item TAB rating [TAB time], no heading                      MovieLens 100K (u.data)
double colon    user::item::rating[::time]                                           MovieLens 1M, MovieTweetings
csv             heading with userId/user_id/user, movieId/item_id/book_id/..., rating ml-latest, goodbooks
Netflix         a line ``item:``, then user,rating[,date]                            mv_*.txt, combined_data_*.txt
RecBole         heading user_id:token TAB item_id:token TAB rating:float             .inter
matrix          heading of items, one row a user, blanks where not rated             any spreadsheet as csv
=============== ==================================================================== =========================

The format is detected from the content, and what was taken for what is said: a missing heading, the column of the
ratings (a few levels), those of user and item (the first two others). A folder is read as Netflix's ``mv_*.txt``.
Rows are lines of the file, so that the heading of a csv is row 1. In memory, use ``space.table`` with three columns.
"""

import csv
import gzip
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from zsteer.core.cells import Cells, Text, cells_of, separator_of, text_of
from zsteer.core.files import new_file
from zsteer.core.numerals import is_date, is_number, numbers_of
from zsteer.core.reading import Inventory
from zsteer.domains.ratings.space import BLANKS, MOST_LEVELS, Known, Ratings, Scale, table
from zsteer.errors import InputError, OutputError

__all__ = ["check_ending", "form_of", "read", "recognises", "report", "write"]

USER = ("user", "userid", "uid", "reviewerid", "customerid")
ITEM = (
    "item",
    "itemid",
    "iid",
    "movie",
    "movieid",
    "book",
    "bookid",
    "product",
    "productid",
    "asin",
    "isbn",
    "business",
)
RATING = ("rating", "ratings", "stars", "score", "overall", "bookrating", "grade")
TIME = ("time", "timestamp", "date", "day", "when", "unixreviewtime", "reviewtime")
PEEK = 1000
"""Rows that tell what a column holds."""
OWN = (".dat", ".data", ".inter", ".base", ".test")
"""Endings that files of ratings alone have."""
EPOCH = 1e8
"""Numbers above it are seconds since 1970, not ratings."""
_NETFLIX = re.compile(r"^\s*[^,\t]+:\s*$")


@dataclass
class _Columns:
    """Columns as they stand in a file, with their lines."""

    users: list[str] = field(default_factory=list)
    items: list[str] = field(default_factory=list)
    ratings: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, row: int, user: str, item: str, rating: str) -> None:
        self.users.append(user)
        self.items.append(item)
        self.ratings.append(rating)
        self.rows.append(row)


def _plain(name: str) -> str:
    """A column's name without its type, marks and capitals: ``User_ID:token`` is ``userid``."""
    return re.sub(r"[^a-z]", "", name.split(":", maxsplit=1)[0].casefold())


def _places(names: Sequence[str]) -> tuple[int, int, int]:
    """Places of user, item and rating in a heading, each -1 where it names none."""
    plain = [_plain(name) for name in names]
    found = [next((plain.index(name) for name in known if name in plain), -1) for known in (USER, ITEM, RATING)]
    return found[0], found[1], found[2]


def form_of(text: Text) -> str:
    """The format of a text, detected from its content: double colon, netflix, columns or matrix."""
    first = next((line for line in text.text.splitlines() if line.strip()), "")
    if "::" in first:
        return "double colon"
    if _NETFLIX.match(first):
        return "netflix"
    mark = separator_of(text, _mark(first))
    names = _first_row(text, mark)
    if min(_places(names)) >= 0:
        return "columns"
    # The corner of a matrix is a word or nothing; numbers alone are data without a heading.
    if len(names) in {3, 4} and all(is_number(name.strip()) for name in names):
        return "columns"
    return "matrix" if _is_matrix(text, mark) else "columns"


def _is_matrix(text: Text, mark: str) -> bool:
    """Whether every row is another user, and all other columns are alike: ratings and blanks."""
    rows = [row for _, row in text.rows(mark) if any(row)][1:]
    users = [row[0] for row in rows]
    if len(set(users)) < len(users):
        return False
    width = max(map(len, rows), default=0)
    columns = [
        [row[k] for row in rows if k < len(row) and row[k].strip().casefold() not in BLANKS] for k in range(1, width)
    ]
    numeric = [sum(map(is_number, column)) > 0.5 * len(column) for column in columns if column]
    return not numeric or all(numeric) or not any(numeric)


def _first_row(text: Text, mark: str) -> list[str]:
    return next((row for _, row in text.rows(mark) if any(cell.strip() for cell in row)), [])


def _mark(line: str) -> str:
    return max(("\t", ",", ";"), key=line.count)


def _of_columns(text: Text, mark: str) -> _Columns:
    """Ratings of a file with a row each."""
    first = _first_row(text, mark)
    cells = cells_of(text, mark, heading=True if max(_places(first)) >= 0 else None)
    at = list(_places(cells.names)) if cells.heading else [-1, -1, -1]
    notes = list(cells.notes)
    if min(at) < 0:
        at = _by_content(cells, at)
        words = ", ".join(f"{word} {cells.names[k]!r}" for word, k in zip(("user", "item", "rating"), at, strict=True))
        notes = [note for note in notes if not note.startswith("no heading")]
        notes.append(("" if cells.heading else "no heading; ") + f"columns by their content: {words}")
    users, items, ratings = (cells.columns[k] for k in at)
    numbers = numbers_of(ratings, comma=mark == ";")
    if numbers.way and not numbers.wrong.any():
        notes.append(f"ratings: {numbers.way}")
        ratings = [
            cell if gap else f"{x:.12g}" for cell, x, gap in zip(ratings, numbers.values, numbers.missing, strict=True)
        ]
    return _Columns(list(users), list(items), list(ratings), cells.rows.tolist(), notes)


def _by_content(cells: Cells, known: Sequence[int]) -> list[int]:
    """Places of user, item and rating: those that a heading names, else by what the columns hold."""
    free = [k for k in range(len(cells.names)) if k not in known and not _is_time(cells, k)]
    rating = known[2]
    if rating < 0:
        levels = {k: len(set(cells.columns[k])) for k in free if _may_rate(cells.columns[k])}
        if not levels:
            raise InputError(
                f"{cells.where}: no column of ratings among {', '.join(cells.names)}; expected one called rating, "
                f"stars or score, or one that holds at most {MOST_LEVELS} numbers again and again"
            )
        # user, item, rating is the order of most files; else the column with the fewest levels.
        rating = 2 if 2 in levels else min(levels, key=lambda k: levels[k])
    free = [k for k in free if k != rating]
    user = known[0] if known[0] >= 0 else free.pop(0) if free else -1
    item = known[1] if known[1] >= 0 else free.pop(0) if free else -1
    if min(user, item) < 0:
        raise InputError(f"{cells.where}: expected columns of user, item and rating, got {', '.join(cells.names)}")
    return [user, item, rating]


def _is_time(cells: Cells, k: int) -> bool:
    column = cells.columns[k]
    if cells.heading and _plain(cells.names[k]) in TIME:
        return True
    some = column[:PEEK]
    return sum(map(is_date, some)) > 0.5 * len(some) or bool((numbers_of(some).values > EPOCH).mean() > 0.5)


def _may_rate(column: Sequence[str]) -> bool:
    """Whether a column may hold ratings: few values, most of them numbers or none of them."""
    some = column[:PEEK]
    few = 2 <= len(set(column)) <= min(MOST_LEVELS, max(10, len(column) // 2))
    return few and sum(map(is_number, some)) > 0.5 * len(some)


def _netflix(text: Text, into: _Columns, *, named: bool) -> None:
    """Add the ratings of one file; ``named`` says its name in messages, for one of a folder."""
    item, where = "", f"{text.where}, row " if not named else f"{text.where}, line "
    for row, line in enumerate(text.text.splitlines(), 1):
        if not line.strip():
            continue
        if _NETFLIX.match(line):
            item = line.strip()[:-1]
            continue
        cells = line.split(",")
        if len(cells) < 2 or not item:
            raise InputError(f"{where}{row}: expected user,rating,date below a line item:, got {line.strip()[:40]!r}")
        if named and not is_number(cells[1].strip()):
            raise InputError(f"{where}{row}: expected a number as rating, got {cells[1]!r}")
        into.add(row, cells[0], item, cells[1])


def _folder(path: Path) -> _Columns:
    """All text files of a folder, each as Netflix gives one film."""
    files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".txt" and file.name[0] != ".")
    texts = [text_of(file) for file in files]
    if not texts or any(form_of(text) != "netflix" for text in texts):
        raise InputError(
            f"the folder {path} holds neither a public set of ratings nor files .txt in the form of Netflix (a line "
            f"item:, then user,rating,date); pass --data FILE"
        )
    found = _Columns(notes=[f"{len(texts)} files in the form of Netflix; rows count in each file"])
    for text in texts:
        _netflix(text, found, named=True)
    return found


def _matrix(text: Text, mark: str) -> _Columns:
    rows = text.rows(mark)
    items = [name.strip() for name in next((row for _, row in rows if any(row)), [])][1:]
    twice = [name for name, count in Counter(items).items() if count > 1]
    if twice or not items or not all(items):
        what = f"names {twice[0]!r} twice" if twice else "leaves an item without a name" if items else "names no items"
        raise InputError(f"{text.where}: the heading {what}; expected user, item, item, ...")
    found = _Columns(notes=list(text.notes))
    for line, cells in rows:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(items) + 1:
            more = "; blanks at the end of a row have their marks too" if len(cells) <= len(items) else ""
            raise InputError(f"{text.where}, row {line}: expected {len(items) + 1} cells, got {len(cells)}{more}")
        for item, cell in zip(items, cells[1:], strict=True):
            if cell.strip().casefold() not in BLANKS:
                found.add(line, cells[0], item, cell.replace(",", ".") if mark == ";" else cell)
    return found


def _columns(path: Path) -> _Columns:
    if path.is_dir():
        return _folder(path)
    text = text_of(path)
    if not text.text.strip():
        raise InputError(f"{path} is empty; expected user, item and rating, or a matrix with a heading of items")
    form = form_of(text)
    if form == "netflix":
        found = _Columns(notes=list(text.notes))
        _netflix(text, found, named=False)
    elif form == "matrix":
        found = _matrix(text, separator_of(text, _mark(text.text.lstrip().splitlines()[0])))
    elif form == "double colon":
        found = _of_columns(replace(text, text=text.text.replace("::", "\t")), "\t")
    else:
        found = _of_columns(text, separator_of(text, _mark(text.text.lstrip().splitlines()[0])))
    if not found.rows:
        raise InputError(f"{path}: there is no rating in it (read as {form})")
    return found


def read(
    path: str | Path,
    *,
    levels: Sequence[str] | None = None,
    against: Known | Scale | None = None,
    skip_invalid: bool = False,
) -> Ratings:
    """Read a table of ratings.

    Args:
        path: file in any of the formats, also as .gz, or a folder of Netflix's files.
        levels: the levels from the worst to the best; all distinct values in order when None.
        against: the scale, or scale and items, of a model that the ratings must fit.
        skip_invalid: leave out rows that cannot be used.

    Raises:
        InputError: if the file cannot be read, a row is broken, a rating is on none of the levels, a pair comes twice,
            or there is only one level; file and row are named.
    """
    path = Path(path)
    found = _columns(path)
    if against is None and levels is not None:
        against = _scale(levels)
    ratings = table(
        found.users,
        found.items,
        found.ratings,
        rows=found.rows,
        source=str(path),
        against=against,
        skip_invalid=skip_invalid,
    )
    return replace(ratings, notes=(*found.notes, *ratings.notes))


def report(path: Path, *, skip_invalid: bool = False) -> Inventory:
    """What is read of a file: ratings, items and users, levels with their counts, what was assumed and left out.

    Args:
        path: a file or a folder of Netflix's files.
        skip_invalid: leave out rows that cannot be used.

    Raises:
        InputError: as ``read``.
    """
    first, levels, *notes = read(path, skip_invalid=skip_invalid).lines
    return Inventory((first.removeprefix(f"{path}: "), levels), tuple(notes))


def recognises(path: Path) -> str:
    """What kind of ratings a path may be: by the form of its lines, its heading or its ending; empty for none.

    A matrix is no more than a table of numbers, and is not recognised.
    """
    if path.is_dir():
        first = next((file for file in sorted(path.iterdir()) if file.suffix == ".txt" and file.name[0] != "."), None)
        return "a folder of ratings (Netflix)" if first is not None and form_of(text_of(first)) == "netflix" else ""
    name = path.name.lower().removesuffix(".gz")
    if not name.endswith((*OWN, ".csv", ".tsv", ".txt")):
        return ""
    text = text_of(path)
    form = form_of(text)
    if form in {"double colon", "netflix"}:
        return f"ratings ({form})"
    mark = separator_of(text, _mark(next((line for line in text.text.splitlines() if line.strip()), "")))
    if min(_places(_first_row(text, mark))) >= 0:
        return "ratings with a heading of user, item and rating"
    return "ratings" if name.endswith(OWN) else ""


def _scale(levels: Sequence[str]) -> Scale:
    """A scale in the order given: worth their own numbers where these rise, else 0 ... K - 1."""
    names = tuple(level.strip() for level in levels)
    try:
        values = tuple(float(name) for name in names)
        rising = all(a < b for a, b in pairwise(values))
    except ValueError:
        values, rising = (), False
    return Scale(names, values if rising else tuple(float(k) for k in range(len(names))))


def check_ending(path: Path) -> None:
    """Refuse an ending that cannot be written.

    Raises:
        OutputError: if it is not .csv or .tsv, or these with .gz.
    """
    if not path.name.lower().removesuffix(".gz").endswith((".csv", ".tsv")):
        raise OutputError(f"cannot write {path}: expected the ending .csv or .tsv, each also with .gz")


def write(path: Path, columns: dict[str, Sequence[object]], *, overwrite: bool) -> None:
    """Write columns as a table, by the file's ending.

    Raises:
        OutputError: if the ending is unknown, or the file exists and ``overwrite`` is false.
    """
    check_ending(path)
    text = io.StringIO()
    mark = "\t" if ".tsv" in path.name.lower() else ","
    writer = csv.writer(text, delimiter=mark, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    raw = text.getvalue().encode()
    with new_file(path, overwrite=overwrite) as partial:
        partial.write_bytes(gzip.compress(raw, mtime=0) if path.name.lower().endswith(".gz") else raw)
