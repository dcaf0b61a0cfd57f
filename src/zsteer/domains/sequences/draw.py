"""A design under its template: residues in line, changes marked; as plain text and as HTML.

The line-up has the fewest edits; among those a substitution goes before a gap, and gaps stand as far right as they can.
"""

import html
from dataclasses import dataclass

import numpy as np

__all__ = ["Alignment", "align"]

GAP = "-"


@dataclass(frozen=True)
class Alignment:
    """Two sequences in line.

    Args:
        before: the template, with gaps.
        after: the design, with gaps; of the same length.
    """

    before: str
    after: str

    @property
    def marks(self) -> str:
        """``*`` under a substitution, ``+`` under an insertion, ``-`` under a deletion, else a space."""
        kinds = {(True, False): "+", (False, True): "-"}
        pairs = zip(self.before, self.after, strict=True)
        return "".join(" " if a == b else kinds.get((a == GAP, b == GAP), "*") for a, b in pairs)

    @property
    def edits(self) -> int:
        """Number of edits."""
        return sum(mark != " " for mark in self.marks)

    def text(self) -> str:
        """Three lines: template, design, marks."""
        return f"{self.before}\n{self.after}\n{self.marks}".rstrip()

    def to_html(self) -> str:
        """Template and design as two lines, the changes of both in ``<b>``."""
        lines = [
            "".join(self._letter(c, m) for c, m in zip(x, self.marks, strict=True)) for x in (self.before, self.after)
        ]
        return f'<div class="seq">{lines[0]}\n{lines[1]}</div>'

    @staticmethod
    def _letter(letter: str, mark: str) -> str:
        return html.escape(letter) if mark == " " else f"<b>{html.escape(letter)}</b>"


def align(before: str, after: str) -> Alignment:
    """Put a design in line with its template."""
    n, m = len(before), len(after)
    cost = np.zeros((n + 1, m + 1), dtype=np.int64)
    cost[:, m], cost[n, :] = np.arange(n, -1, -1), np.arange(m, -1, -1)
    for i in range(n - 1, -1, -1):
        for j in range(m - 1, -1, -1):
            change = cost[i + 1, j + 1] + (before[i] != after[j])
            cost[i, j] = min(change, cost[i + 1, j] + 1, cost[i, j + 1] + 1)
    i = j = 0
    top: list[str] = []
    bottom: list[str] = []
    while i < n or j < m:
        if i < n and j < m and cost[i, j] == cost[i + 1, j + 1] + (before[i] != after[j]):
            top.append(before[i])
            bottom.append(after[j])
            i, j = i + 1, j + 1
        elif i < n and cost[i, j] == cost[i + 1, j] + 1:
            top.append(before[i])
            bottom.append(GAP)
            i += 1
        else:
            top.append(GAP)
            bottom.append(after[j])
            j += 1
    return Alignment("".join(top), "".join(bottom))
