"""``zsteer evaluate`` for molecules: samples beside data and shuffled data, in one table each."""

import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest
from tests.made_molecules import DRUGS, built, changed, data_set, without_bonds

from zsteer import api
from zsteer.cli.main import main
from zsteer.core.rng import Streams
from zsteer.domains.molecules.container import Molecules
from zsteer.domains.molecules.files import write_molecules
from zsteer.domains.molecules.metrics.chemist import perceived
from zsteer.domains.molecules.metrics.graph import verdicts
from zsteer.errors import InputError, MissingExtraError
from zsteer.evaluate.intervals import Draws
from zsteer.evaluate.report import Interval
from zsteer.kits.molecules.metrics.profile import GROUPS, elements, groups, shuffled, values
from zsteer.kits.molecules.report import Sets, edm_2022

NAMES = [name for name in DRUGS if name != "acetate"]


def some(times=2):
    return built(*(NAMES * times))


def parted(molecules):
    """With a split: every second molecule is held out."""
    words = np.where(np.arange(len(molecules)) % 2 == 0, "train", "test")
    return replace(molecules, split=words)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("molecules")
    broken = Molecules.cat([changed(built("ethanol"), "z", 0, 8), some(1)])
    write_molecules(folder / "samples.sdf", broken)
    write_molecules(folder / "heavy.npz", some(1).heavy())
    write_molecules(folder / "places.xyz", some(1))
    write_molecules(folder / "real.npz", parted(some()))
    return folder


def table(report, title):
    (found,) = [one for one in report.tables if title in one.title]
    return {row[0]: dict(zip(found.columns, row, strict=True)) for row in found.rows}


def test_every_table_has_the_three_rows(files):
    report = api.evaluate(files / "samples.sdf", protocol="geom-revisited", reference=files / "real.npz")
    for one in report.tables:
        if one.columns[0] == "set":
            names = [row[0] for row in one.rows]
            assert names == (["samples", "data"] if one.title == "Elements" else ["samples", "data", "shuffled"])
    graphs = table(report, "Graphs")
    assert graphs["samples"]["valid"].value == pytest.approx(12 / 13)
    assert graphs["data"]["valid"].value == 1.0
    assert graphs["shuffled"]["valid"].value < 0.2
    assert any("refused" in note for one in report.tables for note in one.notes)


def test_copies_of_the_known_are_not_novel(files):
    report = api.evaluate(files / "samples.sdf", protocol="geom-revisited", reference=files / "real.npz")
    names = table(report, "novelty")
    assert names["samples"]["novel (SMILES)"].value < 1
    assert names["samples"]["unique (SMILES)"].value == 1


def test_the_lookup_protocol(files):
    report = api.evaluate(files / "samples.sdf", protocol="edm-2022", reference=files / "real.npz")
    rows = table(report, "edm-2022")
    assert rows["data"]["molecules stable"].value < 0.7  # benzene rings: the protocol's fault, seen in the data row
    assert rows["data"]["molecules stable"].low < rows["data"]["molecules stable"].high
    assert rows["shuffled"]["atoms stable"].value < rows["data"]["atoms stable"].value
    assert any("single bonds only" in note for note in report.tables[0].notes)  # sulfur is not in QM9


def test_files_without_bonds_have_them_perceived(files):
    report = api.evaluate(files / "places.xyz", protocol="geom-revisited", reference=files / "real.npz")
    assert any("those of 12 molecules were read from coordinates; 0 others" in line for line in report.summary)
    assert table(report, "Graphs")["samples"]["valid"].value == 1.0


def test_what_is_not_perceived_stays_and_is_invalid():
    bare = without_bonds(built("ethanol", "benzene", "aspirin"))
    apart = changed(bare, "xyz", 3, np.float32(40.0))  # an atom of ethanol that went away
    found, failed = perceived(apart)
    assert failed <= 1
    assert found.smiles.tolist() == bare.smiles.tolist()
    assert verdicts(found).valid.tolist() == [False, True, True]


def test_counted_hydrogens_are_compared_with_counted_ones(files):
    report = api.evaluate(files / "heavy.npz", protocol="geom-revisited", reference=files / "real.npz")
    assert any("hydrogens are counted" in line for line in report.summary)
    assert table(report, "Graphs")["samples"]["valid"].value == 1.0
    assert table(report, "valency")["samples"]["molecules stable"].value == 1.0


def test_the_command_prints_json_and_writes_a_page(files, tmp_path, capsys):
    words = ["evaluate", str(files / "samples.sdf"), "--protocol", "edm-2022", "--reference", str(files / "real.npz")]
    assert main([*words, "--json", "--report", str(tmp_path / "page.html")]) == 0
    told = json.loads(capsys.readouterr().out)
    rows = told["tables"][0]["rows"]
    assert [row["set"] for row in rows] == ["samples", "data", "shuffled"]
    assert set(rows[0]["valid"]) == {"value", "low", "high", "n"}
    assert told["facts"]["protocol"] == "edm-2022"
    assert len(told["facts"]["reference"]) == 64
    assert "edm-2022" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_the_same_seed_gives_the_same_report(files):
    pair = [
        api.evaluate(files / "samples.sdf", protocol="edm-2022", reference=files / "real.npz", seed=3).to_json()
        for _ in range(2)
    ]
    assert pair[0] == pair[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({}, "needs --reference FILE"),
        ({"reference": "nowhere.sdf"}, "there is no such file"),
        ({"reference": "real.npz", "toward": {"qed": 1}}, "takes no --toward"),
        ({"reference": "real.npz", "models": "somewhere"}, "asks no model"),
    ],
)
def test_what_is_not_taken_is_refused(files, words, message):
    words = {key: str(files / value) if key == "reference" else value for key, value in words.items()}
    with pytest.raises(InputError, match=message):
        api.evaluate(files / "samples.sdf", protocol="edm-2022", **words)


def test_too_few_molecules_are_refused():
    with pytest.raises(InputError, match="at least 10 samples, got 2"):
        Sets.of(built("ethanol", "benzene"), parted(some()), Streams.of(0, 1))


def test_other_things_than_molecules_are_refused(files):
    with pytest.raises(InputError, match=r"expected a file of molecules.*got list"):
        api.evaluate([1, 2], protocol="edm-2022", reference=files / "real.npz")


@pytest.mark.skipif(importlib.util.find_spec("posebusters") is not None, reason="PoseBusters is installed")
def test_without_posebusters_its_protocol_names_the_extra(files):
    with pytest.raises(MissingExtraError, match=r"zsteer\[eval\]"):
        api.evaluate(files / "samples.sdf", protocol="posebusters", reference=files / "real.npz")


@pytest.mark.skipif(importlib.util.find_spec("tblite") is not None, reason="tblite is installed")
def test_without_tblite_strain_names_the_extra(files):
    with pytest.raises(MissingExtraError, match=r"zsteer\[qm\]"):
        api.evaluate(files / "samples.sdf", protocol="strain", reference=files / "real.npz")


@pytest.mark.slow
def test_posebusters_passes_real_molecules_and_fails_broken_ones(files):
    pytest.importorskip("posebusters", reason="the extra eval is not installed")
    report = api.evaluate(files / "samples.sdf", protocol="posebusters-fast", reference=files / "real.npz")
    rows = {row[0]: row for row in report.tables[0].rows}
    assert rows["data"][1].value == 1.0
    assert rows["samples"][1].value == pytest.approx(12 / 13)
    assert rows["shuffled"][1].value < 0.2
    assert report.facts["configuration"].startswith("posebusters ")
    assert "mol_fast" in report.facts["configuration"]


def test_strain_sees_moved_atoms():
    pytest.importorskip("tblite", reason="the extra qm is not installed")
    from zsteer.kits.molecules.metrics.strain import strain

    calm = built("ethanol", "glycine")
    noise = 0.05 * Streams.of(0, 1).normal("noise", (len(calm.z), 3))[0].numpy()
    moved = replace(calm, xyz=calm.xyz + noise)
    near, far, heavy = (strain(verdicts(one)) for one in (calm, moved, calm.heavy()))
    assert (near.energy < 8).all()  # MMFF's minimum is not GFN2's
    assert (far.energy > near.energy + 5).all()
    assert (heavy.energy < near.energy + 0.5).all()  # hydrogens relax first
    assert heavy.heavy == pytest.approx(heavy.energy)  # nothing is left of them to relax
    assert (far.heavy < far.energy - 1).all()  # moved hydrogens carry a part of it
    assert (near.heavy <= near.energy + 1e-6).all()
    assert not far.failed.any()
    assert "GFN2-xTB" in far.configuration


def test_dipoles_are_those_of_the_data(data_folder):
    """The data folder's dipoles come from the same method at the same geometry, rounded to .0005 angstrom."""
    pytest.importorskip("tblite", reason="the extra qm is not installed")
    from zsteer.kits.molecules.metrics.strain import dipoles

    name = "qm9_etkdg_gfn2.npz"
    real = data_set(data_folder, name, n=8, start=60_000)
    with np.load(data_folder / "molecules" / name, allow_pickle=False) as file:
        known = file["mu_debye"][60_000:60_008]
    assert dipoles(verdicts(real)) == pytest.approx(known, abs=0.02)
    broken = dipoles(verdicts(changed(real, "z", 0, 9)))
    assert np.isnan(broken[0])
    assert np.isfinite(broken[1:]).all()
    assert np.isfinite(dipoles(verdicts(real.take([0]).heavy()))).all()  # placed hydrogens turn as they like


def test_shuffling_keeps_composition_places_and_bonds(seed):
    molecules = some()
    mixed = shuffled(molecules, Streams.of(seed, len(molecules)))
    assert elements(mixed) == elements(molecules)
    assert (mixed.xyz == molecules.xyz).all()
    assert (mixed.bonds == molecules.bonds).all()
    for i in range(len(molecules)):
        span = slice(molecules.offsets[i], molecules.offsets[i + 1])
        pair = [sorted(zip(one.z[span], one.charge[span], strict=True)) for one in (mixed, molecules)]
        assert pair[0] == pair[1]
    assert (mixed.z != molecules.z).any()
    few = shuffled(molecules.take(slice(0, 3)), Streams.of(seed, 3))
    assert (few.z == mixed.take(slice(0, 3)).z).all() or int(molecules.sizes.max()) != int(few.sizes.max())


def test_counted_hydrogens_are_elements_too():
    assert elements(some().heavy()) == pytest.approx(elements(some()))


def test_groups_of_known_molecules():
    found = groups(verdicts(built("aspirin", "ethanol", "nitrobenzene", "sulfanilamide", "paracetamol")))
    has = [{name for name, hit in zip(GROUPS, row, strict=True) if hit} for row in found]
    assert has[0] == {"acid or its anion", "ester", "aromatic ring", "ring"}
    assert has[1] == {"alcohol"}
    assert has[2] == {"nitro", "aromatic ring", "ring"}
    assert {"sulfonyl", "amine"} <= has[3]
    assert {"phenol", "amide"} <= has[4]


def test_values_of_invalid_molecules_are_not_there():
    found = values(verdicts(Molecules.cat([built("aspirin"), changed(built("ethanol"), "z", 0, 8)])))
    assert found["qed"][0] == pytest.approx(0.55, abs=0.01)  # aspirin's published QED
    assert np.isnan([value[1] for value in found.values()]).all()


def test_interval_of_a_share_is_that_of_the_binomial(seed):
    """The middle 95 % of a binomial of n = 400 and p = 0.25 is 0.25 +- 1.96 * 0.0217; 200 draws know it to a sixth."""
    hits = np.arange(400) % 4 == 0
    found = Draws.of(400, Streams.of(seed, 1)).ratio(hits)
    assert found.value == 0.25
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * np.sqrt(0.25 * 0.75 / 400), rel=0.3)
    assert found.low < 0.25 < found.high


def test_nothing_has_no_interval():
    draws = Draws.of(0, Streams.of(0, 1))
    none = draws.ratio(np.zeros(0, bool))
    assert str(none) == "n/a"
    assert none.n == 0
    assert str(Draws.of(3, Streams.of(0, 1)).mean(np.full(3, np.nan))) == "n/a"


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(0.5, 0.4, 0.6, 10), "0.500 [0.400, 0.600]"),
        (Interval(0.0012, 0.001, 0.0015, 10), "0.0012 [0.0010, 0.0015]"),
        (Interval(55.21, 40.0, 70.0, 10), "55.2 [40.0, 70.0]"),
        (Interval(0.5, float("nan"), float("nan"), 10), "0.500"),
    ],
)
def test_intervals_in_words(interval, text):
    assert str(interval) == text


def test_data_stand_for_themselves(data_folder):
    """Held-out real molecules as samples: as good as the data row in every figure, but for chance."""
    real = data_set(data_folder, "qm9_etkdg_gfn2.npz", n=400, start=40_000)
    sets = Sets.of(real.take(slice(0, None, 4)), real.take(slice(1, None, 2)), Streams.of(0, 1))
    rows = {row[0]: row for row in edm_2022(sets, title="data").tables[0].rows}
    samples, data = rows["samples"][2], rows["data"][2]
    assert samples.low <= data.high
    assert data.low <= samples.high
    assert rows["shuffled"][2].value == 0.0


@pytest.mark.slow
def test_the_benchmark_counts_as_the_plain_loop_does(data_folder):
    from zsteer.bench.molecules.evaluator import evaluator

    cost, beside = evaluator(data=data_folder, quick=True, watch=[].append)
    assert [row[0] for row in cost.rows][3] == "all of these"
    rows = {row[0]: row for row in beside.rows}
    assert "fetch it" in rows["e3_diffusion_for_molecules"][4]
    assert rows["a plain double loop (ours)"][4] == "equal"


def test_a_sorted_file_is_no_biased_reference(data_folder):
    """Sets are often sorted by size; what some tables ask of a part of them must not see the small ones alone."""
    real = data_set(data_folder, "qm9_etkdg_gfn2.npz", n=400, start=100)  # from four heavy atoms to six
    real = real.take(np.argsort(real.sizes, kind="stable"))
    sets = Sets.of(real.take(slice(0, None, 8)), real, Streams.of(0, 1))
    half = len(sets.known) // 2
    first, last = (sets.known.take(part).sizes.mean() for part in (slice(0, half), slice(half, None)))
    assert abs(first - last) < 4 * real.sizes.std() / np.sqrt(half)  # two standard errors of the difference, twice
    assert sorted(sets.rows["samples"].sizes) == sorted(real.take(slice(0, None, 8)).sizes)


def test_molecules_without_bonds_are_refused_by_the_report():
    bare = without_bonds(some(1))
    from zsteer.kits.molecules.tables import geom_revisited

    with pytest.raises(InputError, match="no bonds"):
        geom_revisited(Sets.of(bare, without_bonds(some()), Streams.of(0, 1)), title="x")
