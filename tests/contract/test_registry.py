"""Rows of ``core.catalog`` declare what the classes offer; names and models are loaded by one function each."""

import ast
import inspect
import textwrap

import pytest

from zsteer.core import catalog, protocols
from zsteer.errors import ArtifactError, InputError, SettingsError
from zsteer.kits.sequences import editors
from zsteer.models.autoregressive import Autoregressive
from zsteer.recipes.base import RECIPES, Recipe, recipe_class

DECLARED = {
    **{name: getattr(protocols, name) for name in ("Codec", "Conditional", "Generative", "Grouped", "Likelihood")},
    "Proposes": protocols.Proposes,
    "Refittable": protocols.Refittable,
    "GuidedEditor": editors.GuidedEditor,
    "CodeEditor": editors.CodeEditor,
}
"""Protocols that a row declares where the class offers them."""


def members(protocol):
    names = {*vars(protocol), *vars(protocol).get("__annotations__", {})}
    return {name for name in names if not name.startswith("_")}


def offered(cls):
    """Names of a class: its attributes, and what its ``__init__`` sets on the instance."""
    found = set(dir(cls))
    for base in cls.__mro__:
        if "__init__" in vars(base) and base.__module__.startswith("zsteer."):
            tree = ast.parse(textwrap.dedent(inspect.getsource(base.__init__)))
            stored = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
            found |= {node.attr for node in stored if isinstance(node.ctx, ast.Store)}
    return found


@pytest.mark.parametrize("kind", catalog.MODELS)
def test_a_row_declares_what_the_class_offers(kind):
    row, cls = catalog.MODELS[kind], catalog.model_class(kind)
    assert cls.kind == kind
    known = offered(cls)
    assert sorted(name for name in DECLARED if members(DECLARED[name]) <= known) == sorted(row.protocols)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_stands_under_its_own_name_in_one_row(name):
    cls = recipe_class(name)
    assert issubclass(cls, Recipe) and cls.name == name
    assert [name in row.recipes for row in catalog.MODELS.values()].count(True) == 1


def test_a_shipped_model_of_each_recipe_is_of_the_kind_of_its_row():
    for folder in catalog.shipped().values():
        config = catalog.read_config(folder)
        assert config["origin"]["recipe"]["name"] in catalog.MODELS[config["kind"]].recipes, folder


@pytest.mark.parametrize("target", ["zsteer.core.catalog", "zsteer.none:x", "zsteer.core.catalog:none", ":x", ""])
def test_a_name_that_stands_for_nothing_is_refused_and_named(target):
    with pytest.raises(SettingsError) as caught:
        catalog.load_name(target)
    assert repr(target) in str(caught.value)


def test_a_name_is_what_it_stands_for():
    assert catalog.load_name("zsteer.core.catalog:resolve") is catalog.resolve


def test_a_model_is_loaded_whole_and_ready():
    model = catalog.load_model("tcr-lm", kind=("vae", "autoregressive"))
    assert type(model) is Autoregressive and not model.training
    assert model.origin.recipe["name"] == "tcr-lm"


def test_a_model_of_another_kind_is_refused_with_the_hint():
    with pytest.raises(InputError) as caught:
        catalog.load_model("tcr-lm", kind="edm", hint="train one: zsteer train molecules")
    assert all(part in str(caught.value) for part in ("edm", "tcr-lm", "autoregressive", "zsteer train molecules"))


def test_an_unknown_kind_and_an_unknown_model_are_refused():
    with pytest.raises(ArtifactError, match="vea"):
        catalog.model_class("vea")
    with pytest.raises(InputError, match="tcr-ml"):
        catalog.load_model("tcr-ml")
