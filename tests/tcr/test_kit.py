"""The receptor job through Python: budgets, what is kept, order, seeds, goals, refusals, the figures of reports."""

import itertools
import math

import pytest
import torch

import zsteer
from zsteer.core import catalog
from zsteer.domains.sequences import files
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.errors import CapabilityError, InputError, RefusedError, SettingsError
from zsteer.kits.sequences.companions import Family

PEPTIDE = "YLQPRTFLL"
MODELS = [name for name in ("tcr-editor", "tcr-dwae") if name in catalog.shipped()]


@pytest.fixture(scope="module")
def models():
    return {name: zsteer.load(name, device="cpu") for name in MODELS}


@pytest.fixture(scope="module")
def family():
    return Family()


@pytest.fixture(scope="module")
def judge(family):
    return family.judge


@pytest.fixture(scope="module")
def templates():
    """Ten receptors of mixed length, not from any data: drawn from the shipped language model."""
    drawn = zsteer.load("tcr-lm", device="cpu").sample(10, seed=3).items
    return [str(sequence) for sequence in drawn]


def levenshtein(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def pairs(designs):
    return list(zip(designs.columns["template"], designs.items, strict=True))


def test_the_models_that_edit_are_shipped():
    assert MODELS == ["tcr-editor", "tcr-dwae"]


@pytest.mark.parametrize("budget", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("name", MODELS)
def test_the_edit_budget_and_the_ends_are_kept(models, templates, name, budget):
    designs = models[name].steer(templates, toward={"binds": PEPTIDE}, max_edits=budget, top=3)
    assert designs.columns["template_id"][0] == "t1"
    for (before, after), told in zip(pairs(designs), designs.columns["edits"], strict=True):
        assert levenshtein(before, after) == int(told) <= budget
        assert (before[:3], before[-3:]) == (after[:3], after[-3:])
        assert SequenceSpace().problem(after) is None
    if budget == 0:
        assert all(before == after for before, after in pairs(designs))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("ends", [0, 4])
def test_keep_says_how_many_residues_stay(models, templates, name, ends):
    designs = models[name].steer(templates, toward={"binds": PEPTIDE}, max_edits=3, keep={"ends": ends})
    for before, after in pairs(designs):
        # Whatever is kept, a design is a whole junction.
        assert after[0] == "C" and after[-1] in "FW"
        assert before[:ends] == after[:ends]
        assert before[len(before) - ends :] == after[len(after) - ends :]
        assert levenshtein(before, after) <= 3


@pytest.mark.parametrize("name", MODELS)
def test_keep_length_allows_substitutions_only(models, templates, name):
    goal = {"toward": {"binds": PEPTIDE}, "max_edits": 4, "top": 4}
    same = models[name].steer(templates, keep={"length": "yes"}, **goal)
    assert all(len(before) == len(after) for before, after in pairs(same))
    for before, after in pairs(same):
        assert sum(x != y for x, y in zip(before, after, strict=True)) <= 4
    assert all(abs(len(a) - len(b)) <= 1 for a, b in pairs(models[name].steer(templates, **goal)))
    plain = models[name].steer(templates, indels=False, **goal)
    assert plain.items == same.items


@pytest.mark.parametrize("name", MODELS)
def test_results_are_distinct_and_best_first(models, templates, name):
    options = {"rerank": "oracle"}
    designs = models[name].steer(templates, toward={"binds": PEPTIDE}, max_edits=4, top=5, **options)
    assert len(designs) == 5 * len(templates)
    for number in range(len(templates)):
        mine = [i for i, origin in enumerate(designs.columns["template_id"]) if origin == f"t{number + 1}"]
        assert len({designs.items[i] for i in mine}) == 5
        assert [designs.columns["sequence_id"][i] for i in mine] == [f"t{number + 1}_{k}" for k in range(1, 6)]
        # What is not plausible, or is the template itself, stands behind everything else.
        good = [float(designs.columns["design_score"][i]) for i in mine if designs.columns["plausible"][i] == "T"]
        order = [designs.columns["plausible"][i] == "T" for i in mine]
        assert order == sorted(order, reverse=True)
        # The table has three digits of a logit, computed again in float32.
        assert all(a >= b - 2e-3 for a, b in itertools.pairwise(good))
    one = models[name].steer(templates, toward={"binds": PEPTIDE}, max_edits=4, top=1, **options)
    assert one.items == [designs.items[5 * k] for k in range(len(templates))]


@pytest.mark.parametrize(("name", "options"), [(name, {}) for name in MODELS] + [("tcr-dwae", {"z_from": "random"})])
def test_the_same_seed_gives_the_same_designs(models, templates, name, options):
    def run(seed):
        return models[name].steer(templates, toward={"binds": PEPTIDE}, max_edits=4, seed=seed, **options)

    before = torch.random.get_rng_state()
    first, again = run(7), run(7)
    assert first.items == again.items
    assert first.columns == again.columns
    assert torch.equal(before, torch.random.get_rng_state())
    if options:
        assert run(8).items != first.items


@pytest.mark.parametrize("name", MODELS)
def test_a_template_alone_is_edited_as_among_others(models, templates, name):
    goal = {"toward": {"binds": PEPTIDE}, "max_edits": 4, "top": 2}
    whole = models[name].steer(templates, **goal)
    alone = models[name].steer([templates[3]], **goal)
    assert alone.items == whole.items[6:8]


def test_the_first_templates_do_not_depend_on_the_later_ones(models, templates):
    goal = {"toward": {"binds": PEPTIDE}, "max_edits": 4, "z_from": "random", "seed": 5}
    whole = models["tcr-dwae"].steer(templates, **goal)
    assert models["tcr-dwae"].steer(templates[:4], **goal).items == whole.items[:4]


def test_sequences_tables_and_batches_are_all_taken(models, templates, tmp_path):
    goal = {"toward": {"binds": PEPTIDE}, "max_edits": 2}
    expected = models["tcr-editor"].steer(templates, **goal).items
    assert models["tcr-editor"].steer(SequenceSpace().encode(templates), **goal).items == expected
    files.write(tmp_path / "a.csv", templates, {"sequence_id": [f"mine{i}" for i in range(10)], "note": ["n"] * 10})
    found = models["tcr-editor"].steer(files.read(tmp_path / "a.csv"), **goal)
    assert found.items == expected
    assert found.columns["template_id"] == [f"mine{i}" for i in range(10)]
    assert found.columns["note"] == ["n"] * 10
    with pytest.raises(InputError, match="--input"):
        models["tcr-editor"].steer(None, **goal)


# ------------------------------------------------------------------------------------------------------------ goals


@pytest.fixture
def examples(tmp_path):
    made = zsteer.load("tcr-editor", device="cpu").sample(12, given={"peptide": PEPTIDE}, seed=9).items
    files.write(tmp_path / "binders.tsv", sorted(set(made)))
    return tmp_path / "binders.tsv"


def test_examples_steer_the_disentangled_model_alone(models, templates, examples):
    designs = models["tcr-dwae"].steer(templates, toward={"like": str(examples)}, max_edits=3)
    assert len(designs) == len(templates)
    assert all(levenshtein(a, b) <= 3 for a, b in pairs(designs))
    assert designs.items == models["tcr-dwae"].steer(templates, toward={"like": examples}, max_edits=3).items
    assert "judge_score" not in designs.columns
    with pytest.raises(CapabilityError, match="tcr-dwae"):
        models["tcr-editor"].steer(templates, toward={"like": str(examples)}, max_edits=3)
    with pytest.raises(InputError, match="nowhere"):
        models["tcr-dwae"].steer(templates, toward={"like": "nowhere.tsv"}, max_edits=3)


@pytest.mark.parametrize("name", MODELS)
def test_goals_that_do_not_exist_are_named(models, templates, name):
    steer = models[name].steer
    with pytest.raises(InputError, match=PEPTIDE):
        steer(templates, toward={"binds": "YLQPRTFLI"}, max_edits=2)
    with pytest.raises(InputError, match="'binds'"):
        steer(templates, toward={"bind": PEPTIDE})
    with pytest.raises(SettingsError, match="like"):
        steer(templates, toward={"binds": PEPTIDE, "like": "x.tsv"})
    with pytest.raises(SettingsError, match="'ends'"):
        steer(templates, toward={"binds": PEPTIDE}, keep={"end": 3})
    for ends in ("all", -1):
        with pytest.raises(InputError, match="ends"):
            steer(templates, toward={"binds": PEPTIDE}, keep={"ends": ends})
    with pytest.raises(SettingsError, match="'rerank'"):
        steer(templates, toward={"binds": PEPTIDE}, rernk="none")
    with pytest.raises(InputError, match="edits"):
        steer(templates, toward={"binds": PEPTIDE}, max_edits=-1)


def test_a_weak_judge_is_refused_with_its_figure_unless_forced(models, templates, judge):
    weak = [name for name, card in judge.cards.items() if card.area < 0.75]
    assert weak
    peptide = "GILGFVFTL" if "GILGFVFTL" in weak else weak[0]
    with pytest.raises(RefusedError, match=f"{judge.card(peptide).area:.2f}"):
        models["tcr-editor"].steer(templates, toward={"binds": peptide}, max_edits=2)
    forced = models["tcr-editor"].steer(templates, toward={"binds": peptide}, max_edits=2, force=True)
    assert len(forced) == len(templates)
    assert forced.facts["real_binders_judge_pass"] == pytest.approx(judge.card(peptide).real_pass, abs=5e-4)


def test_a_peptide_without_a_judge_needs_force(models, templates, family):
    judge = family.judge
    panel = models["tcr-editor"].model.settings.panel.peptides
    silent = [name for name in panel if name not in judge.cards and name in family.oracle.cards]
    with pytest.raises(SettingsError, match=silent[0]):
        models["tcr-editor"].steer(templates, toward={"binds": silent[0]}, max_edits=2)
    forced = models["tcr-editor"].steer(templates[:2], toward={"binds": silent[0]}, max_edits=2, force=True)
    assert forced.columns["judge_score"] == ["", ""]
    assert forced.columns["judge_pass"] == ["", ""]
    assert silent[0] in str(forced.facts["judge_pass"])


# --------------------------------------------------------------------------------------------------------- ranking


@pytest.mark.parametrize("rerank", ["none", "psi", "oracle", "both"])
def test_ranking_by_each_judge_of_the_loop(models, templates, rerank):
    goal = {"toward": {"binds": PEPTIDE}, "max_edits": 4}
    designs = models["tcr-dwae"].steer(templates, rerank=rerank, **goal)
    assert len(designs) == len(templates)
    assert (designs.facts["oracle_calls"] > 0) == (rerank in {"oracle", "both"})
    if rerank in {"oracle", "both"}:
        assert designs.facts["oracle_calls"] <= 60 * len(templates)


def test_the_editor_has_no_psi(models, templates):
    goal = {"toward": {"binds": PEPTIDE}, "max_edits": 4}
    plain = models["tcr-editor"].steer(templates, rerank="none", **goal)
    ranked = models["tcr-editor"].steer(templates, rerank="oracle", **goal)
    assert plain.facts["oracle_calls"] == 0
    plain_score, ranked_score = (sum(map(float, each.columns["design_score"])) for each in (plain, ranked))
    assert ranked_score > plain_score
    for rerank in ("psi", "both"):
        with pytest.raises(CapabilityError, match=f"--rerank {rerank}"):
            models["tcr-editor"].steer(templates, rerank=rerank, **goal)
    with pytest.raises(SettingsError, match="unlimited"):
        models["tcr-editor"].steer(templates, unlimited=True, **goal)


@pytest.mark.parametrize("z_from", ["mean", "best", "random", "null", "interpolated", "gradient"])
def test_an_unlimited_rewrite_decodes_once(models, templates, z_from):
    designs = models["tcr-dwae"].steer(templates, toward={"binds": PEPTIDE}, unlimited=True, z_from=z_from)
    assert len(designs) == len(templates)
    assert designs.facts["oracle_calls"] == 0
    assert [int(k) for k in designs.columns["edits"]] == [levenshtein(a, b) for a, b in pairs(designs)]


# ------------------------------------------------------------------------------------------------ samples, reports


@pytest.mark.parametrize(("name", "given"), [("tcr-lm", {})] + [(name, {"peptide": PEPTIDE}) for name in MODELS])
def test_a_few_samples_are_the_start_of_many(name, given):
    few, many = (zsteer.sample(name, n, given=given, seed=5, device="cpu") for n in (5, 50))
    assert few.items == many.items[:5]
    assert few.columns["sequence_id"] == many.columns["sequence_id"][:5]
    assert zsteer.sample(name, 5, given=given, seed=6, device="cpu").items != few.items
    with pytest.raises(InputError, match="n=0"):
        zsteer.sample(name, 0, given=given)


@pytest.mark.parametrize("name", ["tcr-lm", *MODELS])
def test_samples_are_whole_junctions(name):
    made = zsteer.sample(name, 1500, seed=1, given={} if name == "tcr-lm" else {"peptide": PEPTIDE}, device="cpu")
    assert all(sequence[0] == "C" and sequence[-1] in "FW" for sequence in made.items)
    assert "no_whole_junction" not in made.facts


def test_a_condition_that_does_not_exist_is_named():
    with pytest.raises((InputError, SettingsError), match="pep"):
        zsteer.sample("tcr-editor", 2, given={"pep": PEPTIDE})
    with pytest.raises(InputError, match=f"did you mean '{PEPTIDE}'"):
        zsteer.sample("tcr-editor", 2, given={"peptide": "YLQPRTFLI"})


def rows_of(report, title):
    table = next(table for table in report.to_dict()["tables"] if table["title"].startswith(title))
    return {row["what"]: row for row in table["rows"]}


def wilson(p, n, z=1.959964):
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)


def test_a_report_has_the_figures_that_its_scores_have(models, templates, judge, tmp_path):
    designs = models["tcr-editor"].steer(templates, toward={"binds": PEPTIDE}, max_edits=4, top=3)
    sequences = [*designs.items, designs.items[0]]  # one comes twice and counts as distinct once
    columns = {name: [*values, values[0]] for name, values in designs.columns.items()}
    files.write(tmp_path / "designs.tsv", sequences, columns)
    report = zsteer.evaluate(tmp_path / "designs.tsv", protocol="tcr", toward={"binds": PEPTIDE})

    marks = {
        name: [value == "T" for value in columns[name]]
        for name in ("design_pass", "judge_pass", "plausible", "valid", "copied")
    }
    distinct = [sequence not in sequences[:i] for i, sequence in enumerate(sequences)]
    confirmed = [
        j and p and d and not c
        for j, p, d, c in zip(marks["judge_pass"], marks["plausible"], distinct, marks["copied"], strict=True)
    ]
    n = len(sequences)
    expected = {
        "passes the design oracle": marks["design_pass"],
        "passes the judge": marks["judge_pass"],
        "plausible (language model)": marks["plausible"],
        "valid (published score)": marks["valid"],
        "distinct": distinct,
        "copied from the training data": marks["copied"],
        "passes an independent judge, plausible, distinct, no copy": confirmed,
    }
    rows = rows_of(report, f"{n} sequences")
    assert set(expected) <= set(rows)
    for what, hits in expected.items():
        p = sum(hits) / n
        low, high = wilson(p, n)
        assert rows[what]["share"] == pytest.approx(p, abs=1e-6)
        assert rows[what]["low"] == pytest.approx(max(0.0, low), abs=1e-6)
        assert rows[what]["high"] == pytest.approx(min(1.0, high), abs=1e-6)
        assert rows[what]["n"] == n

    spread = {what: row["value"] for what, row in rows_of(report, "Spread").items()}
    distance = [levenshtein(a, b) for i, a in enumerate(sequences) for j, b in enumerate(sequences) if i != j]
    assert spread["mean pairwise distance [edits]"] == pytest.approx(sum(distance) / len(distance))
    changed = [levenshtein(a, b) for a, b in zip(columns["template"], sequences, strict=True)]
    assert spread["edits of the own template"] == pytest.approx(sum(changed) / n)
    # The lecture's mut/len: of the template, as in the benchmark.
    shares = [k / len(before) for k, before in zip(changed, columns["template"], strict=True)]
    assert spread["edits / length"] == pytest.approx(sum(shares) / n, abs=1e-6)
    gap = (sum(marks["design_pass"]) - sum(marks["judge_pass"])) / n
    assert f"judge is {gap:+.2f}" in " ".join(report.summary)
    scale = next(t for t in report.to_dict()["tables"] if t["title"].startswith("The scale"))["rows"]
    assert {row["oracle"]: row["real binders pass"] for row in scale}["judge"] == judge.card(PEPTIDE).real_pass


def test_a_report_needs_one_known_peptide(templates, tmp_path):
    files.write(tmp_path / "a.tsv", templates)
    for toward, message in (({}, "needs --toward"), ({"binds": "YLQPRTFLI"}, f"did you mean '{PEPTIDE}'")):
        with pytest.raises(InputError, match=message):
            zsteer.evaluate(tmp_path / "a.tsv", protocol="tcr", toward=toward)
    with pytest.raises(InputError, match="did you mean 'tcr'"):
        zsteer.evaluate(tmp_path / "a.tsv", protocol="tcrr", toward={"binds": PEPTIDE})


@pytest.mark.filterwarnings("default")
def test_a_report_takes_samples_of_any_kind(models, templates, tmp_path):
    """What was read by a kit, with rows left out, and what a model made give the report of their file."""
    files.write(tmp_path / "a.tsv", templates)
    told = zsteer.evaluate(tmp_path / "a.tsv", protocol="tcr", toward={"binds": PEPTIDE})
    found = models["tcr-editor"].read(tmp_path / "a.tsv")
    again = zsteer.evaluate(found, protocol="tcr", toward={"binds": PEPTIDE})
    assert again.to_dict()["tables"] == told.to_dict()["tables"]
    (tmp_path / "c.csv").write_text("junction_aa\n" + "\n".join([*templates, "CAXSF"]) + "\n", encoding="utf-8")
    part = models["tcr-editor"].read(tmp_path / "c.csv", skip_invalid=True)
    left = zsteer.evaluate(part, protocol="tcr", toward={"binds": PEPTIDE})
    assert "row 12" in " ".join(left.summary)
