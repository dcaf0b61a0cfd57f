"""Run every style and structure check of the project and say which failed: python tools/check.py [NAME ...].

The checks are commands of the tools in .venv, with their settings in pyproject.toml. ``make check test-all`` is what CI
runs: style here, behaviour in the tests.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHECKS: dict[str, list[str]] = {
    "ruff": ["-m", "ruff", "check", "."],
    "format": ["-m", "ruff", "format", "--check", "."],
    # A docstring describes no argument and no section that the function does not have; what it leaves out is D417's.
    "docstrings": ["-m", "ruff", "check", "--preview", "--select", "DOC102,DOC202,DOC403", "src"],
    "pyright": ["-m", "pyright", "--pythonpath", sys.executable],
    "import-law": ["-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
    "codespell": ["-m", "codespell_lib", "src", "tests", "tools", "docs", "README.md", "AGENTS.md", "CONTRIBUTING.md"],
    "deptry": ["-m", "deptry", "src"],
    "house": ["tools/house.py"],
    "lecture-index": ["tools/lecture_index.py", "--check"],
}


def run(name: str) -> tuple[bool, str]:
    """Run one check.

    Args:
        name: a key of ``CHECKS``.

    Returns:
        Whether it passed, and what it printed.
    """
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), environment.get("PYTHONPATH", "")])
    environment.setdefault("NO_COLOR", "1")
    done = subprocess.run(
        [sys.executable, *CHECKS[name]], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode == 0, (done.stdout + done.stderr).strip()


def main(names: list[str]) -> int:
    """Run the named checks, or all, and print one line for each; 1 if any failed."""
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        print(f"no check {unknown[0]!r}; there are {', '.join(CHECKS)}")
        return 2
    failed = []
    for name in names or CHECKS:
        start = time.perf_counter()
        passed, output = run(name)
        print(f"{'ok    ' if passed else 'FAILED'} {name} ({time.perf_counter() - start:.1f} s)")
        if not passed:
            failed.append(name)
            print("\n".join(f"    {line}" for line in output.splitlines()))
    print(
        f"{len(failed)} of {len(names or CHECKS)} checks failed: {', '.join(failed)}" if failed else "all checks passed"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
