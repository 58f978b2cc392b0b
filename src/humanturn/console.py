"""How the command line speaks: what stages did, one-sentence errors, exit statuses, and `--json`'s last line."""

import json
import shlex
import sys
from collections.abc import Callable, Mapping
from typing import Any

from humanturn.progress import leads

INTERRUPTED = 130
RESUMABLE = ("train", "simulate", "evaluate", "scorecard")
DESCRIBED = ("prepare", "train", "simulate", "evaluate", "analyze")
"""Stages whose module has `describe(result)`: the result as text for a terminal."""

_json = False


def example(command: str) -> str:
    """The last line of a verb's --help."""
    return f"Example:  {command}"


def run(app: Callable[..., Any]) -> int:
    """Run `app` on the process's arguments; returns the exit status."""
    global _json
    arguments = sys.argv[1:]
    _json = "--json" in arguments
    debug = "--debug" in arguments
    return exit_status(app, [a for a in arguments if a not in ("--json", "--debug")], debug)


def exit_status(app: Callable[..., Any], arguments: list[str], debug: bool) -> int:
    """0 done, 1 failed, 2 bad input or settings, 3 stopped by a cap, 130 interrupted; errors are one sentence."""
    from typer.exceptions import Exit, TyperException

    from humanturn.errors import HumanturnError

    try:
        stopped: Any = app(arguments, prog_name="humanturn", standalone_mode=False)
        if stopped == INTERRUPTED:  # what Typer makes of Ctrl-C
            _say_how_to_go_on(arguments)
        return stopped if isinstance(stopped, int) else 0
    except Exit as stop:
        return stop.exit_code
    except TyperException as error:
        print(f"error: {error.format_message()} (humanturn {arguments[0]} --help)", file=sys.stderr)
        return 2
    except HumanturnError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except Exception as error:
        if debug:
            raise
        print(f"error: {type(error).__name__}: {error} (add --debug for the traceback)", file=sys.stderr)
        return 1


def say(name: str, result: Any) -> None:
    """Print what one stage did, and its summary as the last line with --json; of several processes, the first does."""
    if not leads():
        return
    say_stage(name, result)
    last_line(result.result | {"seconds": result.seconds, "skipped": result.skipped})


def say_stage(name: str, result: Any) -> None:
    """Print what one stage did."""
    import importlib

    print(f"{name}: {'finished before, skipped' if result.skipped else f'done in {result.seconds:.1f} s'}", flush=True)
    if result.stage in DESCRIBED:
        print(importlib.import_module(f"humanturn.{result.stage}.stage").describe(result.result) + "\n", flush=True)


def last_line(value: Mapping[str, Any]) -> None:
    """With --json: `value` as one line of JSON, numbers unrounded."""
    if _json:
        import msgspec

        print(json.dumps(msgspec.to_builtins(value)))


def given(**values: Any) -> dict[str, Any]:
    """The options that were given; the others keep the stage's defaults."""
    nothing: tuple[Any, ...] = ([], {})
    return {n: v for n, v in values.items() if v is not None and v is not False and v not in nothing}


def pairs(option: str, words: list[str]) -> dict[str, str]:
    """NAME=VALUE words as a dict.

    Raises:
        InputError: a word is not of that form.
    """
    from humanturn.errors import InputError

    bad = next((word for word in words if not all(word.partition("=")[::2])), None)
    if bad is not None:
        raise InputError(f"{option} takes NAME=VALUE, not {bad!r}")
    return dict(word.partition("=")[::2] for word in words)


def prices(words: list[str]) -> dict[str, tuple[float, float]]:
    """SPEC=IN,OUT words as prices; a SPEC may hold `=`, a price does not.

    Raises:
        InputError: a word is not of that form.
    """
    from humanturn.errors import InputError

    found = {}
    for word in words:
        spec, _, price = word.rpartition("=")
        try:
            read, written = map(float, price.split(","))
        except ValueError:
            raise InputError(f"--price takes SPEC=IN,OUT in USD for a million tokens, not {word!r}") from None
        found[spec] = (read, written)
    return found


def settings(kind: Any, **values: Any) -> Any:
    """Settings of a stage from options, with errors in the words of the options."""
    import pydantic

    from humanturn.errors import InputError

    try:
        return kind(**values)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-") if first["loc"] else "the settings"
        raise InputError(f"{option} {first['input']!r}: {first['msg'][:1].lower()}{first['msg'][1:]}") from None


def _say_how_to_go_on(arguments: list[str]) -> None:
    again = arguments
    if arguments[0] in RESUMABLE and "--resume" not in arguments:
        again = [*arguments, "--resume"]
    print(f"\nstopped; what is finished is kept. To go on: humanturn {shlex.join(again)}", file=sys.stderr)
