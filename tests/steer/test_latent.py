"""The latent edit on codecs whose answer is known: exact in one step where things are linear, else by the loop."""

import math

import pytest
import torch

from zsteer.core.batch import Batch
from zsteer.core.goal import Budget
from zsteer.core.heads import Heads
from zsteer.core.objective import Constraint, Objective, Target
from zsteer.core.property import Property
from zsteer.core.protocols import Codec, Method
from zsteer.core.rng import Streams
from zsteer.errors import (
    ArtifactError,
    BudgetExhaustedError,
    CapabilityError,
    InputError,
    RefusedError,
)
from zsteer.steer.closed_loop import broyden, correct
from zsteer.steer.heads import fit_head, gather, join, split
from zsteer.steer.latent import LatentEdit, interpolate, swap
from zsteer.steer.latent_options import LatentOptions

D = 5
ROTATION = torch.linalg.qr(Streams.of(3, D).normal("rotation", (D,), dtype=torch.float64))[0].float()


class Rotated:
    """x = R z and a part that no head reads; an exact codec whose samples are normal with unequal spreads."""

    parts = ("z",)

    def encode(self, x, rng):
        del rng
        return {"z": x["x"] @ ROTATION, "mark": x["mark"]}

    def decode(self, code, rng):
        del rng
        return Batch({"x": code["z"] @ ROTATION.T, "mark": code["mark"]})

    def sample(self, n, *, given=None, rng):
        assert given is None
        assert len(rng) == n
        z = rng.normal("z", (D,)) * torch.linspace(0.5, 2, D)
        return self.decode({"z": z, "mark": rng.normal("mark", (2, 2))}, rng)


class Halves(Rotated):
    """Two parts of the code."""

    parts = ("first", "second")

    def encode(self, x, rng):
        del rng
        return {"first": x["x"][:, :2], "second": x["x"][:, 2:], "mark": x["mark"]}

    def decode(self, code, rng):
        del rng
        return Batch({"x": torch.cat([code["first"], code["second"]], 1), "mark": code["mark"]})

    def sample(self, n, *, given=None, rng):
        del given, rng
        return samples(n)


def number(name, function, **changes):
    return Property(name, lambda x: function(x.double()).numpy(), **{"tolerance": 0.02, "spread": 1.0} | changes)


SUM = number("sum", lambda x: x.sum(1))
FIRST = number("first", lambda x: x[:, 0])
GROWTH = number("growth", lambda x: (0.8 * x[:, 0]).exp())
NOISE = number("noise", lambda x: (1e4 * x.sum(1)).sin())


def pixels(x):
    return x["x"]


def goal(*targets):
    return Objective(tuple(targets), pixels)


def samples(n=40, seed=8):
    return Rotated().sample(n, rng=Streams.of(seed, n))


def edit(objective, constraint=None, *, start=None, budget=None, method=None, model=None, **options):
    start = samples() if start is None else start
    method = method or LatentEdit(LatentOptions(head_samples=400, draws=20, **options))
    rng = Streams.of(1, len(start))
    return method.run(model or Rotated(), start, objective, constraint or Constraint(), budget or Budget(), rng)


def test_the_edit_is_a_method_and_the_toy_a_codec():
    assert isinstance(LatentEdit(), Method)
    assert isinstance(Rotated(), Codec)


@pytest.mark.parametrize("metric", ["covariance", "identity"])
def test_a_linear_property_is_reached_in_one_open_step(metric):
    trail = edit(goal(Target(SUM, 1.5, 1.5)), rounds=0, metric=metric, ridge=0)
    assert torch.allclose(trail.scores["sum"], torch.full((40,), 1.5, dtype=torch.float64), atol=1e-4)
    assert torch.allclose(trail.batch["x"].double().sum(1), trail.scores["sum"])
    assert trail.calls == 40
    assert torch.equal(trail.scores["calls"], torch.ones(40, dtype=torch.float64))
    assert "reconstruction_sum" not in trail.scores
    assert torch.equal(trail.batch["mark"], samples()["mark"])


def test_without_a_metric_the_step_is_along_the_head():
    start = samples()
    trail = edit(goal(Target(FIRST, 2.0, 2.0)), rounds=0, metric="identity", ridge=0)
    step = trail.batch["x"] - start["x"]
    assert float(step[:, 1:].abs().max()) < 1e-3
    assert torch.allclose(step[:, 0], 2 - start["x"][:, 0], atol=1e-3)


def test_a_nonlinear_property_needs_the_loop_and_each_round_helps():
    target = Target(GROWTH, 3.0, 3.0)
    reached = []
    for rounds in (0, 1, 2, 4, 8):
        trail = edit(goal(target), rounds=rounds, ridge=0)
        reached.append(float((target.gap(trail.scores["growth"]) <= GROWTH.tolerance).double().mean()))
    assert reached == sorted(reached)
    assert reached[0] < 0.2
    assert reached[-1] == 1.0
    assert reached[3] > 0.9


def test_a_row_keeps_the_best_that_was_measured_and_counts_its_calls():
    trail = edit(goal(Target(GROWTH, 3.0, 3.0)), rounds=3)
    missing = (trail.scores["growth"] - 3).abs()
    assert bool((missing <= (trail.scores["reconstruction_growth"] - 3).abs() + 1e-12).all())
    assert int(trail.scores["calls"].sum()) == trail.calls
    assert int(trail.scores["calls"].max()) <= 5
    near = samples().with_fields(x=torch.zeros(40, D))
    still = edit(goal(Target(GROWTH, 1.0, 1.0)), start=near, rounds=3)
    assert still.calls == 40
    assert torch.allclose(still.batch["x"], near["x"], atol=1e-6)


@pytest.mark.parametrize("calls", [1, 2, 3, 5])
def test_a_budget_of_calls_is_kept(calls):
    trail = edit(goal(Target(GROWTH, 3.0, 3.0)), rounds=3, budget=Budget(calls=calls))
    assert int(trail.scores["calls"].max()) <= calls
    assert ("reconstruction_growth" in trail.scores) == (calls == 5)


def test_held_properties_stay_and_unheld_ones_leak():
    target = goal(Target(SUM, 4.0, 4.0))
    free = edit(target, method=LatentEdit(LatentOptions(head_samples=400, draws=20, ridge=0), properties=(FIRST,)))
    assert float((free.scores["first"] - free.scores["start_first"]).abs().mean()) > 0.2
    for constraint in (Constraint(properties=(FIRST,)), Constraint(rest=True)):
        method = LatentEdit(LatentOptions(head_samples=400, draws=20, ridge=0, eps=0), properties=(FIRST,))
        held = edit(target, constraint, method=method)
        assert float((held.scores["first"] - held.scores["start_first"]).abs().max()) < 1e-3
        assert float((held.scores["sum"] - 4).abs().max()) < 0.02
    head = edit(target, Constraint(properties=(FIRST,)), rounds=0, hold="head", ridge=0, eps=0)
    assert float((head.scores["first"] - head.scores["start_first"]).abs().max()) < 1e-3


def test_two_targets_a_change_a_range_and_a_direction():
    trail = edit(goal(Target(SUM, 1.0, 1.0, relative=True), Target(FIRST, 0.0, 0.5)))
    assert float((trail.scores["sum"] - trail.scores["start_sum"] - 1).abs().max()) < 0.021
    assert float(trail.scores["first"].min()) > -0.021
    assert float(trail.scores["first"].max()) < 0.521
    up, down = (edit(goal(Target(GROWTH, sign=sign)), rounds=1) for sign in (1, -1))
    assert bool((up.scores["growth"] > up.scores["start_growth"]).all())
    assert bool((down.scores["growth"] < down.scores["start_growth"]).all())


def test_a_far_target_is_flagged_off_the_manifold():
    near, far = (edit(goal(Target(SUM, y, y)), start=samples(200)) for y in (0.0, 40.0))
    assert float(near.scores["off_manifold"].mean()) < 0.1
    assert float(far.scores["off_manifold"].min()) == 1.0
    assert float(far.scores["mahalanobis"].min()) > 5


def test_rows_do_not_depend_on_their_company():
    whole = edit(goal(Target(GROWTH, 2.0, 2.0)))
    alone = edit(goal(Target(GROWTH, 2.0, 2.0)), start=samples().take(slice(0, 1)))
    assert torch.allclose(whole.batch["x"][:1], alone.batch["x"], atol=1e-5)


def test_a_value_that_is_missing_halves_the_step():
    fragile = number("fragile", lambda x: torch.where(x[:, 0].abs() > 1.5, torch.nan, x[:, 0]), tolerance=0.3)
    start = samples().with_fields(x=torch.zeros(40, D))
    trail = edit(goal(Target(fragile, 1.6, 1.6)), start=start, rounds=3)
    assert torch.isfinite(trail.scores["fragile"]).all()
    assert float(trail.scores["score"].min()) > -math.inf


def test_a_property_without_a_function_follows_its_examples():
    kind = Property("kind", tolerance=0.5)
    x = samples(400)
    positives = x.take(x["x"][:, 1] > 0.5)
    method = LatentEdit(LatentOptions(draws=20), examples=samples(400, 9), positives={"kind": positives})
    trail = edit(goal(Target(kind, 3.0, torch.inf)), method=method)
    assert float(trail.scores["kind"].min()) > 2.5
    assert float((trail.batch["x"][:, 1] - samples()["x"][:, 1]).mean()) > 0.3
    assert "AUC" in method.facts[-1]


def test_facts_tell_what_the_heads_rest_on():
    method = LatentEdit(LatentOptions(head_samples=400, draws=20))
    edit(goal(Target(SUM, 1.0, 1.0)), method=method)
    assert "samples of the model" in method.facts[0]
    assert method.facts[1].startswith("sum: R^2")
    given = LatentEdit(LatentOptions(draws=20), examples=samples(100))
    edit(goal(Target(SUM, 1.0, 1.0)), method=given)
    assert "100 examples" in given.facts[0]


def test_a_second_run_gives_what_a_first_would():
    target, start = goal(Target(GROWTH, 2.0, 2.0)), samples()
    used, fresh = (LatentEdit(LatentOptions(head_samples=400, draws=20)) for _ in range(2))
    edit(target, method=used)
    edit(goal(Target(SUM, 1.0, 1.0)), method=used)
    rng = Streams.of(7, 40)
    again, first = (each.run(Rotated(), start, target, Constraint(), Budget(), rng) for each in (used, fresh))
    assert torch.equal(again.batch["x"], first.batch["x"])


def test_what_the_code_does_not_tell_is_refused_unless_forced():
    target = goal(Target(NOISE, 0.5, 0.5))
    with pytest.raises(RefusedError, match="noise"):
        edit(target)
    assert len(edit(target, force=True).batch) == 40


def test_what_does_not_fit_is_refused_with_its_reason():
    target, method = goal(Target(SUM, 1.0, 1.0)), LatentEdit()

    class Ends:
        text = "ends=3"

        def holds(self, start, x):
            return torch.full((len(x),), len(start) == len(x))

    assert "no code" in method.fits(object(), target, Constraint())
    assert "ends=3" in method.fits(Rotated(), target, Constraint(parts=(Ends(),)))
    assert "once" in method.fits(Rotated(), target, Constraint(properties=(SUM,)))
    assert "no function" in method.fits(Rotated(), goal(Target(Property("kind"), 1.0, 1.0)), Constraint())
    assert method.fits(Rotated(), target, Constraint(properties=(FIRST,))) == ""
    with pytest.raises(CapabilityError):
        edit(target, model=object())
    with pytest.raises(InputError, match="--input"):
        method.run(Rotated(), None, target, Constraint(), Budget(), Streams.of(0, 0))
    with pytest.raises(InputError, match="edits"):
        edit(target, budget=Budget(edits=3))
    with pytest.raises(BudgetExhaustedError):
        edit(target, budget=Budget(calls=0))
    with pytest.raises(InputError, match="examples"):
        edit(target, method=LatentEdit(examples=samples(9)))


def test_heads_are_stored_and_serve_again():
    model, x, options = Rotated(), samples(300), LatentOptions(draws=20)
    z = join(model.encode(x, Streams.of(0, 300)), ["z"])
    heads = gather(z, [fit_head(z, x["x"].double().sum(1), SUM, "z", options)], ["z"], options)
    again = Heads.from_tensors(heads.to_tensors(), heads.to_settings())
    assert again["sum"].text == heads["sum"].text
    assert torch.equal(again["sum"].w, heads["sum"].w)
    assert torch.equal(again.covariance, heads.covariance)
    method = LatentEdit(LatentOptions(ridge=0, rounds=0), heads=again)
    trail = edit(goal(Target(SUM, 1.0, 1.0)), method=method)
    assert float((trail.scores["sum"] - 1).abs().max()) < 0.02
    assert "first" in method.fits(model, goal(Target(FIRST, 1.0, 1.0)), Constraint())
    with pytest.raises(ArtifactError):
        Heads.from_tensors({}, heads.to_settings())
    with pytest.raises(InputError):
        heads["total"]


def test_a_code_is_joined_and_split_again():
    code = Halves().encode(samples(3), Streams.of(0, 3))
    z = join(code, ("second", "first"))
    assert z.shape == (3, D)
    back = split(z, code, ("second", "first"))
    assert all(torch.equal(back[name], value) for name, value in code.items())
    with pytest.raises(InputError):
        join(code, ["mark"])
    with pytest.raises(InputError):
        join(code, ["third"])


def test_only_the_named_parts_move():
    trail = edit(goal(Target(SUM, 2.0, 2.0)), model=Halves(), parts=("second",))
    assert torch.equal(trail.batch["x"][:, :2], samples()["x"][:, :2])
    assert not torch.equal(trail.batch["x"][:, 2:], samples()["x"][:, 2:])


@pytest.mark.parametrize("spherical", [False, True])
def test_interpolation_begins_and_ends_at_the_samples(spherical):
    a, b = samples(3, 1), samples(3, 2)
    line = interpolate(Rotated(), a, b, 4, Streams.of(0, 3), spherical=spherical)
    assert line["x"].shape == (12, D)
    assert torch.allclose(line["x"][::4], a["x"], atol=1e-5)
    assert torch.allclose(line["x"][3::4], b["x"], atol=1e-5)
    if not spherical:
        assert torch.allclose(line["x"][1::4], a["x"] + (b["x"] - a["x"]) / 3, atol=1e-5)
    with pytest.raises(InputError):
        interpolate(Rotated(), a, b, 1, Streams.of(0, 3))


def test_swap_changes_what_the_part_holds():
    a, b = samples(3, 1), samples(3, 2)
    both = swap(Halves(), a, b, ["second"], Streams.of(0, 3))
    assert torch.equal(both["x"][:, :2], a["x"][:, :2])
    assert torch.equal(both["x"][:, 2:], b["x"][:, 2:])
    with pytest.raises(InputError):
        swap(Halves(), a, b, ["third"], Streams.of(0, 3))


def test_broyden_is_the_secant_and_finds_a_linear_map():
    eye = torch.eye(1, dtype=torch.float64)[None]
    du, dy = torch.tensor([[2.0]], dtype=torch.float64), torch.tensor([[5.0]], dtype=torch.float64)
    assert float(broyden(eye, du, dy)) == pytest.approx(2.5)
    assert torch.equal(broyden(eye, 0 * du, dy), eye)
    assert torch.equal(broyden(eye, du, torch.full_like(dy, torch.nan)), eye)
    # A slope of nearly nothing is not believed: a step by it would leave every known place.
    assert torch.equal(broyden(eye, du, 0.01 * dy), eye)
    true = torch.tensor([[[1.0, 0.4], [-0.2, 1.5]]], dtype=torch.float64)
    found = torch.eye(2, dtype=torch.float64)[None]
    for direction in torch.eye(2, dtype=torch.float64):
        found = broyden(found, direction[None], (true @ direction[:, None])[:, :, 0])
    assert torch.allclose(found, true)
    wanted = torch.tensor([[1.0, -2.0]], dtype=torch.float64)
    far = torch.tensor([100.0], dtype=torch.float64)
    assert torch.allclose((true @ correct(true, wanted, far)[:, :, None])[:, :, 0], wanted)
    assert float(correct(true, wanted, 0.1 * torch.ones(1, dtype=torch.float64)).norm()) == pytest.approx(0.1)
