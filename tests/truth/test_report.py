"""Reports: text, page and JSON say the same; intervals have the values of the tables; nothing in a page is live."""

import json
import math
import re
from html.parser import HTMLParser

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zsteer.errors import InputError
from zsteer.evaluate.report import Block, Report, Table, Value
from zsteer.evaluate.steering import first_of_each, off_target, share

NASTY = "<script>alert(\"1\")</script> & 'quotes' <b>"

TAGS = set(re.findall(r"\w+", "html head meta title style body main h1 h2 p div table thead tbody tr th td ul li"))


def example():
    rows = [
        ["plain", 0.123456, Value(0.5, 0.25, 5), 7],
        [NASTY, math.nan, Value.of([]), 12345],
        ["none", 250.0, Value(3.0), 0],
    ]
    columns = ["what", "number", "value", "count"]
    table = Table(f"T {NASTY}", columns, rows, [f"note {NASTY}"], best="plain")
    block = Block("Picture", "<pre class=seq>C<b>A</b>S</pre>", "C[A]S")
    return Report(f"Title {NASTY}", [f"First {NASTY}.", "Second."], [table], [block], {f"key {NASTY}": NASTY, "n": 3})


class Page(HTMLParser):
    """Tags, attributes and visible text of a page; a table's body as rows of cells."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.rows, self.words, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.words.append(data)
        if self.open and self.open[-1] in {"td", "th"} and self.rows:
            self.rows[-1].append(data)


def test_text_page_and_json_show_the_same_cells():
    report = example()
    page, told = Page(report.to_html()), json.loads(report.to_json())
    shown = [row for row in page.rows if len(row) == 4]
    assert shown == [
        ["what", "number", "value", "count"],
        ["plain", "0.12", "0.50 +- 0.25", "7"],
        [NASTY, "n/a", "n/a", "12,345"],
        ["none", "250.0", "3.00", "0"],
    ]
    lines = [re.split(r"\s{2,}", line.strip()) for line in report.text().splitlines()]
    assert [row for row in lines if len(row) == 4 and not row[0].startswith("-")] == shown
    rows = told["tables"][0]["rows"]
    assert rows[0] == {"what": "plain", "number": 0.123456, "value": {"mean": 0.5, "sd": 0.25, "n": 5}, "count": 7}
    assert rows[1] == {"what": NASTY, "number": None, "value": {"mean": None, "sd": None, "n": 0}, "count": 12345}
    for part in (report.title, *report.summary, report.tables[0].title, report.tables[0].notes[0]):
        assert part in report.text()
        assert part in "".join(page.words)
        assert part in json.dumps(told) or json.dumps(part)[1:-1] in json.dumps(told)
    assert told["facts"] == dict(report.facts)
    assert "C[A]S" in report.text()


def test_json_has_no_nan():
    json.loads(example().to_json(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_a_page_escapes_everything_and_asks_for_nothing():
    page = example().to_html()
    tags = {tag for tag, _ in Page(page).tags}
    assert tags <= TAGS | {"pre", "b"}
    assert NASTY not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"https?:|@import|url\(|src=", page)
    attributes = {name for _, found in Page(page).tags for name in found}
    assert attributes <= {"lang", "charset", "name", "content", "class"}


@given(st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=30))
def test_any_text_stays_text(text):
    report = Report(text, [text], [Table(text, [text], [[text]], [text])], (), {text: text})
    page = Page(report.to_html())
    assert {tag for tag, _ in page.tags} <= TAGS
    assert "".join(page.words).count(text) >= 7 or not text.strip()
    assert json.loads(report.to_json())["title"] == text


def test_the_best_row_alone_is_marked():
    marked = [attrs for tag, attrs in Page(example().to_html()).tags if tag == "tr" and attrs.get("class") == "best"]
    assert len(marked) == 1


def test_a_row_of_another_width_is_refused():
    with pytest.raises(InputError, match="expected 2 cells, got 1"):
        Table("t", ["a", "b"], [["x"]])


def test_a_value_is_mean_and_sample_deviation():
    value = Value.of([1.0, 2.0, 3.0, 4.0])
    assert (value.mean, value.n) == (2.5, 4)
    assert value.sd == pytest.approx(math.sqrt(5 / 3))
    assert Value.of([2.0]).sd is None
    assert math.isnan(Value.of([1.0, math.nan]).mean)


# Wilson's score interval at z = 1.959964, to four digits. 0/10, 1/10 and 10/10 in closed form: the ends of k = 0 are 0
# and z^2 / (n + z^2); those of k = n are n / (n + z^2) and 1. The others: Newcombe, Statistics in Medicine 17 (1998)
# 857-872, table I, method 3.
WILSON = [
    (0, 10, 0.0, 0.2775),
    (10, 10, 0.7225, 1.0),
    (81, 263, 0.2553, 0.3662),
    (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0, 0.1611),
    (1, 29, 0.0061, 0.1718),
]


@pytest.mark.parametrize(("hits", "n", "low", "high"), WILSON)
def test_shares_have_wilsons_interval(hits, n, low, high):
    found = share(torch.arange(n) < hits)
    assert found.n == n
    assert found.value == pytest.approx(hits / n, abs=1e-6)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


@given(st.integers(1, 400), st.data())
def test_an_interval_holds_its_share_and_mirrors(n, data):
    hits = data.draw(st.integers(0, n))
    found, mirrored = share(torch.arange(n) < hits), share(torch.arange(n) < n - hits)
    assert 0 <= found.low <= found.value + 1e-9
    assert found.value <= found.high + 1e-9 <= 1 + 1e-9
    # Float32 means of zeros and ones are exact to 6e-8.
    assert found.low == pytest.approx(1 - mirrored.high, abs=1e-6)


def test_a_share_of_nothing_is_refused():
    with pytest.raises(InputError, match="at least one sample"):
        share(torch.zeros(0, dtype=torch.bool))


def test_off_target_leaves_the_target_out():
    passes = torch.tensor([[True, False, False], [True, True, False], [False, False, True], [False, False, False]])
    assert off_target(passes, 0).tolist() == [False, True, True, False]
    assert passes[0, 0]


@given(st.lists(st.integers(0, 5), max_size=30))
def test_the_first_of_each_counts_once(names):
    found = first_of_each(torch.tensor(names, dtype=torch.long))
    assert [name for name, first in zip(names, found.tolist(), strict=True) if first] == list(dict.fromkeys(names))
