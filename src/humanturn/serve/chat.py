"""The chat verb: you and a model, or two models, in the terminal.

Models speak on an event loop that stands still while a person types, so that Ctrl-C means one thing at a time: while a
model speaks it stops that turn, while you type it ends the chat.
"""

import asyncio
import secrets
import sys
from collections.abc import Sequence
from contextlib import aclosing, suppress
from typing import Literal

import msgspec

from humanturn import run
from humanturn.conversation import Conversation, Role, Turn
from humanturn.errors import EndpointError, FormatError, InputError
from humanturn.models.model import Sampling
from humanturn.models.streaming import stream
from humanturn.records import Reply
from humanturn.serve.speaker import ContextFullError, Speaker, fitted, load, opening
from humanturn.serve.talk import Talk, record, retry, save, undo
from humanturn.serve.terminal import indented, label
from humanturn.template import as_roleplay

HELP = "/save FILE  /undo  /retry  /quit; an empty line lets the models go on"


def chat(
    spec: str,
    *,
    with_spec: str | None = None,
    role: Literal["user", "assistant"] | None = None,
    rounds: int = 4,
    seed: int | None = None,
    temperature: float = 0.7,
    max_tokens: int = 512,
) -> Conversation:
    """Talk with the model that `spec` names, or watch it talk with `with_spec`; returns the conversation.

    Args:
        spec: a user model whose assistant you are, or an assistant whose user you are.
        with_spec: the assistant that answers in your place; `spec` is the user then.
        role: what `spec` plays, when its folder does not say; an ordinary chat model told to be `user` role-plays.
        rounds: how many rounds two models talk before you are asked.
        seed: of what the models say; drawn when None.
        temperature: of what the models say.
        max_tokens: longest turn of a model.

    Raises:
        InputError: a SPEC cannot be used, or not in that part.
        EndpointError: a model failed and nobody sits at the terminal to decide.
    """
    if rounds < 1 or max_tokens < 1 or temperature < 0:
        raise InputError("--rounds and --max-tokens must be at least 1, --temperature at least 0")
    talk = Talk(
        _cast(spec, with_spec, role),
        Sampling(temperature=temperature, max_tokens=max_tokens),
        secrets.randbits(31) if seed is None else seed,
        rounds,
    )
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    with suppress(ImportError):
        import readline as _  # noqa: F401  (gives `input` arrow keys)
    with asyncio.Runner() as runner:
        try:
            while _step(talk, runner):
                pass
        except KeyboardInterrupt:
            print()
        finally:
            for speaker in talk.speakers.values():
                runner.run(speaker.model.close())
    return record(talk)


def _cast(spec: str, with_spec: str | None, role: str | None) -> dict[Role, Speaker]:
    """Who plays which part."""
    first = load(spec)
    part: Role = "user" if with_spec or "user" in (role, first.plays) else "assistant"
    if part == "user" and role == "assistant":
        raise InputError(f"{spec} plays the user here; drop --role assistant, or name the user model first")
    speakers = {part: first}
    if with_spec:
        second = load(with_spec)
        if second.plays == "user":
            raise InputError(f"{with_spec} writes user turns; --with names the assistant")
        speakers["assistant"] = second
    said = [f"{speaker.spec} is the {name}{_told(name, speaker)}." for name, speaker in speakers.items()]
    if not with_spec:
        said.append(f"You are the {'assistant' if part == 'user' else 'user'}.")
    print(*said, HELP, flush=True)
    return speakers


def _told(role: str, speaker: Speaker) -> str:
    return ", an ordinary chat model told to play one" if role == "user" and _roleplays(speaker) else ""


def _step(talk: Talk, runner: asyncio.Runner) -> bool:
    """One turn, or one line from the keyboard; False when that ends the chat."""
    due: Role = "assistant" if talk.turns and talk.turns[-1].role == "user" else "user"
    if due in talk.speakers and not talk.waiting:
        talk.waiting = not _speak(talk, due, runner) or _round_is_full(talk)
        return True
    line = _line(due if due not in talk.speakers else "")
    if line is None:
        return False
    command, _, rest = line.partition(" ")
    match command:
        case "/quit":
            return False
        case "/save":
            save(talk, rest.strip())
        case "/undo":
            undo(talk)
        case "/retry":
            retry(talk)
        case _ if command.startswith("/"):
            print(HELP)
        case _ if talk.waiting:
            talk.waiting = bool(line)
            if line:
                print(f"it is the {due}'s turn, a model's; {HELP}")
        case _ if line:
            talk.turns.append(Turn(due, line))
    return True


def _speak(talk: Talk, role: Role, runner: asyncio.Runner) -> bool:
    """Let a model take its turn; False when it came to nothing."""
    place = len(talk.turns)
    seed = run.derived_seed(talk.seed, place, talk.drawn[place])
    talk.drawn[place] += 1
    try:
        print(label(role), end="", flush=True)
        reply = runner.run(_said(talk, role, seed))
    except KeyboardInterrupt:
        print(" (stopped)")
        return False
    except (ContextFullError, FormatError) as error:
        print(f"({error})")
        return False
    except EndpointError as error:
        if not sys.stdin.isatty():
            raise
        print(f"({indented(str(error))})")
        return False
    if not reply.text:
        ended = talk.speakers[role].ends
        print(f"({'ends the conversation' if ended else 'said nothing'})", flush=True)
        return False
    print(" (cut at --max-tokens)" if reply.finish_reason == "length" else "", flush=True)
    talk.turns.append(Turn(role, reply.text))
    return True


async def _said(talk: Talk, role: Role, seed: int) -> Reply:
    """Print a turn as it comes."""
    speaker = talk.speakers[role]
    shown = _shown(speaker, role, talk.turns)
    room = await fitted(speaker, shown, wanted=None, usual=talk.sampling.max_tokens)
    sampling = msgspec.structs.replace(talk.sampling, max_tokens=room)
    pieces = stream(speaker.model, shown, sampling=sampling, seed=seed)
    async with aclosing(pieces):
        async for piece in pieces:
            if isinstance(piece, Reply):
                return piece
            print(indented(piece), end="", flush=True)
    raise EndpointError(f"{speaker.spec}: broke off", passing=True)


def _shown(speaker: Speaker, role: Role, turns: Sequence[Turn]) -> Sequence[Turn]:
    if role == "assistant":
        return turns
    return as_roleplay(turns) if _roleplays(speaker) else opening(turns)


def _roleplays(speaker: Speaker) -> bool:
    return speaker.plays == "assistant"


def _round_is_full(talk: Talk) -> bool:
    """Whether two models have talked for as long as they should."""
    return len(talk.speakers) == 2 and len(talk.turns) % (2 * talk.rounds) == 0


def _line(role: str) -> str | None:
    """What the person types, stripped; None when they are done."""
    try:
        return input(f"{role}: " if role and sys.stdin.isatty() else "").strip()
    except (EOFError, KeyboardInterrupt):
        print()
        return None
    except UnicodeDecodeError:
        raise InputError("the standard input is no UTF-8 text") from None
