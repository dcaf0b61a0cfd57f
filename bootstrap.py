"""Set the project up and run one of its commands: python bootstrap.py demo|test|test-all|check|bench|setup.

Standard library only, so that a fresh machine needs nothing but Python 3.11 or newer. It makes .venv beside this
file with the versions of constraints.txt, once (a stamp remembers what is installed), and then runs the command
in it. ``demo`` and ``bench`` install what the package needs; the other commands add the tools of the [dev] extra.
This file starts under older Pythons too, only to look for a newer one and to say plainly if there is none.
"""

import glob
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(ROOT, ".venv")
PEERS = os.path.join(ROOT, ".venv-peers")
PYTHON = os.path.join(VENV, "Scripts" if os.name == "nt" else "bin", "python.exe" if os.name == "nt" else "python")
NEEDS_GIB = 3.0
TESTS = ["-m", "pytest", "-n", "2"]
COMMANDS = {  # name: (set-up, command lines run in .venv, what it does)
    "demo": (
        "core",
        [["-m", "zsteer.cli.main", "demo", "--out", "runs/demo", "--overwrite"]],
        "design T-cell receptors and write runs/demo/report.html",
    ),
    "test": ("dev", [TESTS + ["-m", "not slow"]], "run the quick tests"),
    "test-all": ("dev", [TESTS], "run all tests, slow ones included"),
    "check": (
        "dev",
        [["tools/check.py"]],
        "run formatter, linters, type checker, import law, house rules, lecture index",
    ),
    "bench": ("core", [["-m", "zsteer.cli.main", "bench", "tcr", "--quick"]], "print the benchmark table"),
    "setup": ("dev", [], "only make .venv, with the development tools"),
    "peers": ("core", [], "make .venv-peers, with the implementations that the benchmarks compare with"),
}


class Failure(Exception):
    """Something the reader must put right; shown as one line."""


def say(text):
    """Print at once, also into a pipe."""
    print(text)
    sys.stdout.flush()


def newer_python():
    """Path of a Python >= 3.11 that can make virtual environments, or None."""
    names = ["python3.%d" % minor for minor in (13, 12, 11, 14)] + ["python3", "python"]
    candidates = [[path] for path in map(shutil.which, names) if path]
    if os.name == "nt" and shutil.which("py"):
        candidates = [["py", "-3.%d" % minor] for minor in (13, 12, 11, 14)] + candidates
    probe = "import sys, venv; sys.exit(sys.version_info < (3, 11)); "
    for command in candidates:
        try:
            if subprocess.call(command + ["-c", probe], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) == 0:
                return command
        except OSError:
            continue
    return None


def restart_with_newer_python():
    """Under an old Python: hand over to a newer one."""
    command = newer_python()
    if command is None:
        raise Failure(
            "zsteer needs Python 3.11 or newer and found only %s; install one (python.org, your package "
            "manager) and run this again" % platform.python_version()
        )
    sys.exit(subprocess.call(command + [os.path.abspath(__file__)] + sys.argv[1:]))


def fingerprint(level):
    """Hash of all that decides what is in .venv; the folder is in it because scripts and links there are absolute."""
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        with open(os.path.join(ROOT, name), "rb") as file:
            digest.update(file.read())
    digest.update(("%s %s %s" % (level, ROOT, sys.version_info[:2])).encode())
    return digest.hexdigest()


def stamp(level):
    """File that says which set-up .venv holds."""
    return os.path.join(VENV, "zsteer-%s.stamp" % level)


def ready(level):
    """True if .venv already holds this set-up."""
    try:
        with open(stamp(level)) as file:
            return file.read() == fingerprint(level) and os.path.exists(PYTHON)
    except OSError:
        return False


def call(arguments, failure, echo=()):
    """Run a command in .venv's Python and return its lines; show those that start with a word of echo as they come.

    On failure its last lines are shown, then the given line.
    """
    process = subprocess.Popen(
        [PYTHON] + arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True
    )
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if echo and line.strip().startswith(echo):
            say("  " + line.strip()[:100])
    if process.wait() != 0:
        for line in lines[-8:]:
            say("  " + line)
        raise Failure(failure)
    return lines


def pip_settings():
    """pip's own settings, so that local wheel folders and indexes which the user has set up count."""
    lines = call(["-m", "pip", "config", "list"], "pip does not start in .venv; delete .venv and run this again")
    values = [line.partition("=")[2].strip("'\" ") for line in lines]
    return values + [value for key, value in os.environ.items() if key.startswith("PIP_")]


def warn_of_cuda_download():
    """On Linux the default torch wheel carries CUDA: say so before it is downloaded to a machine that has no use for it."""
    driver = os.path.exists("/proc/driver/nvidia/version") or shutil.which("nvidia-smi")
    if not sys.platform.startswith("linux") or driver:
        return
    words = " ".join(pip_settings()).split()
    folders = [word[len("file://") :] if word.startswith("file://") else word for word in words]
    local = [path for folder in folders for path in glob.glob(os.path.join(folder, "torch-*cpu*.whl"))]
    if local or any("/cpu" in word for word in words):
        return
    say(
        "Note: this machine has no NVIDIA driver, and the torch that pip takes by default on Linux is the CUDA build,\n"
        "      about 3 GB with its libraries. The CPU build (about 0.2 GB) does all that is asked here. To have it, stop\n"
        '      this (Ctrl-C), get its address or wheel from PyTorch\'s own install page ("Compute Platform: CPU"), set\n'
        "      PIP_EXTRA_INDEX_URL to that address or PIP_FIND_LINKS to the wheel's folder, and run this again."
    )
    if sys.stdin.isatty():
        say("      Going on in 10 seconds.")
        time.sleep(10)


def make_venv():
    """Create .venv if there is none that works."""
    if (
        os.path.exists(PYTHON)
        and subprocess.call([PYTHON, "-m", "pip", "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        == 0
    ):
        return
    if shutil.disk_usage(ROOT).free < NEEDS_GIB * 2**30:
        raise Failure("the set-up needs about %.0f GiB free in %s" % (NEEDS_GIB, ROOT))
    try:
        import ensurepip  # noqa: F401
        import venv
    except ImportError:
        raise Failure(
            "this Python cannot make virtual environments; on Debian or Ubuntu: "
            "apt install python%d.%d-venv" % tuple(sys.version_info[:2])
        ) from None
    try:
        venv.create(VENV, with_pip=True, clear=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Failure("could not make %s: %s" % (VENV, error)) from error


def install(level):
    """Bring .venv to the wanted set-up."""
    if ready(level) or (level == "core" and ready("dev")):
        return
    start = time.time()
    make_venv()
    warn_of_cuda_download()
    say(
        "Setting up .venv with the pinned versions (%s, once; a few minutes at most)..."
        % ("package" if level == "core" else "package and development tools")
    )
    target = "." if level == "core" else ".[dev]"
    call(
        [
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "--progress-bar",
            "off",
            "-c",
            "constraints.txt",
            "-e",
            target,
        ],
        "pip could not install the packages: the reason stands above (no network? no space?); running this again goes on",
        ("Downloading", "Installing collected"),
    )
    for old in ("core", "dev"):
        if os.path.exists(stamp(old)):
            os.remove(stamp(old))
    with open(stamp(level), "w") as file:
        file.write(fingerprint(level))
    say("Set up in %.0f s." % (time.time() - start))


def install_peers():
    """Make .venv-peers with the pinned versions of other people's packages."""
    inside = os.path.relpath(PYTHON, VENV)
    start = time.time()
    say("Setting up .venv-peers (once; a few minutes at most)...")
    call(["-m", "venv", PEERS], "could not make %s" % PEERS)
    # The second list comes without its dependencies: torchvision, accelerate and CUDA are no part of what is measured.
    for name, further in (("requirements.txt", []), ("requirements-bare.txt", ["--no-deps"])):
        wanted = os.path.join("benchmarks", "peers", name)
        options = ["--disable-pip-version-check", "--progress-bar", "off", "-c", "constraints.txt", "-r", wanted]
        command = [os.path.join(PEERS, inside), "-m", "pip", "install", "-q"] + options + further
        if subprocess.call(command, cwd=ROOT) != 0:
            raise Failure("pip could not install the peers: the reason stands above; the benchmarks run without them")
    say("Set up in %.0f s." % (time.time() - start))


def run(name, extra):
    """Set up and run one command; further arguments are passed on to it."""
    level, lines, _ = COMMANDS[name]
    install(level)
    if name == "peers":
        install_peers()
    environment = dict(os.environ)
    if name.startswith("test"):  # two workers on two cores: one thread each
        environment.setdefault("OMP_NUM_THREADS", "1")
    for line in lines:
        code = subprocess.call([PYTHON] + line + extra, cwd=ROOT, env=environment)
        if code != 0:
            return code
    return 0


def main(arguments):
    """Read the command line; 0 is success."""
    if not arguments or arguments[0] not in COMMANDS:
        if arguments and arguments[0] not in ("-h", "--help"):
            say("bootstrap: no command %r" % arguments[0])
        say("usage: python bootstrap.py COMMAND [arguments passed on]")
        for name, (_, _, text) in COMMANDS.items():
            say("  %-9s %s" % (name, text))
        return 0 if arguments and arguments[0] in ("-h", "--help") else 2
    try:
        if sys.version_info < (3, 11):
            restart_with_newer_python()
        return run(arguments[0], arguments[1:])
    except Failure as failure:
        say("bootstrap: %s" % failure)
        return 1
    except KeyboardInterrupt:
        say("stopped; running this again goes on")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
