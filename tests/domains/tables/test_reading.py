"""Tables as people have them: what a file leaves unsaid is found, bad cells are named by line, columns keep kinds."""

import gzip

import numpy as np
import pandas as pd
import pytest
import torch

from zsteer.core.batch import Batch
from zsteer.core.cells import read_cells
from zsteer.core.numerals import numbers_of, written
from zsteer.domains.tables.files import Reading, read, report, write
from zsteer.domains.tables.space import TableSpace
from zsteer.errors import InputError, MissingExtraError
from zsteer.recipes.own import OwnFile
from zsteer.recipes.sets import load_set

AGES = [31 + (7 * k) % 40 for k in range(30)]
PAY = [1200.5 + 17.25 * ((11 * k) % 30) for k in range(30)]


def lines(make, heading="age,pay"):
    rows = [make(age, pay) for age, pay in zip(AGES, PAY, strict=True)]
    return "\n".join([heading, *rows] if heading else rows) + "\n"


def german(number):
    return f"{number:,.2f}".replace(",", " ").replace(".", ",").replace(" ", ".")


WAYS = {
    "plain": lines(lambda a, p: f"{a},{p}").encode(),
    "semicolons and decimal commas": lines(lambda a, p: f"{a};{str(p).replace('.', ',')}", "age;pay").encode(),
    "points between thousands": lines(lambda a, p: f"{a};{german(p)}", "age;pay").encode(),
    "commas between thousands": lines(lambda a, p: f'{a},"{p:,.2f}"').encode(),
    "tabs": lines(lambda a, p: f"{a}\t{p}", "age\tpay").encode(),
    "bars and spaces": lines(lambda a, p: f" {a} | {p} ", " age | pay ").encode(),
    "byte-order mark, Windows lines": b"\xef\xbb\xbf" + lines(lambda a, p: f"{a},{p}").replace("\n", "\r\n").encode(),
    "UTF-16": lines(lambda a, p: f"{a},{p}").encode("utf-16"),
    "blank lines": ("\n" + lines(lambda a, p: f"{a},{p}\n")).encode(),
    "an index without a name": lines(lambda a, p: f"{AGES.index(a)},{a},{p}", ",age,pay").encode(),
    "pandas' index": lines(lambda a, p: f"{AGES.index(a)},{a},{p}", "Unnamed: 0,age,pay").encode(),
    "ids": lines(lambda a, p: f"{70000 + a * 1013},{a},{p}", "customer_id,age,pay").encode(),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_table_is_the_same_in_every_way_of_writing(tmp_path, way):
    (tmp_path / "t.csv").write_bytes(WAYS[way])
    ages = np.array(AGES, dtype=float)
    found = read(tmp_path / "t.csv")
    assert list(found.columns) == ["age", "pay"]
    assert np.array_equal(found.columns["age"], ages)
    assert np.allclose(found.columns["pay"], PAY)
    assert len(found) == 30
    assert bool(found.notes) == (
        way not in {"plain", "tabs", "bars and spaces", "byte-order mark, Windows lines", "blank lines"}
    )


def test_latin_letters_and_packed_files_are_read(tmp_path):
    text = "café;größe\n" + "".join(f"Zoë;{k}\nÅse;{k + 0.5}\n" for k in range(15))
    (tmp_path / "t.csv").write_bytes(text.encode("latin-1"))
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(text.encode()))
    first, second = read(tmp_path / "t.csv"), read(tmp_path / "t.csv.gz")
    assert list(first.columns) == list(second.columns) == ["café", "größe"]
    assert set(first.columns["café"]) == {"Zoë", "Åse"}
    assert first.notes
    assert not second.notes


def test_no_row_is_lost_for_a_heading(tmp_path):
    (tmp_path / "t.csv").write_text(lines(lambda a, p: f"{a},{p}", ""))
    found = read(tmp_path / "t.csv")
    assert list(found.columns) == ["column_1", "column_2"]
    assert np.array_equal(found.columns["column_1"], AGES)
    assert found.rows[0] == 1
    assert "no heading" in found.notes[0]
    (tmp_path / "t.csv").write_text("left,right\n" + "a,b\nb,a\n" * 10)  # texts alone: a row that never comes again
    assert list(read(tmp_path / "t.csv").columns) == ["left", "right"]


@pytest.mark.parametrize("ending", [".xlsx", ".parquet"])
def test_sheets_and_parquet_files_are_read(tmp_path, ending):
    frame = pd.DataFrame({"age": AGES, "pay": PAY, "town": ["Rome", "Oslo", "Paris"] * 10, "on": [True, False] * 15})
    path = tmp_path / f"t{ending}"
    frame.to_excel(path, index=False) if ending == ".xlsx" else frame.to_parquet(path)
    found = read(path)
    assert np.array_equal(found.columns["age"], AGES)
    assert np.array_equal(found.columns["pay"], PAY)
    assert found.columns["town"].tolist() == frame["town"].tolist()
    assert set(found.columns["on"]) == {"True", "False"}
    frame.loc[4, "pay"] = None
    frame.to_excel(path, index=False) if ending == ".xlsx" else frame.to_parquet(path)
    with pytest.raises(InputError, match=f"row {6 if ending == '.xlsx' else 5}: column 'pay'"):
        read(path)
    path.write_bytes(b"no such file")
    with pytest.raises(InputError, match=path.name):
        read(path)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    pd.DataFrame({"a": [1, 2]}).to_parquet(tmp_path / "t.parquet")

    def fail(*_, **__):
        raise ImportError

    monkeypatch.setattr(pd, "read_parquet", fail)
    with pytest.raises(MissingExtraError, match="pyarrow"):
        read_cells(tmp_path / "t.parquet")


BAD = {
    "NA": ("NA", "line 9: column 'age'"),
    "empty": ("", "line 9: column 'age' is empty"),
    "nan": ("nan", "line 9: column 'age'"),
    "infinite": ("inf", "line 9: column 'age': expected a finite number, got 'inf'"),
    "text": ("n.b.", "line 9: column 'age': expected a number, got 'n.b.'.*--categorical 'age'"),
    "underscore": ("1_000", "line 9: column 'age': expected a number"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_cell_is_named_by_its_line_of_the_file(tmp_path, case):
    cell, hint = BAD[case]
    rows = lines(lambda a, p: f"{a},{p}").splitlines()
    rows[8] = f"{cell},1300"
    (tmp_path / "t.csv").write_text("\n".join(rows))
    with pytest.raises(InputError, match=rf"t\.csv, {hint}.*--skip-invalid"):
        load_set("own", tmp_path / "t.csv")
    sets = load_set("own", tmp_path / "t.csv", own=OwnFile(skip_invalid=True))
    assert sum(len(part) for part in (sets.train, sets.valid, sets.test)) == 29
    assert sets.origin["left_out"].startswith("1 rows: line 9")
    assert any(line.startswith("left out: 1 rows") for line in sets.lines)
    assert [column["kind"] for column in sets.datum.space["columns"]] == ["whole", "real"]


def test_a_bad_number_of_an_array_is_named_by_its_row(tmp_path):
    values = np.array([AGES, PAY]).T
    values[3, 1] = np.nan
    np.save(tmp_path / "t.npy", values)
    with pytest.raises(InputError, match="row 4: column 'x2'"):
        read(tmp_path / "t.npy")
    found = read(tmp_path / "t.npy", Reading(skip_invalid=True, leave_out=["x1"]))
    assert len(found) == 29
    assert list(found.columns) == ["x2"]


@pytest.mark.parametrize(
    ("heading", "make", "hint"),
    [
        ("when,pay", lambda k: f"2021-07-{k + 1:02d},{PAY[k]}", "'when' holds days.*--leave-out 'when'"),
        ("when,pay", lambda k: f"{k + 1}.7.2021,{PAY[k]}", "'when' holds days"),
        ("same,pay", lambda k: f"3,{PAY[k]}", "'same' is constant.*--leave-out 'same'"),
        ("word,pay", lambda k: f"w{k},{PAY[k]}", "'word' holds 30 different texts.*'w.*--leave-out 'word'"),
        ("a,,b", lambda k: f"{PAY[k]},x,1", "column 2 without a name"),
        ("id,pay", lambda k: f"{k},", "'pay' is empty"),
    ],
)
def test_a_column_that_is_not_learnt_is_named(tmp_path, heading, make, hint):
    (tmp_path / "t.csv").write_text("\n".join([heading, *map(make, range(30))]))
    with pytest.raises(InputError, match=hint):
        load_set("own", tmp_path / "t.csv")


def test_columns_are_declared_and_left_out_by_name(tmp_path):
    (tmp_path / "t.csv").write_text(
        "zone,pay,day\n" + "".join(f"{k % 3 + 1},{PAY[k]},2021-07-{k + 1:02d}\n" for k in range(30))
    )
    sets = load_set("own", tmp_path / "t.csv", own=OwnFile(categorical=("zone",), leave_out=("day",)))
    space = TableSpace.of(sets.datum.space)
    assert [(column.name, column.kind) for column in space.columns] == [("zone", "category"), ("pay", "real")]
    assert "zone (1 10, 2 10, 3 10)" in sets.lines[1]
    with pytest.raises(InputError, match="did you mean 'zone'"):
        load_set("own", tmp_path / "t.csv", own=OwnFile(categorical=("zones",)))
    # What a model knows as a category is read as one without being declared again.
    again = read(tmp_path / "t.csv", Reading(leave_out=("day",), kinds={"zone": "category", "pay": "number"}))
    assert again.columns["zone"].tolist()[:3] == ["1", "2", "3"]


def test_what_comes_back_is_what_the_column_was():
    table = {
        "flag": np.array([0.0, 1, 1, 0]),
        "count": np.array([0.0, 3, 11, 2]),
        "price": np.array([1.25, 7.5, 3.75, 2.5]),
        "id": np.array([1000150.0, 1000273, 1000422, 1000599]),
    }
    space = TableSpace.learn(table, where="t.csv")
    assert TableSpace.of(space.settings()) == space
    far = Batch({"x": 5 * torch.tensor([[-1.0, 1, 1, 1], [1, -1, -1, -1], [0.09, 0.1, 0.1, 0.1]])})
    made = space.decode(far)
    assert made["flag"].tolist() == [0, 1, 0]
    assert made["count"].tolist()[:2] == [11, 0]
    assert all(value == round(value) for value in made["count"])
    assert all(value == round(value, 2) for value in made["price"])
    assert [written(value) for value in made["id"]][:2] == ["1000599", "1000150"]
    for name, values in space.decode(space.encode(table)).items():
        assert np.array_equal(values, table[name]), name


def test_all_digits_are_written_and_read_again(tmp_path):
    values = {"id": np.array([1000150.0, 12345678901.0]), "x": np.array([0.1, -2.5e-7])}
    write(tmp_path / "t.csv", values, overwrite=False)
    assert (tmp_path / "t.csv").read_text().splitlines()[1] == "1000150,0.1"
    again = read(tmp_path / "t.csv").columns
    assert all(np.array_equal(again[name], values[name]) for name in values)


def test_a_column_has_one_way_of_writing_numbers():
    assert numbers_of(["1,234", "2,345.5"]).values.tolist() == [1234, 2345.5]
    assert numbers_of(["1,234", "2,5"]).values.tolist() == [1.234, 2.5]
    assert numbers_of(["1,234"], comma=True).values.tolist() == [1.234]
    assert numbers_of(["1'234", "1\u202f000"]).values.tolist() == [1234, 1000]
    mixed = numbers_of(["1.5", "2.5", "3,5", "?"])
    assert mixed.wrong.tolist() == [False, False, True, False]
    assert mixed.missing.tolist() == [False, False, False, True]


def test_a_row_after_a_quoted_line_break_keeps_its_line(tmp_path):
    (tmp_path / "t.csv").write_text('a,b\n1,"x\ny"\n2,z\n3\n')
    with pytest.raises(InputError, match="line 5: expected 2 cells, got 1"):
        read_cells(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text('a,b\n1,"x\ny"\n2,z\n,z\n')
    assert read_cells(tmp_path / "t.csv").rows.tolist() == [2, 4, 5]


def test_a_report_says_what_is_read(tmp_path):
    (tmp_path / "t.csv").write_text("town;x\n" + "Rome;1,5\nOslo;2,5\nRome;3,5\n" * 3 + "Oslo;\n")
    with pytest.raises(InputError, match="line 11"):
        report(tmp_path / "t.csv")
    found = report(tmp_path / "t.csv", skip_invalid=True)
    assert found.lines == ("9 rows; 2 columns", "categories: town (Rome 6, Oslo 3); numbers: x")
    assert any("decimal comma" in line for line in found.notes)
    assert "line 11" in found.notes[-1]
