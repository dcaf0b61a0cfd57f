"""Settings and fixtures shared by all tests.

One thread per process (two workers share two cores), seeded hypothesis profiles, the ``seed`` and ``measured``
fixtures, and the data folder. zsteer itself is imported inside fixtures only: jaxtyping instruments it first.
"""

import json
import os
from pathlib import Path

import hypothesis
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parent.parent
OTHER_SEEDS = 20

hypothesis.settings.register_profile("default", deadline=None, derandomize=True, max_examples=50, print_blob=False)
hypothesis.settings.register_profile("search", deadline=None, max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_addoption(parser):
    parser.addoption(
        "--other-seeds",
        action="store_true",
        help=f"run every test that takes a seed for {OTHER_SEEDS} further seeds",
    )


def pytest_configure(config):
    import torch

    torch.set_num_threads(1)


def pytest_generate_tests(metafunc):
    own = [str(mark.args[0]) for mark in metafunc.definition.iter_markers("parametrize")]
    if "seed" in metafunc.fixturenames and not any("seed" in names for names in own):
        seeds = range(OTHER_SEEDS + 1 if metafunc.config.getoption("--other-seeds") else 1)
        metafunc.parametrize("seed", seeds)


def pytest_collection_modifyitems(items):
    import torch

    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device")
    for item in items:
        if item.get_closest_marker("cuda"):
            item.add_marker(skip)


@pytest.fixture
def measured(request):
    """Record the error of a lecture test: ``measured(error, "max abs difference from the closed form")``.

    The test carries one ``@pytest.mark.lecture("<id>")``; with several ids name the one that is meant. The value goes
    to build/measured/<id>.json, from where ``python tools/lecture_index.py --record`` takes it into the index.
    """
    marker = request.node.get_closest_marker("lecture")
    if marker is None:
        pytest.fail('the measured fixture is for tests marked @pytest.mark.lecture("<id>")')

    def store(value, what, *, of=None):
        lecture_id = of or marker.args[0]
        assert lecture_id in marker.args, f"{lecture_id} is not among this test's ids {marker.args}"
        path = ROOT / "build" / "measured" / f"{lecture_id}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        row = {"id": lecture_id, "value": float(value), "what": what, "test": request.node.nodeid}
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(row), encoding="utf-8")
        partial.replace(path)

    return store


@pytest.fixture(scope="session")
def data_folder():
    """The folder of the full data sets (ZSTEER_DATA), or a skip that names the variable."""
    folder = os.environ.get("ZSTEER_DATA")
    if not folder:
        pytest.skip("needs the full data: set ZSTEER_DATA to their folder")
    assert Path(folder).is_dir(), f"ZSTEER_DATA={folder} is no folder"
    return Path(folder)
