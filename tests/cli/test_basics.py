"""The command line as a newcomer meets it: help, speed, misspelt words, one-line errors."""

import subprocess
import sys
import time

import pytest

from zsteer.cli.main import COMMANDS, main
from zsteer.cli.show import Progress


def run(capsys, *words):
    try:
        code = main(list(words))
    except SystemExit as leave:  # tyro leaves by itself after --help
        code = leave.code or 0
    out, err = capsys.readouterr()
    return code, out, err


def one_line_error(capsys, *words):
    code, _, err = run(capsys, *words)
    lines = err.strip().splitlines()
    assert code == 2, err
    assert len(lines) == 1, err
    assert lines[0].startswith("zsteer: error: ")
    assert "Traceback" not in err
    return lines[0]


def test_help_names_every_command(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for name in COMMANDS:
        assert f"  {name} " in out
    assert run(capsys)[1] == out


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_help(capsys, command):
    code, out, err = run(capsys, command, "--help")
    assert code == 0, err
    assert f"zsteer {command}" in out


def test_help_and_errors_do_not_import_torch():
    program = (
        "import sys; from zsteer.cli.main import main\n"
        "for words in (['--help'], ['trian'], ['train', 'tcr-dwea'], ['steer', 'tcr-dwea'], ['recipes']):\n"
        "    main(words)\n"
        "assert 'torch' not in sys.modules, [m for m in sys.modules if m.startswith('zsteer')]\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_zsteer_imports_nothing_heavy():
    program = "import sys, zsteer; assert not {'torch', 'numpy', 'pydantic'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_help_imports_next_to_nothing_of_zsteer():
    """What makes help quick on any machine: no third-party package, and a handful of our own modules."""
    program = (
        "import sys; before = set(sys.modules)\n"
        "from zsteer.cli.main import main; main(['--help'])\n"
        "new = {name for name in set(sys.modules) - before}\n"
        "print('\\n'.join(sorted(new)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    new = done.stderr.split()
    ours = [name for name in new if name.split(".")[0] == "zsteer"]
    assert {name.split(".")[0] for name in new} - set(sys.stdlib_module_names) == {"zsteer"}
    assert len(ours) <= 12, ours


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["trian"], "did you mean 'train'?"),
        (["train", "tcr-dwea"], "unknown recipe 'tcr-dwea'; did you mean 'tcr-dwae'?"),
        (["train"], "needs a recipe or --resume FOLDER"),
        (["train", "tcr-dwae", "--stpes", "3", "--out", "x"], "did you mean '--steps'?"),
        (["train", "tcr-dwae"], "needs --out FOLDER"),
        (["train", "tcr-dwae", "--size", "xxl", "--out", "x"], "size"),
        (["train", "tcr-dwae", "--steps", "many", "--out", "x"], "steps"),
        (["train", "--resume", "nowhere"], "nowhere is not a run"),
        (["train", "nothing.yaml", "--out", "x"], "there is no recipe file nothing.yaml"),
        (["steer", "tcr-dwea"], "unknown model 'tcr-dwea'"),
        (["steer"], "needs a model first"),
        (["sample"], "needs a model first"),
        (["sample", "some/where"], "there is no folder some/where"),
        (["evaluate"], "needs a file first"),
        (["evaluate", "x.tsv"], "x.tsv: there is no such file"),
        (["bench", "tcrr"], "did you mean 'tcr'?"),
        (["recipes", "--jsn"], "did you mean '--json'?"),
        (["doctor", "now"], "now"),
    ],
)
def test_mistakes_are_one_line(capsys, words, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert expected in one_line_error(capsys, *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: tcr-dwae\nstesp: 3\n", "unknown key 'stesp'; did you mean 'steps'?"),
        ("name: tcr-dwea\n", "did you mean 'tcr-dwae'?"),
        ("steps: 3\n", "the recipe's name under `name`"),
        ("name: [tcr-dwae\n", "cannot be read"),
        ("", "should hold keys and values"),
    ],
)
def test_a_wrong_recipe_file_is_one_line(capsys, tmp_path, text, expected):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    assert expected in one_line_error(capsys, "train", str(path), "--out", str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_recipes_list_the_peptides_and_how_well_they_are_judged(capsys):
    import json

    from zsteer.cli.recipes import LEAST_AREA
    from zsteer.scoring import card

    assert LEAST_AREA == card.LEAST_AREA
    out = run(capsys, "recipes")[1]
    told = json.loads(run(capsys, "recipes", "--json")[1])["peptides"]
    assert [row["area"] for row in told] == sorted((row["area"] for row in told), reverse=True)
    for row in told:
        line = next(line for line in out.splitlines() if line.startswith(f"  {row['peptide']} "))
        assert ("--force" in line) == (row["area"] < LEAST_AREA)


def test_recipes_are_a_line_each_with_size_and_one_number(capsys):
    from zsteer.core import catalog
    from zsteer.recipes.base import RECIPES

    out = run(capsys, "recipes")[1]
    assert max(map(len, out.splitlines())) <= 100
    lines = {line.split()[0]: line for line in out.splitlines() if line.startswith("  ")}
    assert {*RECIPES, *catalog.shipped()} <= set(lines)
    for name, folder in catalog.shipped().items():
        line = next(line for line in out.split("shipped models")[1].splitlines() if line.startswith(f"  {name} "))
        assert line.split()[1] in {"images", "molecules", "sequences", "scores"}, line
        headline = float(line.split()[-1])
        numbers = [value for value in catalog.describe(folder)["metrics"].values() if isinstance(value, int | float)]
        assert any(abs(headline - value) <= 0.005 * abs(value) for value in numbers), line


@pytest.mark.parametrize("name", ["tcr-dwae", "zinc-edm", "vae"])
def test_recipes_of_a_name_show_all_of_it(capsys, name):
    import json

    from zsteer.core import catalog
    from zsteer.recipes.base import RECIPES, recipe_class

    code, out, err = run(capsys, "recipes", name)
    assert code == 0, err
    found = json.loads(run(capsys, "recipes", name, "--json")[1])
    if name in RECIPES:
        fields = recipe_class(name).model_fields
        assert set(found["recipe"]["keys"]) == set(fields)
        assert all(f"  {key} " in out for key in fields)
        assert found["recipe"]["keys"]["size"]["default"] == "s" == fields["size"].default
    if name in catalog.shipped():
        about = catalog.describe(catalog.shipped()[name])
        assert found["model"]["metrics"] == about["metrics"]
        assert all(metric in out for metric in about["metrics"])
        assert found["model"]["licence of data"] == about["data"]["licence"] and found["model"]["limits"]
        assert " ".join(found["model"]["limits"].split()[:6]) in " ".join(out.split())


def test_recipes_of_an_unknown_name_give_the_nearest(capsys):
    assert "tcr-dwae" in one_line_error(capsys, "recipes", "tcr-dwea")


def test_debug_shows_the_traceback(capsys):
    from zsteer.errors import ZsteerError

    with pytest.raises(ZsteerError):
        main(["train", "tcr-dwea", "--debug"])


def test_what_is_left_of_a_run_that_goes_on_is_told_by_its_own_steps(capsys, monkeypatch):
    clock = iter([0.0, 100.0, 200.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    progress = Progress("training")
    # Nine thousand steps were done before; a hundred take a hundred seconds.
    progress.update({"step": 9000, "steps": 10_000})
    progress.update({"step": 9100, "steps": 10_000})
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("training 9000/10000") and "left" not in first
    assert "900 s left" in second
