"""The public sets that are known by name, and how a table is split.

A split takes single ratings, not users: what is asked later is another rating of a user who is known.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from zsteer.core.rng import Streams
from zsteer.domains.ratings.space import Ratings
from zsteer.errors import InputError, nearest

__all__ = ["SETS", "Known", "Split", "core", "dataset_of", "find", "split", "split_at"]


@dataclass(frozen=True)
class Known:
    """A public set.

    Args:
        file: its place in the data folder.
        sha256: of the file as it lies there.
        licence: under which its owners give it.
        cite: whom to name.
    """

    file: str
    sha256: str
    licence: str
    cite: str


SETS = {
    "ml-latest-small": Known(
        "ratings/ml-latest-small-ratings.csv.gz",
        "31bb504043c5bd56a22cc6a5d080cd9b7b86cad5a917b5dd46497c85a98517e0",
        "GroupLens terms: research, non-commercial, passed on under the same terms only",
        "F. M. Harper, J. A. Konstan, The MovieLens Datasets: History and Context, ACM TiiS 5(4):19, 2015",
    ),
    "movietweetings": Known(
        "ratings/movietweetings-100k-ratings.dat.gz",
        "2ecdfa5006ac1efaf5582de8d85be818f97740f252ebe1536d2a2453d025a834",
        "MIT, Copyright (c) 2013 Simon Dooms",
        "S. Dooms, T. De Pessemier, L. Martens, MovieTweetings, CrowdRec workshop at RecSys 2013",
    ),
}
"""Public sets by name; neither is part of zsteer, both are read from the data folder."""


def dataset_of(dataset: str, data: Path | None) -> str:
    """The name of the set that a recipe's ``dataset`` and data path stand for: one of ``SETS``, or own.

    Args:
        dataset: a name, own, or auto: own for a file and for a folder that has no public set.
        data: the data folder, or the user's own file or folder.

    Raises:
        InputError: if the path does not exist, or there is no such set.
    """
    if dataset not in {*SETS, "auto", "own"}:
        raise InputError(nearest(dataset, [*SETS, "auto", "own"], what="dataset"))
    if data is None:
        choice = "|".join(SETS)
        raise InputError(f"no data was named; pass --data FILE with ratings, or --data FOLDER with --dataset {choice}")
    if not data.exists():
        raise InputError(f"there is no file or folder {data}")
    if data.is_file():
        return "own"
    if dataset != "auto":
        return dataset
    return next((name for name, known in SETS.items() if (data / known.file).is_file()), "own")


def find(dataset: str, data: Path | None) -> tuple[Path, dict[str, str]]:
    """The file of a set, and where it comes from.

    Args:
        dataset: a name that ``dataset_of`` understands.
        data: data folder, or the user's own ratings.

    Returns:
        The file, or the user's folder, and name, SHA-256 and licence for the card of a model.

    Raises:
        InputError: if there is no such file, or a known set is not what it should be.
    """
    name = dataset_of(dataset, data)
    if data is None:
        raise InputError("no data was named")
    if name == "own":
        origin = {"name": data.name, "licence": "the user's own"}
        if data.is_file():
            origin["sha256"] = hashlib.sha256(data.read_bytes()).hexdigest()
        return data, origin
    known = SETS[name]
    path = data / known.file
    if not path.is_file():
        raise InputError(f"the data folder {data} has no {known.file}, which the dataset {name} needs")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != known.sha256:
        raise InputError(f"{path} is not the file that {name} names: SHA-256 {digest[:12]}, not {known.sha256[:12]}")
    return path, {"name": name, "sha256": digest, "licence": known.licence, "cite": known.cite}


def core(ratings: Ratings, least: int) -> Ratings:
    """The largest part in which every user and every item has at least ``least`` ratings.

    Raises:
        InputError: if nothing is left.
    """
    kept = torch.ones(len(ratings), dtype=torch.bool)
    while bool(kept.any()):
        users = torch.bincount(ratings.user[kept], minlength=len(ratings.users))
        items = torch.bincount(ratings.item[kept], minlength=len(ratings.items))
        fits = kept & (users[ratings.user] >= least) & (items[ratings.item] >= least)
        if bool((fits == kept).all()):
            return compact(ratings.take(kept))
        kept = fits
    raise InputError(f"{ratings.source}: no users and items have at least {least} ratings of each other")


def compact(ratings: Ratings) -> Ratings:
    """The same ratings over the users and items that occur."""
    users, user = torch.unique(ratings.user, return_inverse=True)
    items, item = torch.unique(ratings.item, return_inverse=True)
    names = [ratings.users[k] for k in users.tolist()], [ratings.items[k] for k in items.tolist()]
    return replace(ratings, users=names[0], items=names[1], user=user, item=item)


@dataclass(frozen=True)
class Split:
    """Three parts of a table, over the same users and items.

    Args:
        train: to learn from.
        valid: to choose settings and to stop by.
        test: to report.
    """

    train: Ratings
    valid: Ratings
    test: Ratings


def split(ratings: Ratings, seed: int, *, test: float = 0.1, valid: float = 0.1) -> Split:
    """Draw single ratings at random.

    Args:
        ratings: the whole table.
        seed: of the draw.
        test: share of all ratings.
        valid: share of what is left.

    Raises:
        InputError: if a part that is wanted would be empty.
    """
    order = Streams.of(seed, 1).child("ratings").permutation("split", len(ratings))[0]
    return split_at(ratings, order[: int(test * len(ratings))], seed, valid=valid, wanted=test > 0)


def split_at(ratings: Ratings, test: Int[Tensor, " k"], seed: int, *, valid: float = 0.1, wanted: bool = True) -> Split:
    """Set given ratings aside as the test part, and draw the validation part from the others.

    Raises:
        InputError: if a part that is wanted would be empty.
    """
    if wanted and len(test) == 0:
        raise InputError(f"{ratings.source}: the test part of {len(ratings)} ratings is empty; ask for a larger share")
    free = torch.ones(len(ratings), dtype=torch.bool)
    free[test] = False
    others = free.nonzero()[:, 0]
    order = Streams.of(seed, 1).child("ratings").permutation("valid", len(others))[0]
    count = int(valid * len(others))
    if valid > 0 and count == 0:
        raise InputError(f"{ratings.source}: the validation part of {len(others)} ratings is empty; ask for more")
    if count == len(others):
        raise InputError(f"{ratings.source}: no rating is left to learn from")
    return Split(ratings.take(others[order[count:]]), ratings.take(others[order[:count]]), ratings.take(test))
