"""Writes a whole run directory the way the stages do, hostile conversations among the others."""

import functools
import math
import random
from pathlib import Path

from humanturn import heldout, jsonl, run
from humanturn.analyze import correlation
from humanturn.analyze.corpus import COLUMNS, Session, measure
from humanturn.conversation import Conversation, Turn
from humanturn.records import Measurement, TurnLikelihood

HUMANS = 20

WORDS = (
    *("how", "can", "i", "write", "a", "short", "reply", "to", "the", "email", "about", "our", "new", "product"),
    *("launch", "next", "week", "please", "make", "it", "friendlier", "and", "add", "python", "code", "that", "reads"),
    *("the", "file", "sort", "by", "date", "what", "about", "errors", "explain", "why", "that", "works", "give", "me"),
    *("ten", "more", "ideas", "for", "titles", "in", "a", "table", "with", "columns", "continue"),
)

HOSTILE = (
    "<script>document.title='owned'</script>",
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "<svg/onload=document.title='owned'>",
    "\u202eevil txet desrever\u202c and \u2066isolated\u2069",
    "\u200f\u200e\u200b\ufeff hidden",
    "{{ 7 * 7 }} {% for x in y %}",
    "javascript:document.title='owned'",
    '"><iframe srcdoc="<script>parent.document.title=1</script>">',
    "<!-- <!--> --!> ]]> <![CDATA[",
    "```html\n<script>document.title='owned'</script>\n```",
    "```" * 2000,
    "word " * 210_000,
    "x" * 1_100_000,
    "\n" * 5000 + "end",
    "Z̸̧̢̛" * 3000,
    "\x00\x01\x07\x1b[31m",
    "$&amp;&#60;script&#62;",
    "😀" * 10_000,
    "<style>*{display:none}</style><base href=//evil><meta http-equiv=refresh content=0>",
)


def write(folder: Path, *, conversations: int = 40, hostile: bool = True) -> Path:
    """Make the run in `folder` and return it."""
    draw = random.Random(7)
    _prepare(folder / "prepare", HOSTILE if hostile else ())
    for name, start in (("user", 3.4), ("assistant", 2.1)):
        _training(folder / name, draw, start)
    _simulate(folder / "simulate", draw, conversations, HOSTILE if hostile else ())
    _analyze(folder / "analyze")
    _scorecard(folder / "scorecard")
    _evaluate(folder / "evaluate", "single")
    _evaluate(folder / "duel", "pairwise")
    _annotate(folder / "annotate")
    (folder / "recipe.yaml").write_text("seed: 0\nprepare:\n  inputs: [raw.json]\n  max_tokens: 2048\n")
    return folder


def _manifest(folder: Path, stage: str, result: dict, seconds: float = 75.3, **settings: object) -> None:
    mark = run.InputMark("3f" * 32, 125_509_632, 0)
    jsonl.write_json(
        folder / "manifest.json",
        run.Manifest(
            stage=stage,
            status="done",
            settings={"seed": 0, "tokenizer": "embedded", "limit": None} | settings,
            inputs={"data": mark},
            versions=run.versions(),
            started=run.now(),
            seconds=seconds,
            result=result,
        ),
    )


def _prepare(folder: Path, hostile: tuple[str, ...]) -> None:
    left, turns, tokens, steps = 17_671, 118_000, 31_000_000, []
    for rule, share in (
        ("read", 0.0),
        ("alternation", 0.021),
        ("exact_duplicates", 0.052),
        ("language", 0.014),
        ("near_duplicates", 0.11),
    ):
        gone, gone_turns = round(left * share), round(turns * share)
        left, turns, tokens = left - gone, turns - gone_turns, round(tokens * (1 - share))
        steps.append(
            {
                "rule": rule,
                "sessions_dropped": gone,
                "turns_dropped": gone_turns,
                "sessions_left": left,
                "turns_left": turns,
                "tokens_left": tokens,
            }
        )
    parts = {"sessions": 4_000, "segments": 21_402, "turns": 90_120, "user_turns": 44_870, "tokens": 24_000_000}
    heldout = {"sessions": HUMANS, "segments": HUMANS, "turns": 40, "user_turns": 20, "tokens": 9_120}
    jsonl.write_json(folder / "funnel.json", {"steps": steps, "segments": {"train": parts, "heldout": heldout}})
    said = (*hostile[:4], *(f"how do I sort list number {n}?" for n in range(HUMANS)))[:HUMANS]
    people = (
        Conversation(id=f"human-{n:03d}", messages=(Turn("user", text), Turn("assistant", "Like this.")) * (1 + n % 3))
        for n, text in enumerate(said)
    )
    jsonl.write(folder / "heldout.jsonl", people)
    _manifest(folder, "prepare", {"sessions": left}, language="en", scrub=False)


def _training(folder: Path, draw: random.Random, start: float) -> None:
    rows = []
    for step in range(1, 181):
        value = start - 0.7 * (1 - math.exp(-step / 40)) + draw.gauss(0, 0.06)
        row = {"step": step, "trained_tokens": step * 2100, "loss": value, "learning_rate": 2e-4 * (1 - step / 180)}
        rows.append(row | ({"heldout_nll": value + 0.12} if step % 60 == 0 else {}))
    jsonl.write(folder / "metrics.jsonl", rows)
    result = {
        "conversations": 1200,
        "trained_tokens": 378_000,
        "steps": 180,
        "heldout_nll": {"before": start, "after": start - 0.55},
    }
    _manifest(folder, "train", result, 214.0)


def _simulate(folder: Path, draw: random.Random, count: int, hostile: tuple[str, ...]) -> None:
    def said(words: int) -> str:
        return " ".join(draw.choice(WORDS) for _ in range(max(1, words))).capitalize()

    def one(number: int) -> Conversation:
        turns: list[Turn] = []
        for _ in range(draw.randint(1, 7)):
            code = (
                "\n\n```python\nfor line in open(path):\n    print(line)\n```\nThat is all."
                if draw.random() < 0.3
                else ""
            )
            turns += [
                Turn("user", said(draw.randint(2, 40)) + "?"),
                Turn("assistant", said(draw.randint(30, 250)) + "." + code),
            ]
        if number < len(hostile):
            turns[0], turns[1] = Turn("user", hostile[number]), Turn("assistant", hostile[number])
        return Conversation(
            id=f"sim-{number:05d}",
            messages=tuple(turns),
            source="humanturn",
            meta={
                "strategy": "trained" if number % 3 else "roleplay",
                "stop_reason": draw.choice(("context", "context", "learned", "rounds")),
                "seed": number,
                "events": {"answers_as_assistant": 2} if number % 9 == 0 else {},
            },
        )

    jsonl.write(folder / "conversations.jsonl", (one(n) for n in range(count)))
    keys = ("role", "model", "replies", "prompt_tokens", "completion_tokens", "discarded")
    spent = [
        ("assistant", "embedded", 812, 1_812_004, 240_119, 0),
        ("user", "hf:runs/spring/user", 830, 905_220, 31_004, 18),
    ]
    jsonl.write_json(folder / "ledger.json", [dict(zip(keys, row, strict=True)) for row in spent])
    result = {"conversations": count, "errors": {"<b>refused</b>": 2}}
    _manifest(folder, "simulate", result, 128.0, user="hf:runs/spring/user", assistant="em`bed|ded")


@functools.cache
def _analysis() -> dict[str, dict]:
    """Files of an analysis."""
    draw = random.Random(11)
    turns = [(f"s{session}", turn) for session in range(80) for turn in range(draw.randint(1, 6))]
    harder = {session: draw.gauss(0, 0.3) for session, _ in turns}

    def scored(level: float) -> list[TurnLikelihood]:
        found = []
        for session, turn in turns:
            tokens = 5 + hash_of(session, turn) % 60
            nll = tokens * (level + harder[session] + draw.gauss(0, 0.05))
            found.append(TurnLikelihood(session, 2 * turn, turn == 0, tokens, nll, tokens * 4))
        return found

    rows = {"untrained": scored(3.42), "roleplay": scored(4.05), "trained": scored(3.02)}
    table = heldout.table(rows, of="trained")

    def corpus(scale: float) -> dict:
        found = [
            Session(
                f"c{n}",
                1 + n % 5,
                1 + n % 5,
                1 + n % 5,
                int(scale * (40 + n % 300)),
                300 + n * 7 % 1800,
                scale * 31 * (1 + n % 5),
                1 + n % 5,
            )
            for n in range(300)
        ]
        return {"sessions": 300, "user_turns": sum(s.user_turns for s in found), "columns": measure(found)}

    corpora = {"human": corpus(1.0), "simulated": corpus(0.8)}
    scores = {name: {"MT-Bench": 3 + n * n % 4, "Vicuna-Bench": 8 - n} for n, name in enumerate("abcdef")}
    statistics = {
        name: {"rounds": 2 + n, "session_tokens": 1500 - 90 * n + 400 * (n % 2), "mtld": (n * 7) % 5}
        for n, name in enumerate("abcdef")
    }
    return {
        "heldout_nll.json": table,
        "corpora.json": {"tokenizer": "embedded", "columns": COLUMNS, "corpora": corpora},
        "correlations.json": correlation.correlate(statistics, scores),
    }


def _analyze(folder: Path) -> None:
    for name, found in _analysis().items():
        jsonl.write_json(folder / name, found)
    measured = {"human": "runs/spring/prepare/train.jsonl", "simulated": "runs/spring/simulate/conversations.jsonl"}
    _manifest(folder, "analyze", {}, 41.0, corpora=measured)


def hash_of(session: str, turn: int) -> int:
    return run.derived_seed(0, session, turn)


def _scorecard(folder: Path) -> None:
    from humanturn.analyze.scorecard_rows import ROWS, table

    def side(far: float) -> dict[str, Measurement]:
        base = {
            "auroc": 0.5 + far / 2,
            "distance": far * 2,
            "z": far * 3,
            "share": far / 2,
            "level": 0.95 - far / 3,
            "divergence": far * 2,
            "f1": 0.9 - far,
            "nll": 3 + far,
        }
        return {
            row.key: Measurement(value=base[row.kind], n=170, low=base[row.kind] - 0.04, high=base[row.kind] + 0.04)
            for row in ROWS
        }

    human = {key: m for key, m in side(0.02).items() if not key.startswith(("nll", "perplexity", "bits"))}
    result = {
        "models": {"user": "hf:runs/spring/user", "baseline": "embedded"},
        "places": 170,
        "sessions": 60,
        "reference_turns": 1200,
        "reference_sessions": 430,
        "rows": table({"human": human, "user": side(0.2), "baseline": side(0.7) | {"thanks": human["thanks"]}}),
    }
    jsonl.write_json(folder / "scorecard.json", result)
    _manifest(folder, "scorecard", {}, 300.0)


MODELS = ("<i>plain</i>", "trained", "other")


@functools.cache
def _scores(mode: str) -> dict:
    """Three models on MT-Bench: grades, or comparisons by one fair judge and one that goes by the place."""
    from humanturn.evaluate import pairwise, scores
    from humanturn.evaluate.benchmarks import known_categories
    from humanturn.evaluate.fastchat import PairRow, SingleRow

    draw, categories = random.Random(3), known_categories(range(81, 161))
    result: dict = {"benchmark": "mt-bench", "mode": mode, "refused_judgments": 3}
    result["answers"] = {MODELS[1]: {"cut": 4, "empty": 1, "refused": 0}}
    if mode == "single":
        rows = [
            SingleRow(q, model, (judge, "single-v1"), turn, draw.choice([-1, 3 + n, 5 + n, 6 + n, 7.5]), repeat=repeat)
            for q in range(81, 161)
            for turn in (1, 2)
            for n, model in enumerate(MODELS)
            for judge in ("gpt", "other-judge")
            for repeat in (0, 1)
        ]
        result["single"] = scores.table(rows, categories)
    else:
        sides = ("model_1", "model_2", "tie", "error")
        games = [
            PairRow(q, a, b, (judge, "pair-v2"), turn, *(one if judge == "fair" else ("model_1", "model_2")))
            for q in range(81, 161)
            for turn in (1, 2)
            for a, b in ((MODELS[0], MODELS[1]), (MODELS[0], MODELS[2]), (MODELS[1], MODELS[2]))
            for judge in ("fair", "first")
            for one in [(draw.choices(sides, (2, 4, 3, 1))[0],) * 2]
        ]
        result["pairwise"] = pairwise.table(games, categories)
    return result


def _evaluate(folder: Path, mode: str) -> None:
    jsonl.write_json(folder / "scores.json", _scores(mode))
    spent = {"replies": 640, "prompt_tokens": 300_000, "completion_tokens": 60_000, "discarded": 12}
    ledger = [{"role": "judge", "model": "gpt", "usd": 1.2345, "seconds": 20.0} | spent]
    jsonl.write_json(folder / "ledger.json", [*ledger, ledger[0] | {"model": "free", "usd": None}])
    _manifest(folder, "evaluate", {}, 900.0)


def _annotate(folder: Path) -> None:
    from humanturn.annotate.pairs import Item
    from humanturn.annotate.results import summary
    from humanturn.annotate.store import Vote
    from humanturn.records import Question

    draw, cast = random.Random(5), []
    for n in range(12):
        item = Item(f'[{n},"x","y"]', Question(n, "stem", ("q",)), "trained", MODELS[0], ("1",), ("2",))
        cast += [Vote(item, person, draw.choice(["model_1", "tie"]), "model_1", "", 1.0) for person in ("ann", "bob")]
    jsonl.write_json(folder / "votes.summary.json", summary(cast, {f'[{n},"x","y"]': 1.0 for n in range(12)}))
