r"""``RatingRBM``: one machine for each user, all with the same parameters, over the items that the user has rated.

.. math:: p(v_S \mid S) \propto e^{-F(v_S \mid S)}, \quad \text{loss}_u = \frac{1}{\bar n}
          \left[ F(v_S \mid S) - F_{-} + \tfrac12 \sum_{i \in S} \frac{\lambda |w_i|^2 + \lambda_b b_i^2}{n_i} \right]

with a softmax over the K levels of each rated item. Bias of level k of item i: base_k + s_k b_i. The negative phase
F_- is a mean-field chain of T steps (CD-T, T = 1, 3, 5, 9 as training goes on) or, for Gaussian hidden units, the
closed form of ``rbm_cf_gaussian``. A rating changes its item's decay once: n_i is the number of ratings of item i, so
that a pass over all users sums to the posterior's log-density.

With decay to infinity the item units vanish and what is left is the bias model (a user's tilt plus an item's bias).
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zsteer.core.artifact import Pretrained
from zsteer.core.batch import Batch
from zsteer.core.options import Option
from zsteer.core.protocols import Turn
from zsteer.core.rng import Streams
from zsteer.errors import ArtifactError, InputError, SettingsError, nearest
from zsteer.maths.boltzmann import contrast
from zsteer.models.ratings import bernoulli as binary
from zsteer.models.ratings import gaussian
from zsteer.models.ratings.fill import Filler
from zsteer.models.ratings.settings import Rated, RatingSettings

__all__ = ["RatingRBM", "RatingSettings"]

TILT = 0.5
"""Spread of users' tilts before training."""

CHAIN = (1, 3, 5, 9)
"""Steps of the chain in each quarter of training (CD-T)."""

BLANKS = 50
"""Blanks that are filled in when none are named: those of the most rated items."""


class RatingRBM(Pretrained, nn.Module):
    """Shared parameters, a distribution over levels for every user and item.

    Fields of a batch: ``items`` and ``levels`` (b, n), with the mask where rated. ``names`` holds users and items.
    """

    kind = "rbm-ratings"
    Settings = RatingSettings

    def __init__(self, settings: RatingSettings) -> None:
        super().__init__()
        self.settings = s = settings
        if s.hidden == "gaussian" and s.tie != "ordinal":
            raise SettingsError(f"tie={s.tie} is for hidden=bernoulli; Gaussian hidden units tie levels by a score")
        if s.hidden == "bernoulli" and s.negative == "closed":
            raise SettingsError("negative=closed is for hidden=gaussian; Bernoulli hidden units need negative=chain")
        if len(s.levels) != len(s.values) or any(b <= a for a, b in zip(s.values, s.values[1:], strict=False)):
            raise SettingsError(f"expected one rising value for each of {len(s.levels)} levels, got {s.values}")
        self.users: Sequence[str] = ()
        self.items: Sequence[str] = ()
        level = len(s.levels)
        for name, value in {
            "values": torch.tensor(s.values),
            "frequency": torch.full((level,), 1 / level),
            "count": torch.ones(s.items),
            "per_user": torch.ones(()),
            "clock": torch.zeros((), dtype=torch.long),
            "known_start": torch.zeros(s.users + 1, dtype=torch.long),
            "known_item": torch.zeros(s.kept, dtype=torch.long),
            "known_level": torch.zeros(s.kept, dtype=torch.long),
        }.items():
            self.register_buffer(name, value)
        self.values: Tensor
        self.frequency: Tensor
        self.count: Tensor
        self.per_user: Tensor
        self.clock: Tensor
        self.known_start: Tensor
        self.known_item: Tensor
        self.known_level: Tensor
        self._build(level)

    def _build(self, level: int) -> None:
        s = self.settings
        self.base = nn.Parameter(torch.zeros(level))
        self.bias = nn.Parameter(torch.zeros(s.items))
        self.tilt = nn.Parameter(torch.tensor(math.log(TILT)))
        if s.tie == "ordinal":
            self.w = self._small("w", s.items, s.factors)
        elif s.tie == "free":
            self.w = self._small("w", s.items, level, s.factors)
        else:
            self.w = self._small("w", s.items, level, s.rank)
            self.mix = self._small("mix", s.rank, s.factors, spread=1 / math.sqrt(s.rank))
        if s.hidden == "bernoulli":
            self.hidden_bias = nn.Parameter(torch.zeros(s.factors))
        if s.conditional:
            self.rated = self._small("rated", s.items, s.factors)

    def _small(self, name: str, rows: int, *shape: int, spread: float = 0.02) -> nn.Parameter:
        """First weights: the first rows of a larger model are those of a smaller one."""
        return nn.Parameter(spread * Streams.of(self.settings.seed, rows).child("weights").normal(name, shape))

    @property
    def space(self) -> Mapping[str, Any]:
        """Ratings on the model's scale."""
        return {"name": "ratings", "levels": list(self.settings.levels), "values": list(self.settings.values)}

    @property
    def options(self) -> tuple[Option, ...]:
        """A known user and the items to fill in, as conditions."""
        return (
            Option("user", "given", "text", "a known user, by name; a new one when absent"),
            Option(
                "items", "given", "text", "items to fill in, by name with commas between; the most rated when absent"
            ),
        )

    @property
    def turns(self) -> Sequence[Turn]:
        """One player."""
        return (Turn("machine"),)

    def players(self) -> Mapping[str, Iterable[nn.Parameter]]:
        """All parameters."""
        return {"machine": list(self.parameters())}

    def after_step(self, player: str) -> None:
        """The chain's length grows with the number of updates."""
        del player
        self.clock += 1

    @torch.no_grad()
    def prepare(self, ratings: Batch) -> None:
        """Take frequencies from the training data: of the levels, and of the ratings of each item and user.

        Biases of items start at one Newton step from the frequencies, shrunk as their prior says.

        Args:
            ratings: all users, fields items and levels with the mask.
        """
        r = Rated.of(ratings, self.settings)
        k = len(self.settings.levels)
        counts = torch.bincount(r.level, minlength=k).to(self.base.dtype) + 1
        self.frequency.copy_(counts / counts.sum())
        self.base.copy_(self.frequency.log())
        self.count.copy_(torch.bincount(r.item, minlength=self.settings.items))
        self.per_user.fill_(max(len(r.item) / max(r.users, 1), 1.0))
        total = torch.zeros_like(self.bias).index_add(0, r.item, self.score()[r.level])
        self.bias.copy_(total / (self.count + self.settings.bias_decay))

    def score(self) -> Float[Tensor, " k"]:
        """Ordinal scores of the levels: their values with mean 0 and variance 1 over the training ratings."""
        centred = self.values - (self.frequency * self.values).sum()
        return centred / (self.frequency * centred.square()).sum().sqrt()

    def shared(self) -> Float[Tensor, "k u"]:
        """Loads of the levels on what all items share: the tilt, and how the scale is filled beyond it."""
        s = self.score()
        tilt = self.tilt.exp() * s[:, None]
        if self.settings.usage == 0:
            return tilt
        free = torch.eye(len(s), dtype=s.dtype, device=s.device) - s[:, None] * (self.frequency * s)[None, :]
        return torch.cat([tilt, self.settings.usage * free], 1)

    def biases(self, item: Int[Tensor, " r"]) -> Float[Tensor, "r k"]:
        """Biases of the levels of items."""
        return self.base + self.bias[item, None] * self.score()

    def weights(self, item: Int[Tensor, " r"]) -> Float[Tensor, "r k f"]:
        """Weights of every level of items, by the tie."""
        w = self.w[item]
        if self.settings.tie == "ordinal":
            return self.score()[None, :, None] * w[:, None, :]
        return w if self.settings.tie == "free" else w @ self.mix

    def hidden_field(self, rated: Rated) -> Float[Tensor, "b f"]:
        """What Bernoulli hidden units are given apart from levels: their bias, and which items are rated."""
        return self.implicit(rated) + self.hidden_bias

    def implicit(self, rated: Rated) -> Float[Tensor, "b f"]:
        r"""What the rated items say by being rated: :math:`\sum_{i \in S} d_i / \sqrt{|S|}`, or zero."""
        zero = torch.zeros(rated.users, self.settings.factors, dtype=self.base.dtype, device=self.base.device)
        if not self.settings.conditional:
            return zero
        size = rated.total(torch.ones_like(rated.item, dtype=zero.dtype)).clamp(min=1.0)
        return rated.total(self.rated[rated.item]) / size.sqrt()[:, None]

    def losses(self, x: Batch, player: str, rng: Streams) -> Mapping[str, Float[Tensor, " b"]]:
        """Free energy against the negative phase, and the decay, in units of a typical user's ratings.

        Each user's rating vector is one data point; users share the weights and biases of the items they have rated.

        Lecture: rbm.ratings
        """
        del player, rng
        rated = Rated.of(x, self.settings)
        value = self._gaussian_loss(rated) if self.settings.hidden == "gaussian" else self._binary_loss(rated)
        return {"machine": value / self.per_user, "decay": self._decay(rated) / self.per_user}

    def _decay(self, rated: Rated) -> Float[Tensor, " b"]:
        s, item = self.settings, rated.item
        each = s.decay * self.w[item].flatten(1).square().sum(1) + s.bias_decay * self.bias[item].square()
        if s.conditional:
            each = each + s.decay * self.rated[item].square().sum(1)
        return rated.total(0.5 * each / self.count[item].clamp(min=1.0))

    def _gaussian_loss(self, rated: Rated) -> Float[Tensor, " b"]:
        c, loads, implicit = self.biases(rated.item), self._loads(rated.item), self.implicit(rated)
        point = gaussian.user_point(c.detach(), loads.shared.detach(), rated)
        v = rated.chosen(len(self.settings.levels), c)
        here = gaussian.posterior(c, loads, rated, implicit, point=point, v=v)
        if self.settings.negative == "closed":
            return -here.minus_free_energy(normalised=True)
        with torch.no_grad():
            then, end = here, v
            for _ in range(self._chain()):
                h = then.mean()
                shift, own = h.split([loads.shared.shape[1], self.settings.factors], 1)
                tilt = (loads.w * own[rated.user]).sum(1)[:, None] * loads.score
                end = (here.log_p + (shift @ loads.shared.T)[rated.user] + tilt).softmax(1)
                then = gaussian.posterior(c, loads, rated, implicit, point=point, v=end)
        last = gaussian.posterior(c, loads, rated, implicit, point=point, v=end)
        return contrast(-here.minus_free_energy(normalised=False), -last.minus_free_energy(normalised=False))

    def _binary_loss(self, rated: Rated) -> Float[Tensor, " b"]:
        c, w = self._pointed(rated), self.weights(rated.item)
        bias = self.hidden_field(rated)
        v = rated.chosen(len(self.settings.levels), c)
        end = v
        with torch.no_grad():
            for _ in range(self._chain()):
                end = binary.reconstruct(c, w, rated, binary.field(w, rated, end, bias))
        values = [-binary.minus_free_energy(c, binary.field(w, rated, at, bias), rated, at) for at in (v, end)]
        return contrast(values[0], values[1])

    def _chain(self) -> int:
        """Steps of the chain now."""
        done = int(self.clock) / self.settings.steps
        return CHAIN[min(int(4 * done), len(CHAIN) - 1)]

    def _loads(self, item: Int[Tensor, " r"]) -> gaussian.Loads:
        return gaussian.Loads(self.shared(), self.score(), self.w[item])

    def _pointed(self, rated: Rated) -> Float[Tensor, "r k"]:
        """Biases of the levels at each user's own point."""
        c, shared = self.biases(rated.item), self.shared()
        point = gaussian.user_point(c.detach(), shared.detach(), rated)
        return (c + (point @ shared.T)[rated.user]).log_softmax(1)

    @torch.no_grad()
    def predict(
        self, x: Batch, user: Int[Tensor, " q"], item: Int[Tensor, " q"], *, piece: int = 4096
    ) -> Float[Tensor, "q k"]:
        """Log-probability of each level for pairs of a user and an item.

        Args:
            x: what the users have rated; a user may have rated nothing.
            user: row of ``x`` for each pair.
            item: item of each pair.
            piece: pairs at a time.

        Returns:
            Normalised log-probabilities over the levels.
        """
        rated = Rated.of(x, self.settings)
        if self.settings.hidden == "gaussian":
            c, loads = self.biases(rated.item), self._loads(rated.item)
            point = gaussian.user_point(c, loads.shared, rated)
            v = rated.chosen(len(self.settings.levels), c)
            known = gaussian.posterior(c, loads, rated, self.implicit(rated), point=point, v=v)
            parts = [
                gaussian.query(known, self.biases(at), self._loads(at), who)
                for who, at in zip(user.split(piece), item.split(piece), strict=True)
            ]
        else:
            shared = self.shared()
            point = gaussian.user_point(self.biases(rated.item), shared, rated)
            c, w = self._pointed(rated), self.weights(rated.item)
            bias = self.hidden_field(rated)
            h = binary.field(w, rated, rated.chosen(len(self.settings.levels), c), bias)
            parts = [
                binary.query(self.biases(at) + (point @ shared.T)[who], self.weights(at), h, who)
                for who, at in zip(user.split(piece), item.split(piece), strict=True)
            ]
        return torch.cat(parts) if parts else torch.zeros(0, len(self.settings.levels))

    @torch.no_grad()
    def fill(self, x: Batch, blanks: Int[Tensor, "b m"], rng: Streams, *, sweeps: int = 50) -> Int[Tensor, "b m"]:
        """Draw the levels of several blanks of each user together, by Gibbs sampling.

        Args:
            x: what the users have rated, ``b`` of them.
            blanks: items to fill in for each.
            rng: one stream for each user.
            sweeps: hidden and blanks by turns, from independent draws.

        Returns:
            A level for each blank, shape ``(b, m)``.
        """
        return Filler(self, x, blanks).run(rng, sweeps)

    def sample(self, n: int, *, given: Mapping[str, object] | None = None, rng: Streams) -> Batch:
        """Fill in blanks, all of one row together: of a known user, or of a new one.

        Args:
            n: how many times.
            given: ``user`` by name; ``items`` by name with commas between, the user's blanks among the most rated items
                when absent.
            rng: one stream for each.

        Raises:
            InputError: if there is another condition, or a name is unknown.
        """
        given = dict(given or {})
        for key in given:
            if key not in {"user", "items"}:
                raise InputError("--given: " + nearest(key, ("user", "items"), what="condition"))
        x = self.known(str(given["user"])) if "user" in given else self.nobody()
        blanks = self._blanks(x, given.get("items")).to(rng.ids.device).expand(n, -1)
        with torch.no_grad():
            levels = self.fill(x.take(torch.zeros(n, dtype=torch.long)), blanks, rng)
        return Batch({"items": blanks, "levels": levels})

    def _blanks(self, x: Batch, named: object) -> Int[Tensor, " m"]:
        """Items to fill in."""
        seen = set(x["items"][x.mask].tolist()) if x.mask is not None else set[int]()
        if named is None:
            often = self.count.argsort(descending=True, stable=True).tolist()
            chosen = [item for item in often if item not in seen][:BLANKS]
            if not chosen:
                raise InputError("there is no blank to fill in: the user has rated every item")
            return torch.tensor(chosen)
        chosen: list[int] = []
        for name in (word.strip() for word in str(named).split(",")):
            if name not in self.items:
                raise InputError(nearest(name, self.items, what="item"))
            chosen.append(self.items.index(name))
        rated = [self.items[item] for item in chosen if item in seen]
        if rated:
            raise InputError(f"{rated[0]!r} is no blank: the user has rated it")
        return torch.tensor(chosen)

    def nobody(self) -> Batch:
        """A user who has rated nothing."""
        nothing = torch.zeros(1, 1, dtype=torch.long, device=self.base.device)
        return Batch({"items": nothing, "levels": nothing}, mask=nothing.bool())

    def known(self, name: str) -> Batch:
        """The kept ratings of a user.

        Raises:
            InputError: if there is no such user; the nearest name is given.
        """
        if name not in self.users:
            raise InputError(nearest(name, self.users, what="user"))
        number = self.users.index(name)
        at = slice(int(self.known_start[number]), int(self.known_start[number + 1]))
        item, level = self.known_item[at], self.known_level[at]
        if len(item) == 0:
            return self.nobody()
        return Batch({"items": item[None], "levels": level[None]}, mask=torch.ones_like(item, dtype=torch.bool)[None])

    def texts(self) -> dict[str, str]:
        """Names of users and items."""
        return {"names.json": json.dumps({"users": list(self.users), "items": list(self.items)})}

    def restore(self, tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> None:
        """Take back weights and names.

        Raises:
            ArtifactError: if the names are missing or damaged.
        """
        super().restore(tensors, texts)
        try:
            names = json.loads(texts["names.json"])
            self.users, self.items = tuple(names["users"]), tuple(names["items"])
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ArtifactError(f"names.json of a model of ratings is missing or damaged ({error})") from None
