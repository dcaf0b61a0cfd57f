"""Read mutants of every format that zsteer reads, and say which are neither read nor refused in a clean way.

``python tools/fuzz_readers.py [--mutants 20] [--format sdf --format table-csv] [--seed 0] [--keep FOLDER]``. The status
is 1 if there is any failure: another exception than zsteer's own, a hang, growth, a death, a file left behind.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

from fuzz.readers import FORMATS, Outcome, failures, outcomes


def main() -> int:
    """Read the mutants and print a line for each format, and the failures."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("--mutants", type=int, default=20, help="of each format")
    parser.add_argument("--format", action="append", choices=sorted(FORMATS), help="one of them; again for more")
    parser.add_argument("--seed", type=int, default=0, help="of the mutants")
    parser.add_argument("--keep", type=Path, help="folder for the mutants that fail")
    given = parser.parse_args()
    found: list[Outcome] = []
    for name in given.format or FORMATS:
        own = list(outcomes([name], given.mutants, seed=given.seed, keep=given.keep))
        slowest = max((one.seconds for one in own), default=0.0)
        print(f"{name:20} {dict(Counter(one.outcome for one in own))}, slowest {slowest:.1f} s", flush=True)
        print("".join(f"    {line}\n" for line in failures(own)), end="", flush=True)
        found += own
    bad = sum(not one.good for one in found)
    print(f"{len(found):,} mutants of {len({one.format for one in found})} formats, {bad} failures")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
