"""Evol-Instruct (WizardLM, Xu et al., 2023): instructions become harder, or give rise to rarer ones, round by round.

Each round changes an instruction in one of six ways, drawn evenly. What came of it is eliminated when the judge finds
no information gain, when the answer is sorry or says nothing, or when words of the prompt leak into it; then the
instruction goes into the next round unchanged. All rounds are merged. The prompts are ours.

Job i carries instruction i mod n through round i div n; a wave is a round.
"""

import re

from humanturn.conversation import Turn
from humanturn.records import Reply
from humanturn.simulate import guards
from humanturn.simulate.strategies.judging import verdict
from humanturn.simulate.table import Ended, Sitting

ROUNDS = 4

WAYS = {
    "constrain": "add one more constraint or requirement",
    "deepen": "ask for more depth and breadth on what it inquires about",
    "concretize": "replace general notions by more specific ones",
    "reason": "ask explicitly for several steps of reasoning",
    "complicate": "add something to work on: a short table, a piece of code, a formula, some data",
}
"""In-depth: what the rewritten instruction has more of."""

IN_DEPTH = """Make an instruction somewhat harder, so that a person can still understand and answer it. How: {way}. \
Add only 10 to 20 words. Keep all of the instruction, tables and code in it too. Do not carry it out.

Instruction: Name three lakes.
Harder: Name three lakes in Europe that are deeper than 200 metres, and say which country each lies in.

Instruction: {instruction}
Harder:"""

IN_BREADTH = """Make a new instruction out of an old one: of the same domain, of about the same length and \
difficulty, but about something rarer. Do not carry it out.

Instruction: Name three lakes.
New: Name three rivers that never reach the sea.

Instruction: {instruction}
New:"""

GAIN = """Do two instructions ask for the same? They are equal when they have the same requirements and the same depth \
and breadth. Write only Equal or Different.

First: Name three lakes.
Second: Give me the names of three lakes.
Verdict: Equal

First: Name three lakes.
Second: Name three lakes in Europe and say how deep they are.
Verdict: Different

First: {before}
Second: {after}
Verdict:"""

SORRY_WORDS = 80
_LEAKS = re.compile(
    r"\b(?:given|rewritten|created|new|old|harder|original|the) (?:prompt|instruction)s?\b"
    r"|^\W*(?:instruction|harder|new)\W*:",
    re.IGNORECASE | re.MULTILINE,
)
_STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """a an and are as at be but by for from has have he i if in is it its me my no not of on or our she so that
        the their them then there they this to was we were will with yes you your ok okay sure""",
    )
)


async def play(sitting: Sitting) -> Ended:
    """One instruction through one round; its conversation is the evolved instruction and the answer."""
    before = _current(sitting)
    after = await _evolved(sitting, before)
    sitting.moved_to(0.4)
    if after is None:
        return Ended("eliminated", ())
    if await _equal(sitting, before, after):
        return Ended("eliminated", (), {0: "no_gain"})
    sitting.moved_to(0.5)
    asked = [Turn("user", after)]
    reply, objection = await sitting.hear(2, 0, "assistant", asked, sitting.table.assistant_sampling, nothing_said)
    if objection:
        return Ended("eliminated", (), {0: objection})
    return Ended("written", ((*asked, Turn("assistant", reply.text)),))


def nothing_said(reply: Reply) -> str | None:
    """Why an answer eliminates its instruction: `sorry` and short, or `no_content`."""
    words = re.findall(r"\w+", reply.text.lower())
    if "sorry" in words and len(words) < SORRY_WORDS:
        return "sorry"
    return None if any(word not in _STOP_WORDS for word in words) else "no_content"


def leaked(instruction: str) -> bool:
    """True when words of the prompt stand in what should be an instruction."""
    return _LEAKS.search(instruction) is not None


def _current(sitting: Sitting) -> str:
    """The instruction as the rounds before left it: as evolved last, or as it began."""
    job, wave = sitting.job, sitting.table.wave
    evolved = sitting.store.first_kept(range(job.id % wave, job.id, wave))
    return evolved[-1][1] if evolved else job.opening[0].content


async def _evolved(sitting: Sitting, before: str) -> str | None:
    ways = [*WAYS, "breadth"]
    way = ways[sitting.drawn("way") % len(ways)]
    text = IN_BREADTH if way == "breadth" else IN_DEPTH
    prompt = [Turn("user", text.format(instruction=before, way=WAYS.get(way)))]

    def check(reply: Reply) -> str | None:
        objection = guards.tripped(reply, (Turn("user", before),), sitting.table.guards)
        return objection or ("leaked_prompt" if leaked(reply.text) else None)

    reply, objection = await sitting.hear(0, 0, "user", prompt, sitting.table.user_sampling, check)
    return None if objection else reply.text


async def _equal(sitting: Sitting, before: str, after: str) -> bool:
    """The judge's word on it; a verdict that cannot be read eliminates nothing."""

    def unparsed(reply: Reply) -> str | None:
        return None if re.match(r"\W*(equal|different)", reply.text, re.IGNORECASE) else "unparsed"

    said = await verdict(sitting, 1, GAIN.format(before=before, after=after), unparsed)
    return said is not None and said.lower().lstrip(" \"'*").startswith("equal")
