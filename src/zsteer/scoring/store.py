"""``Store``: results of expensive oracles in one SQLite file, found again by oracle and sample.

The key is (hash of the oracle, hash of the sample), so that another version of an oracle never gets old answers.
Write-ahead logging lets several processes read and write; a half-written result does not exist.
"""

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import torch

from zsteer.core.batch import Batch
from zsteer.core.protocols import Belief, Oracle
from zsteer.errors import OutputError, ScoringError
from zsteer.scoring.count import keys

__all__ = ["Store", "Stored", "oracle_key"]

_TABLE = """
create table if not exists results (
    oracle blob not null, sample blob not null, mean real, std real, status text not null, stored real not null,
    primary key (oracle, sample)
) without rowid
"""
_FORMAT = 1


def oracle_key(name: str, settings: Mapping[str, object]) -> bytes:
    """Hash of what an oracle is: its name, and everything that its answers depend on (version, weights' hash, ...).

    Raises:
        ScoringError: if a setting cannot be written as JSON.
    """
    try:
        text = json.dumps([name, dict(settings)], sort_keys=True)
    except TypeError as error:
        raise ScoringError(f"the settings of the oracle {name!r} are no plain JSON values ({error})") from None
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


class Store:
    """A file of results; use it as a context manager, or call ``close``.

    Args:
        path: the SQLite file; made if it does not exist.
        wait: how long to wait for another process that writes. [seconds]

    Raises:
        OutputError: if the file cannot be opened or is something else.
    """

    def __init__(self, path: Path, *, wait: float = 30.0) -> None:
        self.path = path
        with self._plain():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(path, timeout=wait, isolation_level=None)
            self._base.execute("pragma journal_mode=wal")
            self._base.execute("pragma synchronous=normal")
            version = self._base.execute("pragma user_version").fetchone()[0]
            if version not in {0, _FORMAT}:
                self._base.close()
                raise OutputError(f"{path} has format {version}, this zsteer knows {_FORMAT}; use another file")
            self._base.execute(_TABLE)
            self._base.execute(f"pragma user_version={_FORMAT}")

    @contextmanager
    def _plain(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise OutputError(f"cannot use {self.path} as a store of results: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    def __len__(self) -> int:
        with self._plain():
            return int(self._base.execute("select count(*) from results").fetchone()[0])

    def get(self, oracle: bytes, samples: Sequence[bytes]) -> dict[bytes, tuple[float, float, str]]:
        """Mean, spread and status of those samples that are stored."""
        found: dict[bytes, tuple[float, float, str]] = {}
        with self._plain():
            for start in range(0, len(samples), 500):
                part = samples[start : start + 500]
                marks = ",".join("?" * len(part))
                query = f"select sample, mean, std, status from results where oracle = ? and sample in ({marks})"  # noqa: S608 - only question marks
                for sample, mean, std, status in self._base.execute(query, (oracle, *part)):
                    # SQLite stores NaN as null.
                    found[sample] = (float("nan") if mean is None else mean, 0.0 if std is None else std, status)
        return found

    def put(self, oracle: bytes, results: Mapping[bytes, tuple[float, float, str]]) -> None:
        """Store results, all or none; what is there already stays."""
        now = time.time()
        rows = [(oracle, sample, mean, std, status, now) for sample, (mean, std, status) in results.items()]
        with self._plain():
            self._base.execute("begin immediate")
            try:
                self._base.executemany("insert or ignore into results values (?, ?, ?, ?, ?, ?)", rows)
            except BaseException:
                self._base.execute("rollback")
                raise
            self._base.execute("commit")


class Stored:
    """An oracle that looks into a store first; itself an ``Oracle``.

    Failures (a status other than ok) are not stored, so that they are tried again.

    Args:
        oracle: whom to ask for what is not stored.
        key: see ``oracle_key``.
        store: where to look.
    """

    def __init__(self, oracle: Oracle, key: bytes, store: Store) -> None:
        self._oracle, self._key, self._store = oracle, key, store

    def __call__(self, x: Batch) -> Belief:
        """Belief about each sample."""
        names = keys(x)
        known = self._store.get(self._key, list(dict.fromkeys(names)))
        new: dict[bytes, int] = {}
        for row, name in enumerate(names):
            if name not in known:
                new.setdefault(name, row)
        if new:
            belief = self._oracle(x.take(torch.tensor(list(new.values()), device=x.device)))
            status = belief.status or ["ok"] * len(new)
            fresh = dict(zip(new, zip(belief.mean.tolist(), belief.std.tolist(), status, strict=True), strict=True))
            self._store.put(self._key, {name: value for name, value in fresh.items() if value[2] == "ok"})
            known |= fresh
        rows = [known[name] for name in names]
        mean, std = (torch.tensor([row[i] for row in rows], dtype=torch.float32, device=x.device) for i in (0, 1))
        statuses = tuple(row[2] for row in rows) if any(row[2] != "ok" for row in rows) else ()
        return Belief(mean, std, statuses)
