"""Draw the strip of pictures of the README: each is made by a shipped model, with what was asked for and what came.

``python tools/strip.py [--out docs/strip.svg]`` steers a molecule around a kept ring, receptors towards a peptide, and
pictures of bags to five brightnesses, all of seed 0 and none chosen by hand: the first templates of the file, the first
samples. The file is one SVG without fonts or links of its own; it brings its own light ground.
"""

import argparse
import base64
import io
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rdkit import Chem
from rdkit.Chem import AllChem
from rdkit.Chem.Draw import rdMolDraw2D

import zsteer
from zsteer.domains.molecules.descriptors import graph_values
from zsteer.domains.sequences.draw import Alignment, align

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
WIDTH, HEIGHT = 960, 236
RING, LOGP = "C1CCCC1", 1.0
PEPTIDE, EDITS = "YLQPRTFLL", 4
LEVELS = (0.2, 0.3, 0.4, 0.5, 0.6)
INK, QUIET, CHANGED, KEPT = "#1f2328", "#57606a", "#b3261e", (0.68, 0.85, 0.72)


def text(x: float, y: float, words: str, *, size: int = 12, colour: str = INK, anchor: str = "start") -> str:
    """A line of text in whatever sans-serif font the reader has."""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{colour}" text-anchor="{anchor}" '
        f'font-family="system-ui, sans-serif">{escape(words)}</text>'
    )


def molecule(found: Any, x: float, y: float, width: int, height: int) -> str:
    """A flat drawing with the kept ring highlighted, as a nested SVG; its letters are paths."""
    flat = Chem.RemoveHs(Chem.Mol(found))
    AllChem.Compute2DCoords(flat)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    kept = flat.GetSubstructMatch(Chem.MolFromSmarts(RING))
    bonds = [b.GetIdx() for b in flat.GetBonds() if {b.GetBeginAtomIdx(), b.GetEndAtomIdx()} <= set(kept)]
    drawing = rdMolDraw2D.MolDraw2DSVG(width, height)
    options = drawing.drawOptions()
    options.clearBackground, options.padding = False, 0.08
    rdMolDraw2D.PrepareAndDrawMolecule(
        drawing, flat, highlightAtoms=list(kept), highlightBonds=bonds,
        highlightAtomColors=dict.fromkeys(kept, KEPT), highlightBondColors=dict.fromkeys(bonds, KEPT),
    )  # fmt: skip
    drawing.FinishDrawing()
    inner = re.sub(r"<!--.*?-->|^<\?xml.*?\?>\s*", "", drawing.GetDrawingText(), flags=re.DOTALL)
    return inner.replace("<svg ", f'<svg x="{x:g}" y="{y:g}" ', 1)


def molecules() -> list[str]:
    """Before and after: the ring stays, the rest is made anew towards a logP."""
    found = zsteer.load("qm9-edm").steer(
        EXAMPLES / "ring.smi", toward={"logp": LOGP}, keep={"pattern": RING}, best_of=8, seed=0
    )
    before = Chem.MolFromSmiles((EXAMPLES / "ring.smi").read_text(encoding="utf-8").split()[0])
    after: Any = found.objects[0]
    parts = [text(20, 30, "A molecule around a kept ring", size=14)]
    for k, (one, label) in enumerate(((before, "given"), (after, "made"))):
        parts.append(molecule(one, 16 + 142 * k, 42, 136, 130))
        value = graph_values(Chem.RemoveHs(Chem.Mol(one)))["logp"]
        parts.append(text(84 + 142 * k, 186, f"{label}: logP {value:.2f}", anchor="middle"))
    parts.append(text(20, 214, f"asked: logP {LOGP:g}, the ring stays (green)", colour=QUIET))
    return parts


def letters(row: str, marks: str, x: float, y: float) -> str:
    """Residues at places of their own, so that any font lines up; changed ones in colour."""
    shown: list[str] = []
    for k, (letter, mark) in enumerate(zip(row, marks, strict=True)):
        look = f'fill="{INK}"' if mark == " " else f'fill="{CHANGED}" font-weight="bold"'
        shown.append(f'<tspan x="{x + 11 * k:g}" {look}>{escape(letter)}</tspan>')
    return (
        f'<text y="{y:g}" font-size="14" text-anchor="middle" font-family="ui-monospace, monospace">'
        f"{''.join(shown)}</text>"
    )


def receptors() -> list[str]:
    """The first three templates of the file and their designs."""
    found = zsteer.load("tcr-editor").steer(
        EXAMPLES / "receptors.tsv", toward={"binds": PEPTIDE}, max_edits=EDITS, seed=0
    )
    left, parts = 322, [text(322, 30, f"Receptors that should bind {PEPTIDE}", size=14)]
    for k in range(3):
        pair: Alignment = align(str(found.columns["template"][k]), str(found.items[k]))
        y = 62 + 46 * k
        parts += [letters(pair.before, pair.marks, left + 8, y), letters(pair.after, pair.marks, left + 8, y + 18)]
        passed = "yes" if found.columns["judge_pass"][k] in {"T", True} else "no"
        parts.append(text(left + 200, y + 16, f"{pair.edits} edits; judge: {passed}", colour=QUIET))
    facts = found.facts
    share, real = facts["judge_pass"], facts["real_binders_judge_pass"]
    parts.append(text(left, 196, f"asked: at most {EDITS} edits; a judge that no method saw", colour=QUIET))
    parts.append(
        text(left, 214, f"accepts {share:.2f} of all {len(found)}, and {real:.2f} of real binders", colour=QUIET)
    )
    return parts


def picture(pixels: NDArray[np.uint8], x: float, y: float, edge: int) -> str:
    """An image as embedded PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        f'<image x="{x:g}" y="{y:g}" width="{edge}" height="{edge}" style="image-rendering:pixelated" '
        f'href="data:image/png;base64,{data}"/>'
    )


def images() -> list[str]:
    """The same two starts of noise at five brightnesses."""
    model, left = zsteer.load("fashion-ddpm"), 674
    parts = [text(left, 30, "Bags from the same noise, brighter", size=14)]
    for k, level in enumerate(LEVELS):
        found = model.steer(toward={"brightness": level}, given={"class": "bag"}, number=2, seed=0)
        x = left + 55 * k
        parts += [picture(found.items[i], x, 44 + 55 * i, 52) for i in range(2)]
        values = " ".join(f"{float(str(value)):.2f}"[1:] for value in found.columns["brightness"])
        parts.append(text(x + 26, 172, f"{level:g}", anchor="middle"))
        parts.append(text(x + 26, 190, values, size=11, colour=QUIET, anchor="middle"))
    parts.append(text(left, 214, "asked: brightness (black); came (grey)", colour=QUIET))
    return parts


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the strip."""
    parser = argparse.ArgumentParser(description="Draw the strip of pictures of the README with the shipped models.")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "strip.svg")
    out: Path = parser.parse_args(arguments).out
    parts = [*molecules(), *receptors(), *images()]
    lines = [f'<path d="M{x} 20V{HEIGHT - 20}" stroke="#d0d7de"/>' for x in (306, 660)]
    ground = f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#ffffff" stroke="#d0d7de"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img">'
    title = "<title>A molecule, receptors and images, steered: asked for, and came</title>"
    body = "\n".join([head, title, ground, *lines, *parts, "</svg>"])
    out.write_text(body + "\n", encoding="utf-8")
    print(f"{out}: {len(body) / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
