"""How a sequence is spelt: what is wrong with a text that should be one, in words, with what to do. No torch."""

__all__ = ["problem"]

SHOWN = 40
V_DOMAIN = 60
"""From so many residues on a text with anchors is taken for a whole V domain in messages. [residues]"""


def problem(item: str, *, letters: str, name: str, low: int, high: int) -> str | None:
    """Why a text is no sequence, and what to do about it; None if it is one.

    Args:
        item: the text.
        letters: of the alphabet.
        name: of the alphabet.
        low: fewest letters.
        high: most letters.
    """
    if not item:
        return "the sequence is empty"
    shown = repr(item if len(item) <= SHOWN else item[:SHOWN] + "...")
    if not set(letters).issuperset(item):
        place, letter = next((i, c) for i, c in enumerate(item, 1) if c not in letters)
        return f"{shown}: {_foreign(letter, f'at position {place}', letters, name)}"
    if len(item) < low:
        return f"{shown} is too short: expected at least {low} residues, got {len(item)}"
    if name == "protein" and len(item) >= V_DOMAIN:
        return f"{shown} has {len(item)} residues, a V domain or a whole chain; give its CDR3 alone, from C to F or W"
    if len(item) > high:
        return f"{shown} is too long: expected at most {high} residues, got {len(item)}"
    return None


def _foreign(letter: str, where: str, letters: str, name: str) -> str:
    protein = name == "protein"
    if letter.upper() in letters and letter != letter.upper():
        return f"lower-case {letter!r} {where}; write it in capital letters"
    if protein and letter in "_~#":
        return f"frame shift {letter!r} {where}; the receptor is out of frame and cannot be used"
    if letter in "-._":
        return f"gap {letter!r} {where}; remove gaps and write the bare sequence"
    if letter == "*":
        return f"stop codon '*' {where}; only whole sequences can be used"
    if protein and letter in "XBZJUO?":
        return f"{letter!r} {where} is not one of the 20 amino acids ({letters}); resolve it or drop the row"
    if letter.isspace():
        return f"white space {where}; remove it"
    noun = "an amino acid" if protein else f"a letter of {name}"
    return f"{letter!r} {where} is not {noun}; expected letters of {letters}"
