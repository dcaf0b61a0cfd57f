"""Every public format gives the same table, and everything broken is named by file and row."""

import gzip

import pytest
import torch

from zsteer.domains.ratings import data, files
from zsteer.domains.ratings.space import Known, Scale, table
from zsteer.errors import InputError, OutputError

TRIPLES = [("1", "a", "4"), ("1", "b", "2"), ("2", "a", "5"), ("3", "c", "2")]
TEXTS = {
    "u.data": "1\t10\t4\t88\n1\t20\t2\t88\n2\t10\t5\t88\n3\t30\t2\t88\n",
    "ratings.dat": "1::10::4::88\n1::20::2::88\n2::10::5::88\n3::30::2::88\n",
    "ratings.csv": "userId,movieId,rating,timestamp\r\n1,10,4.0,88\r\n1,20,2.0,88\r\n2,10,5.0,88\r\n3,30,2.0,88\r\n",
    "books.csv": "user_id,book_id,rating\n1,10,4\n1,20,2\n2,10,5\n3,30,2\n",
    "plain.csv": "\ufeffitem,rating,user\n10,4,1\n20,2,1\n10,5,2\n30,2,3\n",
    "combined_data_1.txt": "10:\n1,4,2005-01-01\n2,5,2005-01-01\n20:\n1,2,2005-01-01\n30:\n3,2,2005-01-01\n",
    "set.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t10\t4\t8\n1\t20\t2\t8\n2\t10\t5\t8\n"
    "3\t30\t2\t8\n",
    "matrix.csv": "user,10,20,30\n1,4,2,\n2,5,?,\n3,,NA,2\n",
}


def content(ratings):
    return {
        (ratings.users[u], ratings.items[i], ratings.scale.values[k])
        for u, i, k in zip(ratings.user.tolist(), ratings.item.tolist(), ratings.level.tolist(), strict=True)
    }


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("packed", [False, True])
def test_every_format_gives_the_same_table(name, packed, tmp_path):
    path = tmp_path / (name + ".gz" if packed else name)
    raw = TEXTS[name].encode()
    path.write_bytes(gzip.compress(raw) if packed else raw)
    found = files.read(path)
    assert content(found) == {("1", "10", 4.0), ("1", "20", 2.0), ("2", "10", 5.0), ("3", "30", 2.0)}
    assert found.scale.values == (2.0, 4.0, 5.0)
    assert bool((found.user.diff() >= 0).all())
    assert found.starts.tolist() == [0, 2, 3, 4]


def test_columns_in_memory_give_a_table():
    found = table(*zip(*TRIPLES, strict=True))
    assert content(found) == {(u, i, float(r)) for u, i, r in TRIPLES}


def test_text_levels_are_ordered(tmp_path):
    (tmp_path / "likes.csv").write_text("u,A,B\nx,Like,Dislike\ny,like,\n")
    assert files.read(tmp_path / "likes.csv").scale == Scale(("Dislike", "Like"), (0.0, 1.0))
    (tmp_path / "own.csv").write_text("user,item,rating\nx,A,soso\nx,B,great\n")
    with pytest.raises(InputError, match=r"great.*--levels"):
        files.read(tmp_path / "own.csv")
    assert files.read(tmp_path / "own.csv", levels=["soso", "great"]).scale.names == ("soso", "great")


BROKEN = {
    "unparsable": ("user,item,rating\n1,a,4\n1,b,four\n", "row 3: expected a number as rating, got 'four'"),
    "infinite": ("user,item,rating\n1,a,4\n1,b,inf\n", "row 3: expected a number"),
    "twice": ("user,item,rating\n1,a,4\n1,b,5\n1,a,3\n", "row 4: user '1' rates item 'a' again; .* row 2"),
    "one level": ("user,item,rating\n1,a,4\n1,b,4.0\n", "every rating is 4"),
    "one text level": ("u,A,B\nx,Like,Like\n", "every rating is 'Like'"),
    "no cell": ("user,item,rating\n1,a,4\n1,,3\n", "row 3: expected a user and an item"),
    "short row": ("user,item,rating\n1,a,4\n1,b\n", "3: expected 3 cells, got 2"),
    "long row": ("user,A,B\nx,1,2\ny,1,2,3\n", "3: expected 3 cells, got 4"),
    "no rating": ("user,A,B\nx,,?\n", "there is no rating in it"),
    "empty": ("\n \n", "is empty"),
    "heading twice": ("user,A,A\nx,1,2\n", "names 'A' twice"),
    "measurements": ("user,item,rating\n" + "".join(f"1,{k},{k / 7}\n" for k in range(200)), "200 distinct"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_named(case, tmp_path):
    text, message = BROKEN[case]
    path = tmp_path / "broken.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        files.read(path)
    assert str(path) in str(caught.value)


def test_a_rating_outside_the_levels_and_an_unknown_item_are_named(tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("user,item,rating\n1,a,4\n1,b,9\n1,c,5\n")
    scale = Scale(("4", "5"), (4.0, 5.0))
    with pytest.raises(InputError, match="row 3: the rating '9' is none of the levels 4, 5"):
        files.read(path, against=scale)
    path.write_text("user,item,rating\n1,a,4\n1,c,5\n")
    with pytest.raises(InputError, match="row 3: the item 'c' is unknown to the model"):
        files.read(path, against=Known(["a", "b"], scale))
    found = files.read(path, against=Known(["a", "b"], scale), skip_invalid=True)
    assert len(found) == 1
    assert [entry.row for entry in found.skipped] == [3]


def test_a_damaged_archive_and_a_missing_file_are_named(tmp_path):
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(b"user,item,rating\n1,a,2\n")[:-9])
    with pytest.raises(InputError, match="gzip"):
        files.read(tmp_path / "x.csv.gz")
    with pytest.raises(InputError, match="there is no such file"):
        files.read(tmp_path / "none.csv")


def test_what_is_written_can_be_read(tmp_path):
    columns = {"user": ["1", "1"], "item": ["a", "b"], "rating": [4, 5]}
    for name in ("out.csv", "out.tsv.gz"):
        files.write(tmp_path / name, columns, overwrite=False)
        assert content(files.read(tmp_path / name)) == {("1", "a", 4.0), ("1", "b", 5.0)}
    with pytest.raises(OutputError, match="expected the ending"):
        files.check_ending(tmp_path / "out.xls")


def many(seed, n=400):
    from zsteer.core.rng import Streams

    rng = Streams.of(seed, 1)
    pairs = rng.permutation("pair", 40 * 30)[0][:n]
    level = rng.integers("level", 5, (n,))[0]
    return table([f"u{k // 30}" for k in pairs.tolist()], [f"i{k % 30}" for k in pairs.tolist()], level.tolist())


def test_the_parts_of_a_split_are_disjoint_and_whole(seed):
    ratings = many(seed)
    parts = data.split(ratings, seed)
    sizes = [len(part) for part in (parts.train, parts.valid, parts.test)]
    assert sizes == [324, 36, 40]
    assert set.union(*(content(part) for part in (parts.train, parts.valid, parts.test))) == content(ratings)
    with pytest.raises(InputError, match="test part of 400 ratings is empty"):
        data.split(ratings, seed, test=0.001)


def test_a_core_has_enough_of_everyone(seed):
    part = data.core(many(seed), 5)
    assert int(torch.bincount(part.user).min()) >= 5
    assert int(torch.bincount(part.item).min()) >= 5
    with pytest.raises(InputError, match="at least 1000 ratings"):
        data.core(part, 1000)


def test_a_batch_holds_each_users_ratings(seed):
    ratings = many(seed)
    x = ratings.batch(torch.tensor([3, 0]))
    for row, user in enumerate((3, 0)):
        own = ratings.item[ratings.user == user]
        assert x["items"][row][x.mask[row]].tolist() == own.tolist()


@pytest.mark.slow
def test_the_public_sets_are_what_they_should_be(data_folder):
    path, _ = data.find("movietweetings", data_folder)
    whole = files.read(path)
    assert (len(whole), len(whole.users), len(whole.items)) == (100_000, 16_554, 10_506)
    assert torch.bincount(whole.level).tolist()[:3] == [12, 1212, 1124]
    part = data.core(whole, 10)
    assert (len(part), len(part.users), len(part.items)) == (44_613, 2_059, 1_099)
    small = files.read(data.find("ml-latest-small", data_folder)[0])
    assert (len(small), len(small.users), len(small.items), len(small.scale)) == (100_836, 610, 9_724, 10)
    with pytest.raises(InputError, match="did you mean"):
        data.find("movietweeting", data_folder)


@pytest.mark.parametrize("row", ["bob,4", "bob,4,2,1,5"])
def test_a_row_of_a_matrix_has_a_cell_for_each_item(tmp_path, row):
    (tmp_path / "m.csv").write_text(f"user,A,B,C\nann,5,,3\n{row}\ncy,,1,5\n")
    with pytest.raises(InputError, match="row 3: expected 4 cells"):
        files.read(tmp_path / "m.csv")
