"""Alphabets: tokens and letters are each other's inverse, whatever the alphabet."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zsteer.core.alphabet import DNA, PROTEIN, RNA, Alphabet
from zsteer.domains.sequences.metrics import distances, edits
from zsteer.domains.sequences.space import SequenceSpace, canonical
from zsteer.errors import InputError, SettingsError

ALPHABETS = (PROTEIN, DNA, RNA, Alphabet("01", "bits"))


def test_special_tokens_follow_the_letters():
    assert (PROTEIN.size, PROTEIN.begin, PROTEIN.end, PROTEIN.pad, PROTEIN.vocabulary) == (20, 20, 21, 22, 23)
    assert (DNA.size, DNA.begin, DNA.end, DNA.pad, DNA.vocabulary) == (4, 4, 5, 6, 7)


@given(data=st.data())
def test_encoding_and_decoding_are_inverse(data):
    alphabet = data.draw(st.sampled_from(ALPHABETS))
    items = data.draw(st.lists(st.text(alphabet.letters, min_size=1, max_size=9), min_size=1, max_size=4))
    space = SequenceSpace(1, 9, alphabet)
    x = space.encode(items)
    assert space.decode(x) == items
    assert torch.equal(x.mask, alphabet.real(x["tokens"]))
    assert alphabet.lengths(x["tokens"]).tolist() == [len(item) for item in items]
    for row, item in zip(x["tokens"], items, strict=True):
        assert alphabet.decode(row) == item
        assert torch.equal(alphabet.encode(item), row[: len(item)])
    assert len(set(canonical(x["tokens"], alphabet=alphabet))) == len(set(items))


def test_distances_hold_in_any_alphabet():
    space = SequenceSpace(1, 8, DNA)
    a, b = space.encode(["ACGT", "ACGTACGT"])["tokens"], space.encode(["AGT", "ACGTTCGT"])["tokens"]
    assert edits(a, b, alphabet=DNA).tolist() == [1, 1]
    assert distances(a, b, alphabet=DNA).tolist() == [[1, 4], [5, 1]]


def test_a_wrong_letter_is_named():
    with pytest.raises(InputError, match="'U'"):
        DNA.encode("ACU")
    with pytest.raises(InputError, match="'U' at position 3"):
        SequenceSpace(1, 9, DNA).encode(["ACU"])
    with pytest.raises(InputError, match="7"):
        DNA.decode(torch.tensor([0, 7]))
    with pytest.raises(SettingsError):
        Alphabet("ACA", "twice")
    with pytest.raises(SettingsError):
        Alphabet("", "none")
