r"""Pictures of many receptors at once, as inline SVG: a sequence logo, and where edits were made.

Receptors of different lengths stand in line by the IMGT numbers of the junction, 104 (C) to 118 (F or W): the first
half counts from the left, the second from the right, and what is longer than 15 residues gets 111.1, 111.2 ... and
112.2, 112.1 in the middle. A column of a logo is as high as what it tells,

.. math:: R_i = \log_2 20 - H_i - \frac{19}{2 n_i \ln 2}

in bits, times the share of receptors that have a residue there; each letter takes its share of that.

Sources: Schneider and Stephens, "Sequence logos", Nucleic Acids Res. 18, 1990; Lefranc et al., "IMGT unique numbering",
Dev. Comp. Immunol. 27, 2003.
"""

import html
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["EditMap", "Logo", "columns_of", "edit_map", "logo", "place_of"]

LEFT_LAST, RIGHT_FIRST = 111, 112
_FIRST, _LAST = 104, 118
RARE = 0.005
"""Share of receptors below which a column is left out."""
LETTERS = "GSTYCQNKRHDEAVLIPWFM"
"""By chemistry: small and polar, amides, basic, acidic, hydrophobic."""
_COLOURS = {
    **dict.fromkeys("GSTYC", "#0f8a5f"),
    **dict.fromkeys("QN", "#7c3aed"),
    **dict.fromkeys("KRH", "#2563eb"),
    **dict.fromkeys("DE", "#d0342c"),
    **dict.fromkeys("AVLIPWFM", "currentColor"),
}
DELETION, INSERTION = "\N{MINUS SIGN}", "+"
_STYLE = ".l text{font:11px system-ui,sans-serif;fill:currentColor}.l .s{font:700 10px Arial,Helvetica,sans-serif}"


def place_of(index: int, length: int) -> tuple[int, int]:
    """The IMGT number of a residue: the number and, behind 111 and before 112, the place beyond it.

    Args:
        index: of the residue, from 0.
        length: of the junction. [residues]
    """
    if index < (length + 1) // 2:
        number = _FIRST + index
        return (number, 0) if number <= LEFT_LAST else (LEFT_LAST, number - LEFT_LAST)
    number = _LAST - (length - 1 - index)
    return (number, 0) if number >= RIGHT_FIRST else (RIGHT_FIRST, RIGHT_FIRST - number)


def _order(place: tuple[int, int]) -> tuple[int, int]:
    # Behind 111 the places beyond it run upwards, before 112 downwards.
    return (place[0], place[1]) if place[0] != RIGHT_FIRST else (RIGHT_FIRST, -place[1])


def _name(place: tuple[int, int]) -> str:
    return f"{place[0]}" if not place[1] else f"{place[0]}.{place[1]}"


@dataclass(frozen=True)
class Logo:
    """What stands at each place.

    Args:
        names: IMGT numbers, from the left.
        heights: of each letter at each place, lowest first. [bits]
        count: receptors.
    """

    names: Sequence[str]
    heights: Sequence[Mapping[str, float]]
    count: int

    def to_svg(self) -> str:
        """As a picture."""
        wide, high, left, most = 26, 180, 34, math.log2(len(LETTERS))
        parts = [_axis(left, high, wide * len(self.names), most)]
        for k, column in enumerate(self.heights):
            x, y = left + wide * k, high + 8.0
            for letter, bits in column.items():
                tall = high * bits / most
                if tall >= 0.5:
                    # Capitals of Arial are 0.716 of their size high.
                    stretch = f'transform="translate({x + 1:.1f} {y:.2f}) scale(1 {tall / 7.16:.4f})"'
                    fill = f'style="fill:{_COLOURS[letter]}"'
                    parts.append(
                        f'<text class="s" textLength="{wide - 2}" lengthAdjust="spacingAndGlyphs" {stretch} {fill}>'
                        f"{letter}</text>"
                    )
                y -= tall
            parts.append(_below(x + wide / 2, high + 22, self.names[k]))
        label = f"Sequence logo of {self.count} receptors by IMGT position"
        return _svg(parts, left + wide * len(self.names) + 6, high + 34, label)


def columns_of(sequences: Sequence[str]) -> dict[tuple[int, int], Counter[str]]:
    """Residues at each place that occurs, from the left."""
    found: dict[tuple[int, int], Counter[str]] = {}
    # Receptors of one length share their places.
    lengths: dict[int, list[str]] = {}
    for text in sequences:
        lengths.setdefault(len(text), []).append(text)
    for length, texts in lengths.items():
        for index, letters in enumerate(zip(*texts, strict=True)):
            found.setdefault(place_of(index, length), Counter()).update(letters)
    return dict(sorted(found.items(), key=lambda item: _order(item[0])))


def logo(sequences: Sequence[str]) -> Logo:
    """The logo of some receptors; places that nearly none has are left out."""
    n = len(sequences)
    names: list[str] = []
    heights: list[Mapping[str, float]] = []
    for place, counts in columns_of(sequences).items():
        total = counts.total()
        if total < RARE * n:
            continue
        shares = {letter: count / total for letter, count in counts.items()}
        entropy = -sum(p * math.log2(p) for p in shares.values())
        bits = math.log2(len(LETTERS)) - entropy - (len(LETTERS) - 1) / (2 * total * math.log(2))
        scale = max(bits, 0.0) * total / n
        names.append(_name(place))
        heights.append({letter: scale * shares[letter] for letter in sorted(shares, key=lambda one: shares[one])})
    return Logo(names, heights, n)


@dataclass(frozen=True)
class EditMap:
    """Where designs differ from their templates, and what was put there.

    Args:
        names: IMGT numbers of the templates' residues, from the left.
        shares: of all designs, by what was put there, at each place.
        changed: share of designs that differ at each place.
        count: designs.
    """

    names: Sequence[str]
    shares: Mapping[str, Sequence[float]]
    changed: Sequence[float]
    count: int

    def to_svg(self) -> str:
        """As a picture: the darker a cell, the more designs."""
        wide, tall, left, top = 26, 15, 76, 8
        most = max((value for row in self.shares.values() for value in row), default=0.0) or 1.0
        largest = max(self.changed, default=0.0) or 1.0
        parts = [_cells((left, top), (wide, tall), "any change", self.changed, largest, self.names)]
        y = float(top + tall + 8)
        for title, row in self.shares.items():
            parts.append(_cells((left, y), (wide, tall), title, row, most, self.names))
            y += tall
        for k, name in enumerate(self.names):
            parts.append(_below(left + wide * (k + 0.5), y + 14, name))
        label = f"Edits of {self.count} designs by IMGT position of the template and residue put there"
        return _svg(parts, left + wide * len(self.names) + 6, y + 26, label)


def edit_map(pairs: Sequence[tuple[str, str]]) -> EditMap:
    """Where designs differ from their templates.

    Args:
        pairs: template and design in line, with gaps (``draw.align``).
    """
    there: Counter[tuple[int, int]] = Counter()
    changed: Counter[tuple[int, int]] = Counter()
    put: dict[str, Counter[tuple[int, int]]] = {}
    for before, after in pairs:
        length, index = sum(letter != "-" for letter in before), -1
        own: set[tuple[int, int]] = set()
        for old, new in zip(before, after, strict=True):
            index += old != "-"
            place = place_of(max(index, 0), length)
            there[place] += old != "-"
            if old != new:
                title = INSERTION if old == "-" else DELETION if new == "-" else new
                put.setdefault(title, Counter())[place] += 1
                own.add(place)
        changed.update(own)
    n = max(len(pairs), 1)
    places = [place for place in sorted(there, key=_order) if there[place] >= RARE * n]
    titles = [title for title in (*LETTERS, INSERTION, DELETION) if title in put]
    shares = {title: [put[title][place] / n for place in places] for title in titles}
    return EditMap([_name(place) for place in places], shares, [changed[place] / n for place in places], len(pairs))


def _cells(
    corner: Sequence[float],
    size: Sequence[float],
    title: str,
    row: Sequence[float],
    most: float,
    names: Sequence[str],
) -> str:
    (x, y), (wide, tall) = corner, size
    plain = {INSERTION: "inserted", DELETION: "deleted"}.get(title, title)
    parts = [f'<text x="{x - 6}" y="{y + tall - 4:.0f}" text-anchor="end">{html.escape(plain)}</text>']
    for k, value in enumerate(row):
        hint = f"<title>{html.escape(plain)} at {names[k]}: {value:.1%} of the designs</title>"
        rect = f'<rect x="{x + wide * k}" y="{y:.0f}" width="{wide - 1}" height="{tall - 1}"'
        parts.append(
            f'{rect} fill="currentColor" fill-opacity=".05"/>'
            f'{rect} fill="#b3470f" fill-opacity="{value / most:.3f}">{hint}</rect>'
        )
    return "".join(parts)


def _below(x: float, y: float, name: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" style="font-size:8px">{name}</text>'


def _axis(left: float, high: float, wide: float, most: float) -> str:
    parts = [
        f'<text transform="rotate(-90 10 {high / 2:.0f})" x="10" y="{high / 2:.0f}" text-anchor="middle">bits</text>'
    ]
    for bits in range(int(most) + 1):
        y = 8 + high * (1 - bits / most)
        parts.append(f'<path d="M{left} {y:.1f}h{wide}" stroke="currentColor" stroke-opacity=".15"/>')
        parts.append(f'<text x="{left - 5}" y="{y + 4:.1f}" text-anchor="end">{bits}</text>')
    return "".join(parts)


def _svg(parts: Sequence[str], wide: float, high: float, label: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="l" viewBox="0 0 {wide:.0f} {high:.0f}" role="img" '
        f'aria-label="{html.escape(label)}" style="max-width:{wide:.0f}px;width:100%"><style>{_STYLE}</style>'
        f"{''.join(parts)}</svg>\n"
    )
