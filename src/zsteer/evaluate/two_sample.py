"""The two-sample report: are these samples like those of the reference, and if not, how do they differ?

Every table has two rows or columns that give its scale: "real vs real", what two parts of the reference show against
each other, and "independent numbers", rows whose numbers are drawn each on its own from the reference: right in every
number, wrong in all that binds them. A model that is worth its cost lies between the two, near the first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsteer.core.rng import Streams
from zsteer.errors import InputError
from zsteer.evaluate.classify import Separation, classifier_two_sample_test
from zsteer.evaluate.compared import Compared, compare, distance_table, usual_distances
from zsteer.evaluate.features import frechet
from zsteer.evaluate.memorise import memorised
from zsteer.evaluate.modes import modes, nearest_class
from zsteer.evaluate.neighbours import Neighbourhood, neighbourhood
from zsteer.evaluate.report import Report, Table

__all__ = ["Sample", "independent_numbers", "two_sample_report"]

MOST = 5000
"""Rows of each set behind neighbours and classifiers."""


@dataclass(frozen=True)
class Sample:
    """Rows to compare, and what is known of them.

    Args:
        rows: numbers, one row for each sample.
        label: class of each row, or None.
        features: features of each row by the name of their Frechet distance.
    """

    rows: Float[Tensor, "n d"]
    label: Int[Tensor, " n"] | None = None
    features: Mapping[str, Float[Tensor, "n f"]] = field(default_factory=dict)

    def take(self, index: Tensor) -> "Sample":
        """Some of the rows."""
        return Sample(
            self.rows[index],
            None if self.label is None else self.label[index],
            {name: value[index] for name, value in self.features.items()},
        )


def independent_numbers(rows: Float[Tensor, "n d"], rng: Streams) -> Float[Tensor, "n d"]:
    """As many rows whose numbers are drawn, with replacement, each from its own column.

    With replacement, since parts of one shuffle repel each other: what the first half has the second lacks, and a
    classifier that learns on the first is right less often than by chance.
    """
    each = Streams.of(rng.seed, len(rows), device=rows.device).child("independent numbers")
    return rows.gather(0, each.integers("row", len(rows), (rows.shape[1],)))


def two_sample_report(
    samples: Sample, reference: Sample, rng: Streams, *, title: str = "Samples against the reference", repeats: int = 10
) -> Report:
    """Compare samples with a reference in every way that needs no further data.

    Args:
        samples: what a model made.
        reference: the real thing: best of all held-out data; with training data "copies" says how many it repeats.
        rng: streams, of which the first is used.
        title: of the report.
        repeats: parts behind each distance.

    Raises:
        InputError: if there are fewer than 40 samples or 80 rows of reference, or the widths differ.
    """
    n, m = len(samples.rows), len(reference.rows)
    if n < 40 or m < 80:
        raise InputError(f"expected at least 40 samples and 80 rows of reference, got {n} and {m}")
    if samples.rows.shape[1] != reference.rows.shape[1]:
        raise InputError(
            f"samples have {samples.rows.shape[1]} numbers each and the reference {reference.rows.shape[1]}; "
            f"bring both into one form"
        )
    one = rng.take(slice(0, 1)).child("two-sample")
    order = one.permutation("halves", m)[0]
    k = min(n, m // 2, MOST)
    left, right = reference.take(order[:k]), reference.take(order[k : 2 * k])
    own = samples.take(one.permutation("samples", n)[0, :k])
    apart = independent_numbers(right.rows, one)
    sets = {"samples": own.rows, "real vs real": right.rows, "independent numbers": apart}
    found = usual_distances(samples.rows, reference.rows, one, repeats=repeats)
    found += _frechets(samples, reference, one, repeats)
    nets = {name: classifier_two_sample_test(rows, left.rows, one) for name, rows in sets.items()}
    plain = {name: classifier_two_sample_test(rows, left.rows, one, hidden=0) for name, rows in sets.items()}
    near = {name: neighbourhood(rows, left.rows) for name, rows in sets.items()}
    tables = [
        distance_table("Distances", found, _scale(apart, left.rows, one)),
        _classifier_table(nets, plain),
        _neighbour_table(near, k),
        _copies_table(own.rows, left.rows, right.rows),
    ]
    if reference.label is not None:
        tables.append(_class_table(own, left, right))
    facts = {"samples": n, "reference": m, "compared": k, "numbers in a row": samples.rows.shape[1], "seed": rng.seed}
    return Report(
        title,
        [*_sizes(n, m, k, max(row.n for row in found)), *_summary(found, nets["samples"], near)],
        tables,
        (),
        facts,
    )


def _sizes(n: int, m: int, k: int, most: int) -> list[str]:
    """How many rows the figures rest on, where that is not all of them.

    Args:
        n: samples.
        m: rows of reference.
        k: rows of each behind classifiers and coverage.
        most: rows of each behind the distances.
    """
    if n == k == most and m <= 2 * k:
        return []
    rows = f"{most:,} rows of each (distances) and {k:,} (classifier, coverage)"
    return [f"Rests on {rows}, of {n:,} samples and {m:,} rows of reference; smaller differences go unseen."]


def _summary(found: list[Compared], net: Separation, near: Mapping[str, Neighbourhood]) -> list[str]:
    ps = [row.p for row in found if row.p is not None]
    seen = "tell the samples from the reference" if min(ps) < 0.01 / len(ps) else "find no difference at this size"
    return [
        f"A classifier tells samples from the reference with AUC {net.area:.3f} +- {net.error:.3f} (0.5 is chance).",
        f"Permutation tests {seen} (smallest p {min(ps):.3f} of {len(ps)}).",
        f"Coverage {near['samples'].coverage.value:.2f}, between real sets {near['real vs real'].coverage.value:.2f}.",
    ]


def _frechets(samples: Sample, reference: Sample, rng: Streams, repeats: int) -> list[Compared]:
    names = [name for name in samples.features if name in reference.features]
    return [
        compare(name, frechet, samples.features[name], reference.features[name], rng, repeats=repeats, most=MOST)
        for name in names
    ]


def _scale(apart: Tensor, real: Tensor, rng: Streams) -> list[str]:
    """What the distances are for the baseline, as a note: its z tells how far off a bad model would be."""
    found = usual_distances(apart, real, rng.child("baseline"), repeats=3, most=500)
    values = ", ".join(f"{row.name} {row.estimate.mean:.3g}" for row in found)
    return [f"baseline, independent numbers (n={found[0].n}): {values}"]


def _classifier_table(nets: Mapping[str, Separation], plain: Mapping[str, Separation]) -> Table:
    rows: list[list[str | float | int]] = []
    for reader, results in (("small net", nets), ("logistic", plain)):
        for name, one in results.items():
            low, high = one.area - 1.96 * one.error, min(1.0, one.area + 1.96 * one.error)
            area = f"{one.area:.3f} [{low:.3f}, {high:.3f}]"
            rows.append([name, reader, area, str(one.accuracy), f"{one.p:.2g}", one.n])
    notes = ["learns on half of the rows, judged on the other; p: chance of an AUC as far above 0.5 on equal sets"]
    return Table("Classifier two-sample test", ["set", "reader", "AUC", "accuracy", "p", "n"], rows, notes)


def _neighbour_table(near: Mapping[str, Neighbourhood], n: int) -> Table:
    rows = [
        [name, str(one.precision), str(one.recall), f"{one.density:.2f}", str(one.coverage)]
        for name, one in near.items()
    ]
    k = next(iter(near.values())).k
    notes = [
        f"{n} rows of each set, {k} nearest neighbours; intervals: Wilson, 95 %",
        "precision and density: do samples look real; recall and coverage: is all of the reference there",
    ]
    return Table("Fidelity and diversity", ["set", "precision", "recall", "density", "coverage"], rows, notes)


def _copies_table(samples: Tensor, reference: Tensor, other: Tensor) -> Table:
    found = memorised(samples, reference, other)
    nearer = f"{found.nearer:.3f} +- {found.nearer_error:.3f}"
    rows = [["samples", f"{found.ratio:.2f}", nearer, f"{found.p:.2g}", str(found.copies), str(found.repeats)]]
    notes = [
        "ratio: median distance to the nearest reference row, over that of reference rows held apart",
        "nearer: probability to lie nearer to the reference than a row held apart; 0.5 when nothing is copied",
        "copies: rows equal to a reference row; repeats: rows that came before among the samples",
    ]
    return Table("Memorisation", ["set", "ratio", "nearer", "p", "copies", "repeats"], rows, notes)


def _class_table(samples: Sample, left: Sample, right: Sample) -> Table:
    if left.label is None or right.label is None:
        raise InputError("expected a class for every row of the reference")
    classes = int(max(int(left.label.max()), int(right.label.max()))) + 1
    fair = torch.bincount(torch.cat([left.label, right.label]), minlength=classes)
    known = fair > 0
    rows: list[list[str | float | int]] = []
    for name, one in (("samples", samples), ("real vs real", right)):
        label = nearest_class(one.rows, left.rows, left.label)
        index = (torch.cumsum(known, 0) - 1)[label]
        spread = modes(index, torch.ones_like(label, dtype=torch.bool), fair[known].double())
        rows.append([name, f"{spread.captured} of {spread.total}", f"{spread.reverse_kl:.4f}"])
    notes = ["class by 5 nearest reference rows; captured: at least a quarter of the share in the reference"]
    return Table("Classes covered", ["set", "captured", "reverse KL [nats]"], rows, notes)
