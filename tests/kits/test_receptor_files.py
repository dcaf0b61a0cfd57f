"""Files of receptors as the verbs read them: what is left out is said aloud, wherever the file is given."""

import pytest

import zsteer
from zsteer.kits.protocols import protocol_of

BETA, OTHER, PEPTIDE = "CASSLGQAYEQYF", "CAVNFGGGKLIF", "YLQPRTFLL"


@pytest.fixture
def mixed(tmp_path):
    """A file of Cell Ranger: two beta chains and one alpha chain."""
    rows = [("TRB", BETA), ("TRA", OTHER), ("TRB", "CASSIRSSYEQYF")]
    path = tmp_path / "contigs.csv"
    path.write_text("barcode,chain,cdr3\n" + "".join(f"b{k},{chain},{cdr3}\n" for k, (chain, cdr3) in enumerate(rows)))
    return path


@pytest.fixture(scope="module")
def autoencoder():
    return zsteer.load("tcr-dwae", device="cpu")


def test_other_chains_are_named_for_templates_examples_and_evaluation(mixed, autoencoder):
    with pytest.warns(UserWarning, match="1 TRA"):
        starts = autoencoder.read(mixed)
    assert starts.items == [BETA, "CASSIRSSYEQYF"]
    goal = {"max_edits": 2, "seed": 1}
    with pytest.warns(UserWarning, match="1 TRA"):
        found = autoencoder.steer([BETA], toward={"like": str(mixed)}, **goal)
    plain = mixed.with_name("beta.csv")
    plain.write_text("cdr3\n" + "\n".join(starts.items) + "\n")
    # The alpha chain has no part in the examples.
    assert found.items == autoencoder.steer([BETA], toward={"like": str(plain)}, **goal).items
    with pytest.warns(UserWarning, match="1 TRA"):
        assert len(protocol_of("tcr")(None).read(mixed, skip_invalid=False)) == 2
