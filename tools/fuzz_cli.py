"""Ask wrong command lines of zsteer, and say which are not refused in a clean way.

``python tools/fuzz_cli.py [--lines 100] [--command sample --command steer] [--seed 0] [--first 0]``. The status is 1 if
there is any failure: an accepted line, a traceback, an internal error, a hang, a file left behind, a long message.
"""

import argparse
import os
import shlex
import sys
import tempfile
from collections import Counter
from pathlib import Path

from fuzz.lines import GOOD, Answer, answers


def main() -> int:
    """Ask the lines and print the failures."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("--lines", type=int, default=100)
    parser.add_argument("--command", action="append", choices=sorted(GOOD), help="one of them; again for more")
    parser.add_argument("--seed", type=int, default=0, help="of the lines")
    parser.add_argument("--first", type=int, default=0, help="number of the first line")
    given = parser.parse_args()
    os.environ["COLUMNS"] = "200"  # help pages without broken names
    found: list[Answer] = []
    with tempfile.TemporaryDirectory(prefix="zsteer-lines-") as folder:
        for one in answers(
            Path(folder).resolve(), given.lines, seed=given.seed, commands=given.command or (), first=given.first
        ):
            found.append(one)
            if one.problem:
                line = shlex.join(one.line)
                print(
                    f"{one.problem}: #{one.number} {one.what}\n    zsteer {line[:240]}\n    {one.said[-300:]}",
                    flush=True,
                )
        os.chdir("/")
    bad = Counter(one.problem.split(":")[0] for one in found if one.problem)
    print(f"{len(found)} wrong lines, {sum(bad.values())} failures: {dict(bad)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
