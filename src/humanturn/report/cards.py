"""Hugging Face dataset cards of what a run prepared and simulated, from the numbers that the report shows."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from humanturn import __version__, jsonl, run
from humanturn.report import words
from humanturn.report.conversations import Summary
from humanturn.report.load import RunFiles

MARK = "<!-- Written by `humanturn report`. Remove this line, and what you change here is kept. -->"
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))

FORMAT = (
    "One JSON object a line: `id`, `messages` (`role` is `user` or `assistant`, `content`), `source`, `parent_id` and"
    " `meta`. `datasets`, TRL, Axolotl and LLaMA-Factory read it as it is."
)
SEGMENTS = (
    "Conversations of people with assistants, cleaned and cut into segments that end with an assistant turn. A segment"
    " that continues a session opens with the assistant turn before it. No session is in two splits."
)
SCRUBBED = (
    "E-mail addresses, telephone and card numbers, IP addresses and keys were replaced by placeholders; names and"
    " stories were not."
)
NOT_SCRUBBED = "Nothing was replaced: what people wrote about themselves and others is in here."
SOURCE_LICENCE = " The licence is that of the sources below; state it in the header before you publish."
LIMITS = (
    "Models state falsehoods with confidence, and a user model may repeat what it was trained on, personal data among"
    " it. The licences of both models and of the user model's training data apply; state one in the header before you"
    " publish."
)

Rows = Iterable[Sequence[str]]


def write(run_dir: Path, found: RunFiles, simulated: Summary | None) -> list[Path]:
    """Write `README.md` beside the data of every finished stage that has some; returns the files.

    A card that somebody took over by removing its mark is left alone.
    """
    cards = {}
    if found.funnel and _done(found, "prepare"):
        cards["prepare"] = _prepared(found, found.funnel)
    if simulated and _done(found, "simulate"):
        cards["simulate"] = _simulated(found, simulated)
    written = []
    for directory, card in cards.items():
        path = run_dir / directory / "README.md"
        if path.exists() and MARK not in path.read_text(encoding="utf-8", errors="replace"):
            continue
        with jsonl.replacing(path) as file:
            file.write(card.encode("utf-8", "replace"))
        written.append(path)
    return written


def _prepared(found: RunFiles, funnel: Mapping[str, Any]) -> str:
    manifest, segments = found.stages["prepare"], funnel.get("segments", {})
    splits = {name: segments[name] for name in ("train", "heldout") if isinstance(segments.get(name), dict)}
    keys = ("sessions", "segments", "turns", "user_turns", "tokens")
    language = manifest.settings.get("language")
    removed = [
        (step["rule"].replace("_", " "), *(words.number(step[k]) for k in ("sessions_dropped", "turns_dropped")))
        for step in funnel.get("steps", [])
        if step["sessions_dropped"] or step["turns_dropped"]
    ]
    return _card(
        {
            "language": [language] if isinstance(language, str) and re.fullmatch("[a-z]{2,3}", language) else None,
            "tags": ["conversational", "humanturn"],
            "size_categories": [_size(sum(split.get("segments", 0) for split in splits.values()))],
            "configs": _configs({name: f"{name}.jsonl" for name in splits}),
        },
        "Human conversations",
        SEGMENTS,
        {
            "Splits": _table(
                ("split", *(key.replace("_", " ") for key in keys)),
                ((name, *(words.number(split.get(key, 0)) for key in keys)) for name, split in splits.items()),
            ),
            "What was removed": _table(("rule", "sessions", "turns"), removed) if removed else "",
            "Measured": _measured(found, "prepare/train.jsonl"),
            "Format": FORMAT,
            "Personal data and licence": (SCRUBBED if manifest.settings.get("scrub") else NOT_SCRUBBED)
            + SOURCE_LICENCE,
            "How it was made": _provenance(manifest),
        },
    )


def _simulated(found: RunFiles, simulated: Summary) -> str:
    manifest = found.stages["simulate"]
    sides = [_code(manifest.settings.get(side, "?")) for side in ("user", "assistant")]
    about = (
        f"{words.number(simulated.total)} conversations with {words.number(simulated.rounds)} rounds, both sides"
        f" written by models: the user by {sides[0]}, the assistant by {sides[1]}. "
    ) + ("What they begin with was given as seeds." if manifest.settings.get("seeds") else "No person wrote a turn.")
    ended = [
        (_reason(reason), words.number(n), words.share(n, simulated.total)) for reason, n in simulated.stops.items()
    ]
    spent = [
        (row.role, _code(row.model), *map(words.number, (row.replies, row.prompt_tokens, row.completion_tokens)))
        for row in found.ledger
    ]
    return _card(
        {
            "tags": ["conversational", "synthetic", "humanturn"],
            "size_categories": [_size(simulated.total)],
            "configs": _configs({"train": "conversations.jsonl"}),
        },
        "Simulated conversations",
        about,
        {
            "Why they ended": _table(("reason", "conversations", "share"), ended),
            "Strategies": _table(
                ("strategy", "conversations"), ((_code(s), words.number(n)) for s, n in simulated.strategies.items())
            ),
            "User turns that guards discarded": _table(
                ("guard", "turns", "conversations"),
                ((g.replace("_", " "), words.number(n), words.number(c)) for g, (n, c) in simulated.guards.items()),
            )
            if simulated.guards
            else "None.",
            "What it took": _table(("side", "model", "replies", "prompt tokens", "written tokens"), spent),
            "Measured": _measured(found, "simulate/conversations.jsonl"),
            "Format": FORMAT + " `meta` holds the strategy, the seed, the reason to end and the guard events.",
            "Limits and licence": LIMITS,
            "How it was made": _provenance(manifest),
        },
    )


def _reason(stop: str) -> str:
    return f"{stop}: {words.STOPS[stop]}" if stop in words.STOPS else _code(stop)


def _card(header: Mapping[str, Any], title: str, about: str, sections: Mapping[str, str]) -> str:
    import yaml

    given = {key: value for key, value in header.items() if value} | {"task_categories": ["text-generation"]}
    front = yaml.safe_dump(given, sort_keys=False, allow_unicode=True)
    body = "\n\n".join(f"## {name}\n\n{text}" for name, text in sections.items() if text)
    return f"---\n{front}---\n{MARK}\n\n# {title}\n\n{about}\n\n{body}\n"


def _measured(found: RunFiles, file: str) -> str:
    """Table 5's column of the corpus that was measured from `file`; empty when it was not."""
    manifest = found.stages.get("analyze")
    if not (found.corpora and manifest):
        return ""
    measured = manifest.settings.get("corpora") or {}
    name = next((name for name, path in measured.items() if str(path).replace("\\", "/").endswith(file)), None)
    if name not in found.corpora["corpora"]:
        return ""
    columns = found.corpora["corpora"][name]["columns"]
    rows = [
        (c["label"], _interval(columns[c["key"]], c["digits"], c["percent"]), words.number(columns[c["key"]]["n"]))
        for c in found.corpora["columns"]
        if c["key"] in columns
    ]
    told = f"Tokens are those of {_code(found.corpora['tokenizer'])}; brackets hold 95 % intervals."
    return f"{_table(('measure', 'value', 'n'), rows)}\n\n{told}"


def _interval(value: Mapping[str, Any], digits: int, percent: bool) -> str:
    figure = words.figure(value["value"], digits, percent=percent)
    if value.get("low") is None:
        return figure
    low, high = (words.figure(value[end], digits, percent=percent, unit=False) for end in ("low", "high"))
    return f"{figure} [{low}, {high}]"


def _provenance(manifest: run.Manifest) -> str:
    inputs = [(_code(Path(name).name), _code(mark.sha256)) for name, mark in manifest.inputs.items()]
    kept = {key: value for key, value in manifest.settings.items() if value not in (None, [], "")}
    settings = ", ".join(f"{key} {_code(value)}" for key, value in kept.items() if key != "inputs")
    versions = ", ".join(f"{library} {version}" for library, version in manifest.versions.items())
    return (
        f"humanturn {__version__}, {manifest.started[:10]}.\n\n"
        f"{_table(('input', 'SHA-256'), inputs)}\n\nSettings: {settings}.\n\nVersions: {versions}."
    )


def _table(head: Sequence[str], rows: Rows) -> str:
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def _code(value: Any) -> str:
    """A name that came from outside, as it is and inert."""
    text = re.sub(r"[`|\s]+", " ", str(value)).strip()
    return f"`{text or '-'}`"


def _configs(files: Mapping[str, str]) -> list[dict[str, Any]]:
    """What `datasets.load_dataset` needs to find each split."""
    names = {"heldout": "test"}
    return [
        {
            "config_name": "default",
            "data_files": [{"split": names.get(split, split), "path": path} for split, path in files.items()],
        }
    ]


def _size(count: int) -> str:
    return next((name for most, name in SIZES if count < most), "n>1M")


def _done(found: RunFiles, stage: str) -> bool:
    return stage in found.stages and found.stages[stage].status == "done"
