"""Ratings as people have them: what was taken for what is said, and levels are never made up."""

import pytest

from zsteer.domains.ratings.data import dataset_of, find
from zsteer.domains.ratings.files import read
from zsteer.errors import InputError

ROWS = [(f"u{k % 9}", f"film {k // 9}", 1 + (k * k + k // 9) % 5) for k in range(63)]


def written(make, heading="", rows=ROWS):
    return "\n".join([*([heading] if heading else []), *(make(*row) for row in rows)]) + "\n"


FORMS = {
    "heading": written(lambda u, i, r: f"{u},{i},{r}", "user,item,rating").encode(),
    "semicolons, decimal commas": written(lambda u, i, r: f"{u};{i};{r},0", "user;item;rating").encode(),
    "no heading": written(lambda u, i, r: f"{u},{i},{r}.0").encode(),
    "no heading, numbers alone": written(lambda u, i, r: f"{u[1:]},{i[5:]},{r},97830{u[1:]}100").encode(),
    "no heading, other order": written(lambda u, i, r: f"{r}\t{u}\t{i}\t20:15").encode(),
    "unknown heading": written(lambda u, i, r: f"{u},{i},{r}", "who,what,how much").encode(),
    "rating without a name": written(lambda u, i, r: f"2005-01-02,{i},{u},{r}", "when,item,user,x").encode(),
    "Book-Crossing": written(lambda u, i, r: f'"{u}";"{i}";"{r}"', '"User-ID";"ISBN";"Book-Rating"').encode("latin-1"),
    "UTF-16": written(lambda u, i, r: f"{u}\t{i}\t{r}", "user\titem\trating").encode("utf-16"),
    "Latin-1": written(lambda u, i, r: f"{u},{i},{r},é", "user,item,rating,note").encode("latin-1"),
}


def content(ratings):
    """Ratings by the number that ends a name, so that names may differ."""
    columns = zip(ratings.user.tolist(), ratings.item.tolist(), ratings.level.tolist(), strict=True)
    last = [
        (ratings.users[u].split()[-1].strip("u"), ratings.items[i].split()[-1], ratings.scale.values[k])
        for u, i, k in columns
    ]
    return set(last)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_ratings(tmp_path, form):
    (tmp_path / "r.csv").write_bytes(FORMS[form])
    found = read(tmp_path / "r.csv")
    assert content(found) == {(u.strip("u"), i.split()[-1], float(r)) for u, i, r in ROWS}
    assert int(found.row.min()) == (1 if form.startswith("no heading") else 2)
    assert bool(found.notes) == (form not in {"heading", "Book-Crossing"})
    if form.startswith(("no heading", "unknown", "rating without")):
        assert any("rating '" in note for note in found.notes)


def test_a_folder_in_the_form_of_netflix_is_the_users_own(tmp_path):
    for item in (1, 2, 3):
        text = f"{item}:\n" + "".join(f"{user},{1 + (user + item) % 5},2005-01-0{item}\n" for user in range(1, 8))
        (tmp_path / f"mv_000{item}.txt").write_text(text)
    assert dataset_of("auto", tmp_path) == "own"
    assert find("auto", tmp_path)[0] == tmp_path
    found = read(tmp_path)
    assert (len(found), list(found.items)) == (21, ["1", "2", "3"])
    (tmp_path / "mv_0002.txt").write_text("2:\n1,x,2005-01-01\n")
    with pytest.raises(InputError, match=r"mv_0002\.txt, line 2"):
        read(tmp_path)
    with pytest.raises(InputError, match=r"no file or folder .*absent"):
        dataset_of("ml-latest-small", tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty.*--data FILE"):
        read(tmp_path / "empty")


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("no ratings", written(lambda u, i, _: f"{u},{i},97830{u[1:]}0100", "user,item,time"), "no column of ratings"),
        (
            "words",
            written(lambda u, i, r: f"{u},{i},{['awful', 'bad', 'ok', 'good', 'great'][r - 1]}", "user,item,rating"),
            "awful.*--levels",
        ),
        (
            "a typo",
            written(lambda u, i, r: f"{u},{i},{r}", "user,item,rating", [*ROWS[:-1], ("u8", "film 6", 55)]),
            "row 64: the rating 55 .*1 ... 5.*--levels",
        ),
        (
            "a mark of nothing",
            written(lambda u, i, r: f"{u},{i},{r}", "user,item,rating", [("u0", "film 0", -99), *ROWS[1:]]),
            "row 2: the rating -99",
        ),
        ("one user alone", "user,rating\na,1\na,2\n", "user, item and rating"),
    ],
)
def test_what_cannot_be_taken_for_ratings_is_refused(tmp_path, name, text, hint):
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(InputError, match=hint):
        read(tmp_path / "r.csv")


def test_levels_that_are_declared_are_taken(tmp_path):
    words = ["awful", "bad", "ok", "good", "great"]
    (tmp_path / "r.csv").write_text(written(lambda u, i, r: f"{u},{i},{words[r - 1]}", "user,item,rating"))
    assert read(tmp_path / "r.csv", levels=words).scale.names == tuple(words)
    (tmp_path / "r.csv").write_text(
        written(lambda u, i, r: f"{u},{i},{r}", "user,item,rating", [*ROWS[:-1], ("u8", "film 6", 6)])
    )
    assert "seen once: level 6" in read(tmp_path / "r.csv").notes[-1]


def test_a_pair_that_comes_again_is_left_out_on_request(tmp_path):
    text = written(lambda u, i, r: f"{u},{i},{r}", "user,item,rating", [*ROWS, ROWS[0], ("u1", "film 9", "n/a")])
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(InputError, match="row 66: expected a number"):
        read(tmp_path / "r.csv")
    found = read(tmp_path / "r.csv", skip_invalid=True)
    assert len(found) == 63
    assert [entry.row for entry in found.skipped] == [65, 66]


def test_what_was_read_is_said_in_words(tmp_path):
    (tmp_path / "r.csv").write_bytes(FORMS["no heading"])
    lines = read(tmp_path / "r.csv").lines
    assert "63 ratings of 7 items by 9 users" in lines[0]
    assert lines[1].startswith("levels: 1 ")
    assert "user 'column_1', item 'column_2', rating 'column_3'" in lines[2]
