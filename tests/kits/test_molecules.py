"""What a user is offered for molecules: streams, shapes, kept fragments, and options that have no meaning."""

import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdMolDescriptors
from tests.chains import CONDITIONS, small

from zsteer.cli.main import main
from zsteer.core.catalog import load_model
from zsteer.core.goal import Budget, Goal
from zsteer.core.rng import Streams
from zsteer.domains.molecules.chemistry import from_rdkit
from zsteer.domains.molecules.expectation import asphericity, radius_of_gyration
from zsteer.domains.molecules.space import MoleculeSpace
from zsteer.errors import InputError, SettingsError, ZsteerError
from zsteer.kits import front
from zsteer.kits.base import Subject
from zsteer.kits.molecules.keep import kept_atoms
from zsteer.kits.molecules.kit import formula
from zsteer.maths import geometry
from zsteer.models.edm.states import states_of
from zsteer.recipes.molecules.learnt import groups_of
from zsteer.steer.keep import KeepAtoms
from zsteer.steer.sampling import sample_by

DRUGS = ("CC(=O)Oc1ccccc1C(=O)O", "CC(C)Cc1ccc(cc1)C(C)C(=O)O", "CN1C=NC2=C1C(=O)N(C)C(=O)N2C", "NCCc1ccc(O)c(O)c1")
ORGANIC = {"kinds": ((6, 0, 0), (7, 0, 0), (8, 0, 0)), "largest": 16}


def embedded(smiles=DRUGS):
    """Heavy atoms of drugs with one conformer, and RDKit's molecules with their hydrogens."""
    mols = [Chem.AddHs(Chem.MolFromSmiles(one)) for one in smiles]
    for mol in mols:
        assert rdDistGeom.EmbedMolecule(mol, randomSeed=7) == 0
    return from_rdkit(mols).heavy(), mols


def subject(**values):
    return Subject(small(**{**CONDITIONS, **values}), None, torch.device("cpu"))


def encoded(model, molecules):
    described = {key: value for key, value in model.space.items() if key != "bonded"}
    return MoleculeSpace.of(described).encode(molecules)


def test_a_sample_depends_on_its_stream_alone():
    options = {"steps": 3, "max_retries": 1}
    many, few = (front.sample(subject(), n, given={"mu": 2.5}, options=options, seed=5) for n in (5, 2))
    assert len(many) == len(many.lines) == 5
    first = many.items.molecules.take(np.arange(2))
    assert np.array_equal(first.z, few.items.molecules.z)
    # Sums of float32 in another order where batches differ in size.
    assert np.allclose(first.xyz, few.items.molecules.xyz, atol=1e-4)
    assert [formula(first, i) for i in range(2)] == [formula(few.items.molecules, i) for i in range(2)]
    assert many.facts["valid"] == "1.000" or many.facts["draws"] == 2


def test_samples_tell_what_is_not_valid():
    made = front.sample(subject(), 5, given={}, options={"steps": 2, "max_retries": 0}, seed=1)
    assert len(made.items.problems) == len(made.objects) == 5
    for problem, mol, line in zip(made.items.problems, made.objects, made.lines, strict=True):
        assert (mol is None) == bool(problem) == ("invalid" in line)
    valid = sum(not problem for problem in made.items.problems) / 5
    assert made.facts["valid"] == f"{valid:.3f}"


def test_conditions_may_differ_between_samples_and_sizes_may_be_given():
    x, facts = sample_by(small(**CONDITIONS), 4, {"steps": 2, "mu": [1.0, 2.0, 3.0, 4.0], "atoms": 5}, Streams.of(0, 4))
    assert x.mask is not None
    assert x.mask.sum(1).tolist() == [5] * 4
    assert facts["solver"] == "sde2"
    with pytest.warns(UserWarning, match="mu.*outside of the training set"):
        front.sample(subject(), 2, given={"mu": 9.0}, options={"steps": 2}, seed=0)


@pytest.mark.parametrize(
    ("given", "options", "named"),
    [
        ({"atoms": "many"}, {}, "atoms"),
        ({"atoms": "60"}, {}, "atoms"),
        ({"weight": "3"}, {}, "weight"),
        ({"tries": "2"}, {}, "--max-retries"),
        ({}, {"max_retries": -1}, "max_retries"),
        ({}, {"autoguidance": 2}, "autoguidance"),
    ],
)
def test_options_without_meaning_are_refused(given, options, named):
    with pytest.raises(ZsteerError, match=named):
        front.sample(subject(), 2, given=given, options={"steps": 2, **options}, seed=0)


def test_shapes_are_those_of_the_descriptors():
    molecules, mols = embedded()
    model = small(kinds=ORGANIC["kinds"], largest=20, unit=2.0, properties=())
    for group in groups_of(molecules):
        size = group["z"].shape[1]
        sized = model.for_size(size)
        state = states_of(model.settings, sized.noise, group, size, like=torch.zeros(1, dtype=torch.float64))
        row = int(np.flatnonzero(molecules.sizes == size)[0])
        expected = sized.expectation(state)
        # One-hot rows are taken back from float64; hydrogens are counted exactly.
        assert abs(float(expected.mass[0].sum()) - rdMolDescriptors.CalcExactMolWt(mols[row])) < 0.5
        # Hydrogens stand at their heavy atom here, and 1 angstrom from it there.
        assert abs(float(asphericity(expected)[0]) - rdMolDescriptors.CalcAsphericity(mols[row])) < 0.06
        assert abs(float(radius_of_gyration(expected)[0]) - rdMolDescriptors.CalcRadiusOfGyration(mols[row])) < 0.35
    with pytest.raises(InputError, match="roundness"):
        front.steer(subject(), None, front.Request(Goal(toward={"roundness": 1})))


def test_a_kept_fragment_is_in_every_prediction(seed):
    molecules, _ = embedded(DRUGS[:1])
    model = small(**ORGANIC)
    atoms = kept_atoms(molecules, 0, {"scaffold": "murcko"})
    assert len(atoms) == 6
    known = model.fragment(encoded(model, molecules), 0, torch.from_numpy(atoms))
    sized, rng = model.for_size(10), Streams.of(seed, 3)
    inner = sized.denoiser(None, 3)
    keep = KeepAtoms(inner, known)
    x = sized.noise.prior(sized.like(3, rng), rng)
    with torch.no_grad():
        parts = sized.noise.split(keep.predict(x, torch.full((3,), 0.5)).x0)
    ring = parts["xyz"][:, :6]
    gap = geometry.distances(ring) - geometry.distances(known["xyz"])
    # Rotations of float32.
    assert float(gap.abs().max()) < 1e-5
    assert float(parts["xyz"].mean(1).abs().max()) < 1e-5
    assert torch.equal(parts["kinds"][:, :6], known["kinds"].expand(3, -1, -1))
    i, j = torch.triu_indices(10, 10, 1)
    assert torch.equal(parts["bonds"][:, (i < 6) & (j < 6)], known["bonds"].expand(3, -1, -1))
    with pytest.raises(SettingsError, match="keep"):
        KeepAtoms(model.for_size(6).denoiser(None, 3), known)


def test_molecules_are_made_around_what_is_kept():
    molecules, mols = embedded(DRUGS[:1])
    one = subject(**ORGANIC)
    kit = front.kit_of("molecules")
    goal = Goal(toward={"asphericity": "0.4"}, keep={"pattern": "c1ccccc1"})
    request = front.Request(goal, budget=Budget(top=2), options={"steps": 3, "max_retries": 0})
    made = front.steer(one, kit.take(mols, one), request)
    assert len(made) == 2
    assert made.facts["kept"] == "pattern=c1ccccc1"
    assert made.items.molecules.sizes.tolist() == [13, 13]
    atoms = torch.from_numpy(kept_atoms(molecules, 0, {"pattern": "c1ccccc1"}))
    ring = one.model.fragment(encoded(one.model, molecules), 0, atoms)["xyz"]
    unit = one.model.settings.unit
    for i in range(2):
        xyz = torch.from_numpy(made.items.molecules.take([i]).xyz[:6])
        # The last prediction is the sample; the step to t = 0 adds nothing.
        assert float((geometry.distances(xyz) - unit * geometry.distances(ring)).abs().max()) < 1e-3


@pytest.mark.parametrize(
    ("goal", "named"),
    [
        (Goal(toward={"asphericity": "0.3"}, keep={"scaffold": "murcko"}), "--input"),
        (Goal(toward={"asphericity+": "0.1"}, given={"atoms": 5}), "--input"),
        (Goal(toward={"weight": "2"}), "weight"),
        (Goal(toward={"mu": "2"}, given={"guide": "qm9-properties"}), "--guide"),
        (Goal(toward={"asphericity": "much"}), "asphericity"),
        (Goal(toward={"asphericity": "3"}), "asphericity"),
        (Goal(toward={"asphericity": "0.3"}, keep={"ring": "1"}), "ring"),
        (Goal(toward={}), "--toward"),
    ],
)
def test_goals_without_meaning_are_refused(goal, named):
    with pytest.raises(ZsteerError, match=named):
        front.steer(subject(), None, front.Request(goal, by="guide", number=2, options={"steps": 2}))


@pytest.mark.parametrize(
    ("keep", "named"),
    [
        ({"scaffold": "bemis"}, "murcko"),
        ({"pattern": "((("}, "SMARTS"),
        ({"pattern": "[#17]"}, "none of its 13 atoms"),
        ({"pattern": "*", "scaffold": "murcko"}, "one of"),
    ],
)
def test_what_cannot_be_kept_is_refused(keep, named):
    one, kit = subject(**ORGANIC), front.kit_of("molecules")
    with pytest.raises(InputError, match=named):
        kit.parts(one, keep, kit.take(embedded(DRUGS[:1])[1], one))


def test_the_number_of_steps_may_be_chosen():
    x, facts = sample_by(small(**CONDITIONS), 12, {"steps": "auto", "solver": "ddim"}, Streams.of(0, 12))
    assert len(x) == 12
    assert isinstance(facts["steps"], int) and "spread" in facts["error"]


def moved(wanted, **options):
    """The mean asphericity of what a steer makes."""
    request = front.Request(
        Goal(toward={"asphericity": wanted}, given={"atoms": 9}),
        by="guide",
        number=12,
        options={"steps": 20, **options},
    )
    found = front.steer(Subject(load_model("qm9-edm"), None, torch.device("cpu")), None, request)
    return np.nanmean([float(value) if value else np.nan for value in found.columns["asphericity"]])


@pytest.mark.slow
def test_the_pull_leads_to_the_value_that_is_wanted():
    """The sign of guidance by a measure: rods where rods are wanted, spheres where spheres are."""
    low, high = moved(0.1), moved(0.7)
    assert low < 0.25 and high > 0.5
    assert moved("down", strength=2) < moved("up", strength=2) - 0.1


@pytest.mark.filterwarnings("default")
def test_a_value_outside_of_the_training_set_is_a_note_on_the_command_line(capsys):
    for value, force in (("12", []), ("20", ["--force"])):
        line = ["sample", "qm9-edm", "-n", "1", "--given", f"mu={value}", "--steps", "2", "--max-retries", "0"]
        assert main([*line, *force]) == 0
        said = capsys.readouterr().err
        assert said.startswith(f"zsteer: note: mu={value} ") and "(0.00773 ... 8.8)" in said
        assert said.count("\n") == 1
        # Further away than the range is wide it is refused.
        assert main(line) == (2 if force else 0)
        assert ("--force" in capsys.readouterr().err) == bool(force)
