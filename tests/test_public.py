"""The public names: sorted, all there, and sample, steer and evaluate are verbs whatever was imported before."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import zsteer

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent / "src")}

PROGRAM = """
import zsteer
{before}
from zsteer import evaluate, sample, steer
from zsteer.errors import InputError
for call in (
    lambda: zsteer.sample("nowhere", 1),
    lambda: zsteer.steer("nowhere", toward={{}}),
    lambda: zsteer.evaluate("x", protocol="nowhere", toward={{}}),
    lambda: sample("nowhere", 1),
    lambda: steer("nowhere", toward={{}}),
    lambda: evaluate("x", protocol="nowhere", toward={{}}),
):
    try:
        call()
    except InputError as error:
        assert "nowhere" in str(error)
    else:
        raise SystemExit("no error")
"""


def test_the_public_names_are_sorted_and_there():
    assert zsteer.__all__ == sorted(zsteer.__all__)
    assert all(getattr(zsteer, name) is not None for name in zsteer.__all__)
    assert dir(zsteer) == zsteer.__all__
    with pytest.raises(AttributeError, match="no attribute 'sampler'"):
        zsteer.sampler  # noqa: B018


@pytest.mark.parametrize("before", ["", "import zsteer.sample.beam, zsteer.steer.beam_edit, zsteer.evaluate.report"])
def test_verbs_are_called_whatever_was_imported_before(before):
    program = PROGRAM.format(before=before)
    done = subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_verb_shows_the_signature_of_its_function():
    from zsteer import api

    assert inspect.signature(zsteer.sample) == inspect.signature(api.sample)
    assert "protocol" in inspect.signature(zsteer.evaluate).parameters
