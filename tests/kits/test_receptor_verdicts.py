"""Receptors judged in blocks: the figures of the whole, an evaluation that goes on, likeness by a fit on the others."""

from dataclasses import dataclass

import pytest
import torch

import zsteer
from zsteer.core.batch import Batch
from zsteer.core.cache import cache_folder
from zsteer.errors import InputError
from zsteer.kits.sequences import protocol
from zsteer.kits.sequences.blocks import in_order
from zsteer.kits.sequences.verdicts import Peptide
from zsteer.models.dwae.target import Resemblance

GOAL = {"binds": "YLQPRTFLL"}


@pytest.fixture
def designs(tmp_path, monkeypatch):
    """Receptors beside others as their templates, one of them none; the cache is the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = zsteer.sample("tcr-lm", 21, seed=4).items
    rows = [f"{text},{made[k - 1] if k else ''}" for k, text in enumerate(made)]
    path = tmp_path / "designs.csv"
    path.write_text("\n".join(["junction_aa,template", *rows, rows[3]]) + "\n")
    return path


def test_blocks_give_the_report_of_the_whole(designs, monkeypatch):
    whole = zsteer.evaluate(designs, protocol="tcr", toward=GOAL)
    assert not (cache_folder() / "receptor-verdicts").exists()
    monkeypatch.setattr(protocol, "BLOCK", 8)
    blocks = zsteer.evaluate(designs, protocol="tcr", toward=GOAL)
    assert blocks.to_json() == whole.to_json()
    assert [block.fragment for block in blocks.blocks] == [block.fragment for block in whole.blocks]
    rows = {row[0]: row for table in whole.tables for row in table.rows}
    assert rows["distinct"][1] == pytest.approx(21 / 22)
    assert rows["distinct"][4] == 22
    assert rows["templates"][1] == 21  # an empty cell is no template
    assert rows["drawn background"][1] == 1000


def test_an_evaluation_that_stopped_goes_on(designs, monkeypatch):
    monkeypatch.setattr(protocol, "BLOCK", 8)
    monkeypatch.setattr(protocol, "free_threads", lambda: 1)
    judged, plain = [], Peptide.verdicts
    monkeypatch.setattr(Peptide, "verdicts", lambda self, rows: judged.append(len(rows)) or plain(self, rows))

    def stop(record):
        if record["step"] == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        zsteer.evaluate(designs, protocol="tcr", toward=GOAL, watch=stop)
    first, seen = sum(judged), []
    assert 8 <= first < 22
    report = zsteer.evaluate(designs, protocol="tcr", toward=GOAL, watch=seen.append)
    assert sum(judged) == 22  # nothing is judged twice
    assert seen[-1] == {"step": 22, "steps": 22}
    assert report.facts["sequences"] == 22
    assert not list((cache_folder() / "receptor-verdicts").iterdir())
    # Another question takes nothing over.
    with pytest.raises(KeyboardInterrupt):
        zsteer.evaluate(designs, protocol="tcr", toward=GOAL, watch=stop)
    judged.clear()
    zsteer.evaluate(designs, protocol="tcr", toward={"binds": "GILGFVFTL"})
    assert sum(judged) == 22


def test_known_binders_stand_beside_designs(designs, tmp_path):
    known = tmp_path / "known.csv"
    known.write_text("cdr3b\nCASSPDIVAYEQYF\nCASSQDLGTEAFF\n")
    report = zsteer.evaluate(designs, protocol="tcr", toward=GOAL, reference=known)
    assert {row[0]: row[1] for row in report.tables[2].rows}["known binders"] == 2
    page = report.to_html()
    assert "known binders (n = 2)" in page
    assert page.count("<svg") == 4
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    with pytest.raises(InputError, match="reference"):
        zsteer.evaluate(designs, protocol="tcr", toward={"like": str(known)}, reference=known)


def test_results_of_blocks_keep_their_order():
    for threads in (1, 3):
        done = []
        found = in_order(
            [[1, 2], [3], [4, 5], [6]],
            lambda number, block: (number, sum(block)),
            lambda number: "kept" if number == 2 else None,
            threads=threads,
            watch=done.append,
        )
        assert found == [(0, 3), (1, 3), "kept", (3, 6)]
        assert done[-1] == 6
        assert done == sorted(done)


@dataclass
class _Axes:
    """A model whose code of a sequence is its tokens."""

    typical: torch.Tensor
    bank = mean = bias = omega = panel = None  # of the protocol, and not needed here

    def psi(self, z_f: torch.Tensor) -> torch.Tensor:
        return z_f

    def functional(self, x: Batch) -> torch.Tensor:
        return x["tokens"].float()


def test_an_example_is_scored_by_the_others_alone():
    model = _Axes(torch.stack([torch.zeros(3), torch.tensor([1.0, 2.0, 1.0])]))
    examples = torch.tensor([[1, 0, 0], [0, 2, 0], [1, 0, 0], [2, 0, 0]])
    found = Resemblance(model, examples.float(), torch.tensor([7, 9, 7, 8]))
    others = Batch({"tokens": torch.tensor([[1, 0, 0], [-1, 0, 0], [0, 0, 5], [0, 0, 0]])})
    left = found.leave_one_out(others)
    # Without its copy the first has the mean (1, 1, 0) of the rest; the axis with twice the spread counts a quarter.
    assert torch.allclose(left.score, torch.tensor([1.0, 2 * 2 / 3, 0.0]))
    assert torch.allclose(left.below, torch.tensor([7 / 8, 1.0, 4 / 8]).double())
    assert torch.allclose(found(others).mean, torch.tensor([1.0, -1.0, 0.0, 0.0]))
    with pytest.raises(InputError, match="two distinct"):
        Resemblance(model, examples[:1].float(), torch.tensor([7])).leave_one_out(others)


def test_likeness_is_told_with_the_designs_and_in_the_report(designs, tmp_path):
    out = zsteer.load("tcr-dwae", device="cpu").steer(
        ["CASSLGQAYEQYF"], toward={"like": str(designs)}, max_edits=1, width=2, pool=4
    )
    assert out.facts["leave_one_out"].startswith("AUC 0.")
    assert "(n = 21 examples" in out.facts["leave_one_out"]
    area = float(out.columns["leave_one_out_auc"][0])
    # Draws of the model that the others are drawn from are like nothing in particular.
    assert 0.3 < area < 0.7
    report = zsteer.evaluate(designs, protocol="tcr", toward={"like": str(designs)})
    assert report.tables[2].rows[1][1].value == pytest.approx(area, abs=1e-3)
    alone = tmp_path / "one.csv"
    alone.write_text("cdr3b\nCASSPDIVAYEQYF\n")
    lonely = zsteer.evaluate(designs, protocol="tcr", toward={"like": str(alone)})
    assert any("two distinct" in line for line in lonely.summary)
