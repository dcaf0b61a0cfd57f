"""Help pages show only what is true of a model, and a goal is parsed once on its way to the net."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

import zsteer
from zsteer.cli import sample as cli_sample
from zsteer.cli import steer as cli_steer
from zsteer.cli.main import main
from zsteer.core import artifact, catalog
from zsteer.core.goal import parse_terms
from zsteer.core.options import Options
from zsteer.errors import CapabilityError
from zsteer.kits import front
from zsteer.kits.base import Subject
from zsteer.kits.molecules.kit import MoleculeKit
from zsteer.kits.registry import METHODS, about, about_config
from zsteer.steer.options import DrawOptions, SamplingOptions

LIKES = Path(__file__).parents[2] / "examples" / "likes.csv"
TRAINED = {
    "vae": ["vae", "--dataset", "ring-8", "--steps", "2"],
    "wae": ["wae-mmd", "--dataset", "ring-8", "--steps", "2"],
    "gan": ["wgan", "--dataset", "ring-8", "--steps", "2"],
    "rbm": ["rbm-tcr", "--data", "synthetic", "--steps", "2"],
    "rbm-ratings": ["rbm-ratings", "--data", str(LIKES), "--test", "0", "--usage", "0", "--steps", "2"],
    "multinomial": ["tcr-diffusion", "--data", "synthetic", "--steps", "2"],
}
"""A recipe of each kind that samples and is not shipped."""
GENERAL = {
    "out",
    "seed",
    "device",
    "overwrite",
    "skip_invalid",
    "json",
    "top",
    "by",
    "input",
    "toward",
    "given",
    "keep",
}
GENERAL |= {"free", "number", "property", "max_calls", "max_edits", "examples", "force", "column"}
"""Flags of ``zsteer steer`` that are no options of a method."""
WORDS = {
    "peptide": {"sequences"},
    "receptor": {"sequences"},
    "receptors": {"sequences"},
    "template": {"sequences"},
    "templates": {"sequences"},
    "class": {"images", "sequences"},
    "scaffold": {"molecules"},
    "murcko": {"molecules"},
    "molecules": {"molecules"},
    "images": {"images"},
    "pixels": {"images"},
    "ratings": {"ratings"},
}
"""A word that belongs to a domain -> where it may stand."""


def shipped():
    for name, folder in catalog.shipped().items():
        try:
            about(folder)
        except CapabilityError:
            continue
        yield name


SHIPPED = sorted(shipped())


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("kinds")
    for kind, words in TRAINED.items():
        assert main(["train", *words, "--size", "xs", "--device", "cpu", "--out", str(place / kind)]) == 0, kind
    return place


@pytest.fixture(scope="module", params=[*SHIPPED, *TRAINED])
def model(request):
    if request.param in TRAINED:
        return str(request.getfixturevalue("folders") / request.param)
    return request.param


def known_of(model):
    return about(catalog.resolve(model))


def page(command, model, capsys):
    """A help page, its frame taken away."""
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main([command, model, "--help"])
    text = re.sub("[│╭╰─╮╯]", " ", capsys.readouterr().out)
    return " ".join(text.split())


def flags(text):
    return {word.replace("-", "_") for word in re.findall(r"(?<= )--(?!no-)([a-z][a-z-]*)", text.split(" options ")[1])}


def example(option):
    """A value that an option takes."""
    if option.choices:
        return option.choices[0]
    middle = (option.low or 0) if option.high is None else ((option.low or 0) + option.high) / 2
    if option.name == "binds":
        return "YLQPRTFLL"
    return {"number": middle, "whole": int(middle), "flag": True, "file": "f.tsv", "text": "high"}[option.type]


def test_each_kind_that_samples_is_looked_at():
    kinds = {known_of(name).kind for name in SHIPPED} | set(TRAINED)
    assert kinds == {kind for kind, row in catalog.MODELS.items() if "Generative" in row.protocols}


def test_every_name_of_toward_is_accepted(model, capsys):
    known, text = known_of(model), page("steer", model, capsys)
    loaded = zsteer.load(model, device="cpu")
    subject = Subject(loaded.model, loaded.folder, loaded.device)
    assert known.options.at("toward"), "a page without a goal"
    for name, option in known.options.at("toward").items():
        assert f"{name}: " in text
        value = "boot" if name == "class" and known.domain == "images" else example(option)
        (target,) = loaded.kit.targets(subject, parse_terms({name: value}))
        assert target.quantity.name == name
    if known.domain != "ratings":
        shown = set(known.options.at("toward"))
        assert set(loaded.kit.properties(subject)) <= shown, "a property that the page leaves out"


def test_every_name_of_keep_is_accepted_and_every_condition_is_the_models(model, capsys):
    known, text = known_of(model), page("steer", model, capsys)
    kit = front.kit_of(known.domain)
    for name, option in kit.options.at("keep").items():
        assert kit.options.parse("keep", {name: example(option)})
        assert (f"{name}: " in text) == known.holds
    loaded = zsteer.load(model, device="cpu")
    given = {option.name for option in loaded.model.options if option.place == "given"}
    assert set(known.options.at("given")) == given
    assert about_config(loaded.model.kind, loaded.model.space, loaded.model.options) == known
    if known.domain != "ratings":
        assert ("this model takes no conditions" in text) == (not given)


def test_every_option_is_a_field_of_a_method_that_lists_for_the_kind(model, capsys):
    known, shown = known_of(model), flags(page("steer", model, capsys))
    fields = {name for row in known.methods for cls in row.option_classes() for name in cls.model_fields}
    assert shown - GENERAL - {"help"} <= fields
    assert {flag.name for flag in known.flags()} <= shown
    assert all(row.lists(known.kind, known.domain) for row in known.methods)
    sampling = flags(page("sample", model, capsys)) - {"help", "number", "given", "out", "seed", "device"}
    far = known.judged or any(option.soft for option in known.options.at("given").values())
    sampling -= {"overwrite", "json", *(["force"] if far else [])}
    able = set(DrawOptions.model_fields)
    if {"Conditional", "Grouped"} & set(known.offers):
        able |= set(SamplingOptions.model_fields)
    assert sampling <= able | set(known.options.at("sample"))
    assert set(known.options.at("sample")) <= sampling


def test_every_method_of_the_page_is_one_and_no_other_is_named(model, capsys):
    known, text = known_of(model), page("steer", model, capsys)
    names = {row.name for row in known.methods}
    listed = re.search(r"method: ([a-z, ]+);", text)
    assert listed is not None
    assert set(listed[1].split(", ")) == names
    for other in {row.name for row in METHODS} - names:
        assert f"{other}: " not in text


def test_no_word_of_another_domain_is_on_a_page(model, capsys):
    known = known_of(model)
    for command in ("steer", "sample"):
        text = page(command, model, capsys)
        found = set(re.findall(r"[a-z]+", text.lower().replace(model.lower(), "")))
        for word, domains in WORDS.items():
            assert word not in found or known.domain in domains, (command, word)
        if "like" not in known.options.at("toward"):
            assert "like: " not in text
        if "class" in found and known.domain == "sequences":
            assert "class" in known.options.at("given")


def test_flags_of_some_models_are_on_their_pages_only(capsys):
    pages = {name: flags(page("steer", name, capsys)) for name in ("fashion-ddpm", "qm9-edm", "tcr-dwae", "tcr-lm")}
    where = {
        "max_edits": {"tcr-dwae", "tcr-lm"},
        "examples": {"tcr-dwae"},
        "force": {"tcr-dwae", "tcr-lm", "qm9-edm"},
        "autoguidance": {"qm9-edm"},
        "max_retries": {"qm9-edm"},
        "depth": {"fashion-ddpm", "qm9-edm"},
        "unlimited": {"tcr-dwae"},
    }
    for flag, models in where.items():
        assert {name for name, shown in pages.items() if flag in shown} == models, flag
    assert "best_of" in flags(page("sample", "qm9-edm", capsys))
    assert "best_of" not in flags(page("sample", "tcr-lm", capsys))


def test_an_option_that_two_methods_share_goes_to_the_one_that_is_taken(monkeypatch):
    """--rounds is 3 of an edit and 20 of a search when absent; what is written goes to either, also 3 to a search."""
    seen: list[Any] = []

    def steer(_subject, _start, request):
        seen.append(dict(request.options))
        raise CapabilityError("enough is known")

    monkeypatch.setattr(front, "steer", steer)
    for words in ([], ["--rounds", "3"], ["--no-indels"]):
        assert main(["steer", "tcr-dwae", "--toward", "charge=2", "--by", "search", *words]) == 2
    assert seen == [{}, {"rounds": 3}, {"indels": False}]


def test_models_that_do_neither_have_no_page(capsys):
    for name in sorted(set(catalog.shipped()) - set(SHIPPED)):
        for command in ("steer", "sample"):
            assert main([command, name, "--help"]) == 2
            assert capsys.readouterr().err.count("\n") == 1


def test_help_imports_no_torch(folders):
    program = (
        "import sys; from zsteer.cli.main import main\n"
        "for command in ('steer', 'sample'):\n"
        "    for model in sys.argv[1:]:\n"
        "        try:\n"
        "            main([command, model, '--help'])\n"
        "        except SystemExit as leave:\n"
        "            assert not leave.code\n"
        "assert not {'torch', 'rdkit', 'scipy'} & set(sys.modules)\n"
    )
    words = [*SHIPPED, *(str(folders / kind) for kind in TRAINED)]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_general_pages_name_every_method():
    assert set(get_args(SamplingOptions.model_fields["steps"].annotation)) >= {int}
    for command in (cli_steer.command_for(None), cli_sample.command_for(None)):
        assert command.__doc__


def test_a_goal_is_parsed_once_on_its_way_to_the_net(monkeypatch):
    """Of one molecule: each option class, conditions, keeps and targets, all of them once."""
    counts: Counter[str] = Counter()

    def counted(owner, name, key):
        inner = getattr(owner, name)

        def call(*args, **keys):
            counts[key(*args)] += 1
            return inner(*args, **keys)

        monkeypatch.setattr(owner, name, call)

    loaded = zsteer.load("qm9-edm", device="cpu")
    start = loaded.sample(1, given={"atoms": 7}, steps=4, max_retries=20, seed=1)
    for module in (front, artifact, sys.modules["zsteer.steer.sampling"]):
        counted(module, "settings_from", lambda cls, *_: f"class {cls.__name__}")
    counted(Options, "parse", lambda _, place, *__: f"parse {place}")
    counted(MoleculeKit, "targets", lambda *_: "targets")
    counted(MoleculeKit, "parts", lambda *_: "parts")
    found = loaded.steer(start, toward={"asphericity": 0.3}, given={"mu": 2.0}, keep={"pattern": "[#6]"}, steps=4)
    assert len(found) == 1 and found.facts["method"] == "guide"
    assert np.isfinite(found.items.molecules.xyz).all()
    assert counts == {
        "class GuideOptions": 1,
        "class SamplingOptions": 1,
        "class DrawOptions": 1,
        "parse given": 1,
        "parse keep": 1,
        "targets": 1,
        "parts": 1,
    }
    assert torch.is_tensor(found.batch["xyz"])
