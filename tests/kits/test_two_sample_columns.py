"""Two tables are compared column by column: what one file lacks is named with both; the headline says how many rows."""

import pytest
import torch

import zsteer
from zsteer.core.rng import Streams
from zsteer.domains.tables.files import write
from zsteer.errors import InputError
from zsteer.evaluate.two_sample import _sizes


def table(path, names, n=100, seed=0):
    x = Streams.of(seed, n).normal("x", (len(names),), dtype=torch.float64).numpy()
    write(path, {name: x[:, k] for k, name in enumerate(names)}, overwrite=False)
    return path


@pytest.mark.parametrize(("own", "other", "first"), [("xyz", "xy", "own"), ("xy", "xyz", "other")])
def test_a_column_that_one_file_lacks_is_named_with_both(tmp_path, own, other, first):
    paths = {"own": table(tmp_path / "own.csv", own), "other": table(tmp_path / "other.csv", other)}
    with pytest.raises(InputError, match=rf"{first}\.csv has the column 'z', and .*\.csv has none"):
        zsteer.evaluate(paths["own"], protocol="two-sample", reference=paths["other"])


def test_the_headline_says_how_many_rows_were_compared():
    line = _sizes(60_000, 100_000, 5000, 1000)[0]
    assert all(number in line for number in ("1,000", "5,000", "60,000", "100,000"))
    assert _sizes(100, 200, 100, 100) == []
    assert _sizes(100, 900, 100, 100)
