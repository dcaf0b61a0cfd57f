"""The benchmark of ratings runs and keeps its test part apart."""

import pytest

from zsteer.bench.classical.ratings import tables


@pytest.mark.slow
def test_the_quick_benchmark_beats_the_mean_and_the_gaussian_log_loss(data_folder):
    found = tables(data=data_folder, quick=True, watch=lambda _: None)
    rows = {str(row[0]): row for row in found[0].rows}

    def number(name, column):
        return float(str(rows[name][column]).split(" ")[0])

    assert number("RBM", 1) < 0.9 * number("global mean", 1)
    assert number("RBM", 3) < number("matrix factorisation (ALS)", 3)
    assert "Calibration" in found[1].title
