"""The command line: ``rtsim pin | run | compare | levers | who | validate | record | calibrate | report``.

Every command is a function in a module of its own. What goes wrong ends here, in one line on standard error and an exit
status: 1 a validation beyond its tolerance, 2 input that cannot be used, 3 what Nova refuses, 130 Ctrl-C, 70 a fault
of rtsim itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from rtsim import __version__
from rtsim.cli.calibrate import calibrate
from rtsim.cli.compare import compare
from rtsim.cli.levers import levers
from rtsim.cli.pin import pin
from rtsim.cli.record import record
from rtsim.cli.report import report
from rtsim.cli.run import run
from rtsim.cli.validate import validate
from rtsim.cli.who import who
from rtsim.inputs.errors import RtsimError

__all__ = ["app", "main", "status"]

app = typer.Typer(
    name="rtsim",
    help="Predict the scheduling latency of realtime virtual machines before they are deployed.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (pin, run, compare, levers, who, validate, record, calibrate, report):
    app.command()(command)


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""
PIPE_CLOSED = 141
"""128 + SIGPIPE."""
FAULT = 70
"""EX_SOFTWARE of sysexits.h."""


def main() -> None:
    """Run the command line and end the process with its status."""
    sys.exit(status(sys.argv[1:]))


def status(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status; its errors are printed as one line."""
    try:
        ended = app(list(arguments), prog_name="rtsim", standalone_mode=False)
        sys.stdout.flush()
        if ended == INTERRUPTED:  # what typer makes of Ctrl-C
            raise KeyboardInterrupt
        return ended if isinstance(ended, int) else 0
    except RtsimError as error:
        return _failed(str(error), error.exit_status)
    except typer.TyperException as error:  # options and arguments that do not exist or cannot be read
        told = getattr(error, "format_message", error.__str__)()  # it names the option
        return _failed(" ".join(told.split()), RtsimError.exit_status)
    except (BrokenPipeError, SystemExit):  # typer itself exits only where the reader of a pipe has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the interpreter flushes once more on its way out
        return PIPE_CLOSED
    except KeyboardInterrupt:
        return _failed("interrupted", INTERRUPTED)
    except Exception as error:  # a fault of rtsim: still one line, and the way to see where it is
        if os.environ.get("RTSIM_TRACEBACK"):
            raise
        first = str(error).strip().partition("\n")[0]
        text = f"fault in rtsim: {type(error).__name__}: {first} (RTSIM_TRACEBACK=1 shows where)"
        return _failed(text, FAULT)


def _failed(line: str, exit_status: int) -> int:
    sys.stderr.write(f"rtsim: {line}\n")
    return exit_status
