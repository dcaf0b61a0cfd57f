"""Pictures with attributes: a table beside them or a folder a class, and every way in which they do not fit."""

import numpy as np
import pytest
from PIL import Image

from zsteer.domains.images.labels import read_labels
from zsteer.errors import InputError


@pytest.fixture
def pictures(tmp_path):
    for k in range(6):
        Image.fromarray(np.full((12, 12, 3), 40 * k, np.uint8)).save(tmp_path / f"p{k}.png")
    Image.fromarray(np.zeros((9, 12, 3), np.uint8)).save(tmp_path / "other.png")
    return tmp_path


def table(folder, *rows, name="labels.csv"):
    (folder / name).write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / name


ROWS = [f"p{k}.png,{k / 5:.1f},{k % 2}" for k in range(6)]


def test_a_table_names_pictures_and_their_attributes(pictures):
    found = read_labels(table(pictures, "Image,warm,odd", *ROWS[:5], "p5.png,,1"))
    assert found.pixels.shape == (6, 12, 12, 3)
    assert found.pixels[:, 0, 0, 0].tolist() == [0, 40, 80, 120, 160, 200]
    assert found.values["warm"][:5] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert np.isnan(found.values["warm"][5])
    assert found.values["odd"].tolist() == [0, 1, 0, 1, 0, 1]


def test_a_folder_a_class_gives_an_attribute_a_class(tmp_path):
    for name, level in (("dark", 10), ("light", 200)):
        (tmp_path / name).mkdir()
        for k in range(2):
            Image.fromarray(np.full((12, 12), level + k, np.uint8)).save(tmp_path / name / f"{k}.png")
    found = read_labels(tmp_path)
    assert found.values["light"].tolist() == [0, 0, 1, 1]
    assert found.values["dark"].tolist() == [1, 1, 0, 0]


BROKEN = {
    "an attribute of one value": (["file,a", *(f"p{k}.png,0.5" for k in range(6))], "'a'"),
    "fewer labels than attributes": (["file,a,b,c", "p0.png,0,1,2", "p1.png,1,0,3"], "fewer than the 3"),
    "a name without a file": (["file,a", "p0.png,0", "q1.png,1"], "line 3"),
    "a number that is none": (["file,a", "p0.png,0", "p1.png,many"], "'many'"),
    "another size": (["file,a", "p0.png,0", "p1.png,1", "other.png,2"], "line 4"),
    "no column of names": (["a,b", "1,2", "2,3"], "names the pictures"),
    "no attribute": (["file", "p0.png", "p1.png"], "no attribute"),
    "no value at all": (["file,a,b", "p0.png,,1", "p1.png,,2"], "no number at all"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_does_not_fit_is_named(pictures, case):
    rows, named = BROKEN[case]
    with pytest.raises(InputError) as caught:
        read_labels(table(pictures, *rows))
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rows_that_do_not_fit_are_left_out_on_request(pictures):
    found = read_labels(table(pictures, "file,a", "q.png,9", *(f"p{k}.png,{k}" for k in range(3))), skip_invalid=True)
    assert found.values["a"].tolist() == [0, 1, 2]
    assert len(found.skipped) == 1
    assert "line 2" in found.skipped[0]


def test_a_flat_folder_has_no_attributes(pictures):
    (pictures / "other.png").unlink()
    with pytest.raises(InputError):
        read_labels(pictures)
