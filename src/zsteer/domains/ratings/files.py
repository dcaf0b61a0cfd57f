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

The format is detected from the content. Rows are lines of the file, so that the heading of a csv is row 1. In memory,
use ``space.table`` with three columns. A byte-order mark and Windows line ends are accepted.
"""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from zsteer.core.files import new_file
from zsteer.domains.ratings.space import BLANKS, Known, Ratings, Scale, table
from zsteer.errors import InputError, OutputError

__all__ = ["FORMATS", "check_ending", "form_of", "read", "write"]

USER = ("user", "userid", "uid", "reviewerid", "customerid")
ITEM = ("item", "itemid", "iid", "movie", "movieid", "book", "bookid", "product", "productid", "asin", "business")
RATING = ("rating", "ratings", "stars", "score", "overall")
_NETFLIX = re.compile(r"^\s*[^,\t]+:\s*$")


@dataclass
class _Columns:
    """Columns as they stand in a file, with their lines."""

    users: list[str] = field(default_factory=list)
    items: list[str] = field(default_factory=list)
    ratings: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)

    def add(self, row: int, user: str, item: str, rating: str) -> None:
        self.users.append(user)
        self.items.append(item)
        self.ratings.append(rating)
        self.rows.append(row)


def _text(path: Path) -> str:
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if path.name.lower().endswith(".gz") else raw).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text: {error}") from error


def _lines(text: str) -> list[tuple[int, str]]:
    return [(row, line) for row, line in enumerate(text.splitlines(), 1) if line.strip()]


def _plain(name: str) -> str:
    """A column's name without its type, marks and capitals: ``User_ID:token`` is ``userid``."""
    return re.sub(r"[^a-z]", "", name.split(":", maxsplit=1)[0].casefold())


def _heading(names: Sequence[str]) -> tuple[int, int, int] | None:
    """Places of user, item and rating in a heading, or None if it is none."""
    plain = [_plain(name) for name in names]
    found = [next((plain.index(name) for name in known if name in plain), -1) for known in (USER, ITEM, RATING)]
    return (found[0], found[1], found[2]) if min(found) >= 0 else None


def _cut(cells: Sequence[str], row: int, path: Path, at: tuple[int, int, int], into: _Columns) -> None:
    if len(cells) <= max(at):
        raise InputError(f"{path}, row {row}: expected at least {max(at) + 1} cells, got {len(cells)}")
    into.add(row, *(cells[k] for k in at))


def _by_mark(mark: str) -> Callable[[str, Path], _Columns]:
    def parse(text: str, path: Path) -> _Columns:
        found = _Columns()
        for row, line in _lines(text):
            _cut(line.split(mark), row, path, (0, 1, 2), found)
        return found

    return parse


def _by_heading(mark: str) -> Callable[[str, Path], _Columns]:
    def parse(text: str, path: Path) -> _Columns:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
        at = _heading(next(reader))
        if at is None:
            raise InputError(f"{path}: expected a heading with user, item and rating")
        found = _Columns()
        for cells in reader:
            if any(cell.strip() for cell in cells):
                _cut(cells, reader.line_num, path, at, found)
        return found

    return parse


def _netflix(text: str, path: Path) -> _Columns:
    found, item = _Columns(), ""
    for row, line in _lines(text):
        if _NETFLIX.match(line):
            item = line.strip()[:-1]
            continue
        cells = line.split(",")
        if len(cells) < 2:
            raise InputError(f"{path}, row {row}: expected user,rating,date, got {line.strip()[:40]!r}")
        found.add(row, cells[0], item, cells[1])
    return found


def _matrix(text: str, path: Path) -> _Columns:
    mark = _mark(text.splitlines()[0])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
    items = [name.strip() for name in next(reader)][1:]
    twice = [name for k, name in enumerate(items) if name in items[:k]]
    if twice or not items or not all(items):
        what = f"names {twice[0]!r} twice" if twice else "leaves an item without a name" if items else "names no items"
        raise InputError(f"{path}: the heading {what}; expected user, item, item, ...")
    found = _Columns()
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(items) + 1:
            raise InputError(f"{path}, row {reader.line_num}: expected {len(items) + 1} cells, got {len(cells)}")
        for item, cell in zip(items, cells[1:], strict=False):
            if cell.strip().casefold() not in BLANKS:
                found.add(reader.line_num, cells[0], item, cell)
    return found


FORMATS: dict[str, Callable[[str, Path], _Columns]] = {
    "tab": _by_mark("\t"),
    "double colon": _by_mark("::"),
    "csv": _by_heading(","),
    "tsv": _by_heading("\t"),
    "netflix": _netflix,
    "matrix": _matrix,
}
"""Name of a format -> its reader; RecBole's .inter is a tsv whose heading names types."""


def _mark(line: str) -> str:
    return max(("\t", ",", ";"), key=line.count)


def form_of(text: str) -> str:
    """The format of a text, detected from its first line.

    Returns:
        One of ``FORMATS``.
    """
    first = next((line for line in text.splitlines() if line.strip()), "")
    if "::" in first:
        return "double colon"
    if _NETFLIX.match(first):
        return "netflix"
    mark = _mark(first)
    cells = next(csv.reader([first], delimiter=mark))
    if _heading(cells) is not None and mark != ";":
        return "tsv" if mark == "\t" else "csv"
    # Without a heading there are only numbers: u.data.
    if mark == "\t" and len(cells) in {3, 4} and all(re.fullmatch(r"[-+.\d]+", cell.strip()) for cell in cells):
        return "tab"
    return "matrix"


def read(
    path: str | Path,
    *,
    levels: Sequence[str] | None = None,
    against: Known | Scale | None = None,
    skip_invalid: bool = False,
) -> Ratings:
    """Read a table of ratings.

    Args:
        path: file in any of ``FORMATS``, also as .gz.
        levels: the levels from the worst to the best; all distinct values in order when None.
        against: the scale, or scale and items, of a model that the ratings must fit.
        skip_invalid: leave out rows that cannot be used.

    Raises:
        InputError: if the file cannot be read, a row is broken, a rating is on none of the levels, a pair comes twice,
            or there is only one level; file and row are named.
    """
    path = Path(path)
    text = _text(path)
    if not text.strip():
        raise InputError(f"{path} is empty; expected user, item and rating, or a matrix with a heading of items")
    form = form_of(text)
    found = FORMATS[form](text, path)
    if not found.rows:
        raise InputError(f"{path}: there is no rating in it (read as {form})")
    if against is None and levels is not None:
        against = _scale(levels)
    return table(
        found.users,
        found.items,
        found.ratings,
        rows=found.rows,
        source=str(path),
        against=against,
        skip_invalid=skip_invalid,
    )


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
