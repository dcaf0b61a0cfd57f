"""What a user is offered for molecules: streams, tries, shapes, kept fragments, and words that have no meaning."""

import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdMolDescriptors
from tests.chains import CONDITIONS, small

from zsteer.cli.main import main
from zsteer.core.goal import Budget, Goal
from zsteer.core.rng import Streams
from zsteer.domains.molecules.chemistry import from_rdkit
from zsteer.errors import InputError, SettingsError
from zsteer.kits.molecules.keep import kept_atoms, known_of
from zsteer.kits.molecules.kit import MoleculeKit, formula
from zsteer.kits.molecules.options import MoleculeKnobs
from zsteer.kits.molecules.sampling import walked_by_size
from zsteer.kits.molecules.shapes import masses_of, measure_of
from zsteer.maths import geometry
from zsteer.models.edm.states import parts_of, states_of
from zsteer.recipes.molecules.learnt import groups_of
from zsteer.steer.keep import KeepAtoms

DRUGS = ("CC(=O)Oc1ccccc1C(=O)O", "CC(C)Cc1ccc(cc1)C(C)C(=O)O", "CN1C=NC2=C1C(=O)N(C)C(=O)N2C", "NCCc1ccc(O)c(O)c1")


def embedded(smiles=DRUGS):
    """Heavy atoms of drugs with one conformer, and RDKit's molecules with their hydrogens."""
    mols = [Chem.AddHs(Chem.MolFromSmiles(one)) for one in smiles]
    for mol in mols:
        assert rdDistGeom.EmbedMolecule(mol, randomSeed=7) == 0
    return from_rdkit(mols).heavy(), mols


def kit(**values):
    return MoleculeKit(small(**{**CONDITIONS, **values}), None, torch.device("cpu"))


def test_a_sample_depends_on_its_stream_alone():
    given = {"steps": "3", "mu": "2.5", "tries": "2"}
    many, few = (kit().sample(n, given, Streams.of(5, n)) for n in (5, 2))
    assert len(many) == len(many.lines) == 5
    first = many.molecules.take(np.arange(2))
    assert np.array_equal(first.z, few.molecules.z)
    # Sums of float32 in another order where batches differ in size.
    assert np.allclose(first.xyz, few.molecules.xyz, atol=1e-4)
    assert [formula(many.molecules, i) for i in range(2)] == [formula(few.molecules, i) for i in range(2)]
    assert "after 2 tries" in many.facts["valid"] or many.facts["valid"] == "1.000"


def test_conditions_may_differ_between_samples_and_sizes_may_be_given():
    x, facts = walked_by_size(
        small(**CONDITIONS), 4, {"steps": 2, "mu": [1.0, 2.0, 3.0, 4.0], "atoms": 5}, Streams.of(0, 4)
    )
    assert x.mask is not None
    assert x.mask.sum(1).tolist() == [5] * 4
    assert facts["solver"] == "sde2"
    with pytest.warns(UserWarning, match="outside of the training set"):
        walked_by_size(small(**CONDITIONS), 2, {"steps": 2, "mu": 9.0}, Streams.of(0, 2))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"atoms": "many"}, "whole number"),
        ({"atoms": "60"}, "size"),
        ({"weight": "3"}, "property"),
        ({"tries": "0"}, "at least 1"),
        ({"autoguidance": "2"}, "this model has none"),
    ],
)
def test_words_without_meaning_are_refused(given, words):
    with pytest.raises(InputError, match=words):
        kit().sample(2, {"steps": "2", **given}, Streams.of(0, 2))


def test_shapes_are_those_of_the_descriptors():
    molecules, mols = embedded()
    kinds = ((6, 0, 0), (7, 0, 0), (8, 0, 0))
    model = small(kinds=kinds, largest=20, unit=2.0, properties=())
    for group in groups_of(molecules):
        size = group["z"].shape[1]
        sized = model.for_size(size)
        state = states_of(model.settings, sized.noise, group, size, like=torch.zeros(1, dtype=torch.float64))
        row = int(np.flatnonzero(molecules.sizes == size)[0])
        mass = masses_of(sized, parts_of(model.settings, sized.noise, state))[0]
        # One-hot rows are taken back from float64; hydrogens are counted exactly.
        assert abs(float(mass.sum()) - rdMolDescriptors.CalcExactMolWt(mols[row])) < 0.5
        found = float(measure_of(sized, "asphericity")(state)[0])
        # Hydrogens stand at their heavy atom here, and 1 angstrom from it there.
        assert abs(found - rdMolDescriptors.CalcAsphericity(mols[row])) < 0.06
        assert abs(float(measure_of(sized, "rg")(state)[0]) - rdMolDescriptors.CalcRadiusOfGyration(mols[row])) < 0.35
    with pytest.raises(InputError, match="shape"):
        measure_of(model.for_size(5), "roundness")


def test_a_kept_fragment_is_in_every_prediction(seed):
    molecules, _ = embedded(DRUGS[:1])
    model = small(kinds=((6, 0, 0), (7, 0, 0), (8, 0, 0)), largest=16)
    atoms = kept_atoms(molecules, 0, {"scaffold": "murcko"})
    assert len(atoms) == 6
    known = known_of(model, molecules, 0, atoms)
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
    molecules, _ = embedded(DRUGS[:1])
    offered = MoleculeKit(small(kinds=((6, 0, 0), (7, 0, 0), (8, 0, 0)), largest=16), None, torch.device("cpu"))
    knobs = MoleculeKnobs(steps=3)
    goal = Goal(toward={"asphericity": "0.4"}, keep={"pattern": "c1ccccc1"}, given={"tries": 1})
    made = offered.steer(molecules, goal, Budget(top=2), knobs, Streams.of(0, 1))
    assert len(made) == 2
    assert made.molecules.sizes.tolist() == [13, 13]
    ring = known_of(offered.model, molecules, 0, kept_atoms(molecules, 0, {"pattern": "c1ccccc1"}))["xyz"]
    unit = offered.model.settings.unit
    for i in range(2):
        xyz = torch.from_numpy(made.molecules.take([i]).xyz[:6])
        # The last prediction is the sample; a step of the walk to t = 0 adds nothing.
        assert float((geometry.distances(xyz) - unit * geometry.distances(ring)).abs().max()) < 1e-3


@pytest.mark.parametrize(
    ("goal", "words"),
    [
        (Goal(toward={"mu": "2"}, keep={"scaffold": "murcko"}), "belong together"),
        (Goal(toward={"weight": "2"}), "property"),
        (Goal(toward={"mu": "2"}, given={"guide": "qm9-properties"}), "--guide MODEL"),
        (Goal(toward={"asphericity": "much"}), "number"),
    ],
)
def test_goals_without_meaning_are_refused(goal, words):
    with pytest.raises(InputError, match=words):
        kit().steer(None, goal, Budget(), MoleculeKnobs(steps=2, number=2), Streams.of(0, 1))


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        ({"scaffold": "bemis"}, "murcko"),
        ({"pattern": "((("}, "no SMARTS"),
        ({"pattern": "[#17]"}, "none of its 13 atoms"),
        ({"pattern": "*", "scaffold": "murcko"}, "takes one of"),
        ({"ring": "1"}, "thing to keep"),
    ],
)
def test_what_cannot_be_kept_is_refused(keep, words):
    molecules, _ = embedded(DRUGS[:1])
    with pytest.raises(InputError, match=words):
        kept_atoms(molecules, 0, keep)


def test_the_number_of_steps_may_be_chosen():
    x, facts = walked_by_size(small(**CONDITIONS), 12, {"steps": "auto", "solver": "ddim"}, Streams.of(0, 12))
    assert len(x) == 12
    assert isinstance(facts["steps"], int) and "spread" in facts["error"]


@pytest.mark.filterwarnings("default")
def test_a_value_outside_of_the_training_set_is_a_note_on_the_command_line(capsys):
    assert main(["sample", "qm9-edm", "-n", "1", "--given", "mu=20", "--given", "steps=2", "--given", "tries=1"]) == 0
    said = capsys.readouterr().err
    assert said.startswith("zsteer: note: mu_debye is asked for outside of the training set (0.00773 ... 8.8)")
    assert said.count("\n") == 1
