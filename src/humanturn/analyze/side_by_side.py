"""`corpora.json`: every column that can be had of every corpus."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from humanturn import formats, progress, tokens
from humanturn.analyze import corpus
from humanturn.conversation import Conversation
from humanturn.records import Measurement

if TYPE_CHECKING:
    from humanturn.analyze.humanlike import Detector
    from humanturn.analyze.quality import Quality
    from humanturn.analyze.stage import AnalyzeSettings


def corpora(settings: "AnalyzeSettings", tokenizer: Path, out: Path) -> dict[str, Any]:
    """Measure every corpus; what needs embeddings, a judge or a detector is there when they are.

    Args:
        settings: of the stage.
        tokenizer: folder whose tokenizer counts lengths.
        out: the stage's directory; the judge's verdicts are kept in it.
    """
    detector = _taught(settings)
    rows = {name: _row(settings, name, path, tokenizer, detector, out) for name, path in settings.corpora.items()}
    document: dict[str, Any] = {"tokenizer": settings.tokenizer, "columns": corpus.COLUMNS, "corpora": rows}
    return document | ({"detector": detector.report} if detector else {})


def _row(
    settings: "AnalyzeSettings", name: str, path: str, tokenizer: Path, detector: "Detector | None", out: Path
) -> dict[str, Any]:
    with progress.bar(f"analyze {name}", None, "conversations") as advance:

        def told(conversations: Iterable[Conversation]) -> Iterator[Conversation]:
            for conversation in conversations:
                yield conversation
                advance(1)

        found = corpus.sessions(told(formats.read_conversations(path)), tokens.counter(tokenizer))
    columns: dict[str, Measurement] = corpus.measure(found, seed=settings.seed)
    if settings.embeddings:
        from humanturn.analyze import topics

        similarity = topics.of_corpus(formats.read_conversations(path), topics.wordllama())
        if similarity:
            columns |= {"topic_similarity": similarity.distinct_pairs, "topic_similarity_paper": similarity.all_pairs}
    if detector:
        from humanturn.analyze import humanlike

        ratio = humanlike.ratio(detector, formats.read_conversations(path), seed=settings.seed)
        columns |= {"human_like": ratio} if ratio else {}
    unparsed = 0
    if settings.judge:
        quality = _judged(settings, name, corpus.whole(formats.read_conversations(path)), out)
        columns |= quality.means
        unparsed = quality.unparsed
    return {
        "sessions": len(found),
        "user_turns": sum(session.user_turns for session in found),
        "unparsed": unparsed,
        "columns": columns,
    }


def _taught(settings: "AnalyzeSettings") -> "Detector | None":
    if not settings.detector:
        return None
    from humanturn.analyze import humanlike

    wanted = settings.detector
    human, machine = (formats.read_conversations(path) for path in (wanted.human, wanted.machine))
    if not wanted.model:
        return humanlike.teach(human, machine, seed=settings.seed)
    from humanturn.analyze import classifier
    from humanturn.models import spec

    found = classifier.load(spec.local_folder(wanted.model), wanted.label)
    return humanlike.check(found, f"{wanted.model}, {wanted.label} means a person", human, machine, seed=settings.seed)


def _judged(settings: "AnalyzeSettings", name: str, sessions: list[Conversation], out: Path) -> "Quality":
    """The judge's means over an even sample of the sessions."""
    from humanturn.analyze import quality
    from humanturn.models import spec

    n, wanted = len(sessions), min(settings.judged_conversations, len(sessions))
    path = out / "judged" / f"{hashlib.sha256(name.encode()).hexdigest()[:12]}.jsonl"  # a name may hold any character
    path.parent.mkdir(exist_ok=True)
    return quality.judge(
        spec.load(settings.judge or ""),
        [sessions[i * n // wanted] for i in range(wanted)],
        path,
        seed=settings.seed,
        concurrency=settings.concurrency,
    )
