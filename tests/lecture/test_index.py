"""The lecture index holds: nothing wrong in the project, and each kind of mistake is caught."""

import pytest

import lecture_index
from lecture_index import ROOT, collect, ids_of, render

TOML = """
[[slide]]
title = "One"
entry = [
  { id = "a.one", kind = "equation", latex = 'x' },
  { id = "a.two", kind = "algorithm", latex = 'y' },
]
"""
OWNER = 'def {name}():\n    """Compute it.\n\n    Lecture: {ids}\n    """\n'
TEST = 'import pytest\n\n@pytest.mark.lecture("{id}")\ndef test_it():\n    pass\n'


@pytest.fixture
def tree(tmp_path):
    for folder in ("docs/lecture", "src/zsteer", "tests/lecture"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "docs/lecture/equations.toml").write_text(TOML)
    (tmp_path / "src/zsteer/maths.py").write_text(OWNER.format(name="one", ids="a.one"))
    (tmp_path / "tests/lecture/test_a.py").write_text(TEST.format(id="a.one"))
    return tmp_path


def add(path, text):
    path.write_text(path.read_text() + text)


def test_project_index_is_right_and_up_to_date():
    index = collect(ROOT)
    assert index.problems == []
    page = (ROOT / "docs/lecture/index.md").read_text(encoding="utf-8")
    assert page == render(index), "run python tools/lecture_index.py"


def test_ids_that_other_work_relies_on_are_listed():
    known = {entry.id for entry in collect(ROOT).entries}
    fixed = {"wae.objective", "wae.gan.discriminator", "wae.gan.autoencoder", "wae.mmd", "vae.loss", "dwae.loss"}
    assert fixed <= known


def test_right_tree_has_no_problem_and_lists_the_rest_as_open(tree):
    index = collect(tree)
    assert index.problems == []
    page = render(index)
    assert "| `a.one` | equation | $`x`$ | `maths.one` | `lecture/test_a.py::test_it` |  |" in page
    assert "| `a.two` | algorithm | $`y`$ | open |" in page
    assert "1 of 2 entries are implemented" in page


def test_double_owner_is_named(tree):
    add(tree / "src/zsteer/maths.py", OWNER.format(name="again", ids="a.one"))
    assert collect(tree).problems == ["a.one is owned by 2 functions: zsteer.maths.one, zsteer.maths.again"]


def test_unknown_ids_are_named(tree):
    add(tree / "src/zsteer/maths.py", OWNER.format(name="more", ids="a.three"))
    add(tree / "tests/lecture/test_a.py", TEST.format(id="a.four"))
    assert (
        collect(tree).problems
        == [
            "src: unknown lecture id a.three",
            "tests: unknown lecture id a.four",
            "a.three is owned",
        ][:2]
    )


def test_function_without_test_and_test_without_function(tree):
    (tree / "tests/lecture/test_a.py").write_text(TEST.format(id="a.two"))
    assert collect(tree).problems == [
        "a.one is computed by zsteer.maths.one and no test carries its marker",
        "a.two is tested by tests/lecture/test_a.py::test_it and no function of src names it",
    ]


def test_id_in_a_module_docstring_is_refused(tree):
    path = tree / "src/zsteer/maths.py"
    path.write_text('"""All of it.\n\nLecture: a.two\n"""\n' + path.read_text())
    (problem,) = collect(tree).problems
    assert "module docstring names the lecture id a.two" in problem


def test_double_entry_and_wrong_kind_in_the_list(tree):
    add(tree / "docs/lecture/equations.toml", TOML.replace('"a.two", kind = "algorithm"', '"a.five", kind = "poem"'))
    problems = collect(tree).problems
    assert any("a.one is listed twice" in problem for problem in problems)
    assert any("a.five has kind 'poem'" in problem for problem in problems)


@pytest.mark.parametrize(
    "text",
    [
        "Lecture: a.one, a.two",
        "    Lecture: `a.one`, `a.two`.",
        "Lecture:\n    a.one\n    a.two\n",
        "Lecture: a.one a.two\n",
    ],
)
def test_docstring_forms(text):
    assert ids_of(f"Compute.\n\n{text}") == ["a.one", "a.two"]


def test_measured_errors_reach_the_page(tree):
    (tree / "build/measured").mkdir(parents=True)
    (tree / "build/measured/a.one.json").write_text(
        '{"id": "a.one", "value": 1.234e-7, "what": "max error", "test": "t"}'
    )
    assert lecture_index.record(tree) == 1
    index = collect(tree)
    assert index.problems == []
    assert "| 1.2e-07 (max error) |" in render(index)
