"""``zsteer``: find the command, run it, and turn every error of ours into one line and exit status 2.

Nothing heavy is imported here; ``--help``, ``recipes`` and most errors never import torch.
"""

import os
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from importlib import import_module
from types import MappingProxyType

from zsteer.errors import SettingsError, ZsteerError, nearest

__all__ = ["main"]

COMMANDS = MappingProxyType(
    {
        "train": "fit a model from a recipe, or go on with a run",
        "sample": "make new samples with a model",
        "steer": "edit or search towards a property",
        "evaluate": "say how good samples are, with baselines and intervals",
        "bench": "print the benchmark table of a topic",
        "convert": "turn molecules into another kind of file; SMILES get a geometry",
        "recipes": "list the named experiments and the shipped models",
        "doctor": "look at this machine and this installation",
        "demo": "the main job end to end: design T-cell receptors",
    }
)

HELP = """zsteer: train, sample, steer and evaluate deep generative models

usage: zsteer COMMAND [options]         zsteer COMMAND --help

{commands}

options of every command:
  --debug      show the traceback of an error
  --version    print the version

examples:
  zsteer steer tcr-editor --input examples/receptors.tsv --toward binds=YLQPRTFLL --max-edits 4 --out designs.tsv
  zsteer sample tcr-dwae -n 100 --given peptide=YLQPRTFLL --seed 5 --out new.fasta
  zsteer evaluate designs.tsv --protocol tcr --toward binds=YLQPRTFLL
  zsteer train vae --data table.csv --out runs/vae
"""


def _noted(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, *place: object, **more: object
) -> None:
    """A warning as one line, without the line of code that gave it."""
    del category, filename, lineno, place, more
    print(f"zsteer: note: {_safe(message)}", file=sys.stderr)


LONGEST = 1000
"""Letters of a message: what a file holds may be shown in part, never at any length."""


def _safe(message: object) -> str:
    """A message without what steers a terminal, and no longer than a reader reads."""
    text = "".join(letter if letter.isprintable() or letter == "\n" else repr(letter)[1:-1] for letter in str(message))
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} [...] {text[-LONGEST // 4 :]}"


def _stopped(number: int, frame: object) -> None:
    """A request to end is an interrupt: what was begun is tidied up."""
    del number, frame
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line.

    Args:
        arguments: what follows ``zsteer``; the process's own when None.

    Returns:
        0 if it worked, 2 for an error that the message explains, 130 after an interrupt.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [word for word in given if word != "--debug"]
    alone = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _stopped) if alone else None
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _noted
            code = _run(given)
            sys.stdout.flush()
            return code
    except ZsteerError as error:
        if debug:
            raise
        print(f"zsteer: error: {_safe(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("zsteer: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (head, less) has gone; leave quietly, as other tools do.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if debug:
            raise
        where = "" if error.filename is None else f"{error.filename}: "
        print(f"zsteer: error: {_safe(where)}{error.strerror or error}", file=sys.stderr)
        return 2
    except MemoryError:
        print("zsteer: error: there is not enough memory for that; ask for fewer or smaller things", file=sys.stderr)
        return 2
    except Exception as error:
        if debug:
            raise
        if "not enough memory" in str(error) or "out of memory" in str(error).lower():
            print(
                "zsteer: error: there is not enough memory for that; ask for fewer or smaller things", file=sys.stderr
            )
            return 2
        line = _safe(" ".join(str(error)[:2000].split())[:300])
        print(f"zsteer: internal error: {type(error).__name__}: {line}; --debug shows where", file=sys.stderr)
        return 1
    finally:
        if alone:
            signal.signal(signal.SIGTERM, before)


def _run(given: list[str]) -> int:
    if not given or given[0] in {"-h", "--help", "help"}:
        width = max(map(len, COMMANDS))
        print(HELP.format(commands="\n".join(f"  {name:<{width}}  {what}" for name, what in COMMANDS.items())), end="")
        return 0
    if given[0] == "--version":
        from zsteer import __version__

        print(f"zsteer {__version__}")
        return 0
    if given[0] not in COMMANDS:
        raise SettingsError(nearest(given[0], COMMANDS, what="command"))
    return import_module(f"zsteer.cli.{given[0]}").run(given[1:])


if __name__ == "__main__":
    code = main()
    if "TORCHELASTIC_RUN_ID" in os.environ:
        # A process of a group: a thread of gloo that outlives the group would abort the interpreter's own end, after
        # everything is written, and torchrun would report a failure that is none.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    raise SystemExit(code)
