"""Self-Instruct (Wang et al., 2023): new tasks from eight others, then what each is done to, and the result.

Eight tasks, at most two of them from the machine's own pool, are shown; the model writes a ninth. It is refused when it
is no task of 4 to 150 words, asks for what a text cannot give, or is too much like a task that is there already
(ROUGE-L F > 0.7). An accepted task is classified and up to five instances are written, labels first for classification.

Each call writes one task (the paper's goes on to the sixteenth), so that each is kept or refused on its own. Tasks are
drawn wave by wave: a wave sees the pool as it stood before it, so results do not depend on how many are in flight.
"""

import random
import re
from collections.abc import Sequence
from functools import lru_cache

import msgspec

from humanturn.conversation import Turn
from humanturn.models.model import Sampling
from humanturn.records import Reply
from humanturn.simulate.store import Store
from humanturn.simulate.strategies import rouge
from humanturn.simulate.table import Ended, Sitting
from humanturn.simulate.tasks import Instance, Task, together

WAVE = 16
SHOWN, SHOWN_MACHINE = 8, 2
FEWEST_WORDS, MOST_WORDS = 4, 150
SIMILAR = 0.7
INSTANCES = 5
NEW_TASK = Sampling(temperature=0.7, top_p=0.5, presence=2.0, stop=("\n",))
KIND = Sampling(temperature=0.0, max_tokens=4)

BEYOND_TEXT = re.compile(
    r"\b(?:images?|graphs?|pictures?|files?|maps?|draw|plots?|videos?|audio|music|go to|flow ?charts?|diagrams?)\b",
    re.I,
)

TASK_PROMPT = """Here is a list of tasks. Each is in one line, and no two are alike.

{tasks}

Write task {next}. It must be of another kind than those above. Write only the task itself, in one line."""

KIND_PROMPT = """Does the answer to a task come from a short list of labels? Then it is a classification task.

Task: Say whether the review is positive or negative.
Classification: yes
Task: Write a poem about the sea.
Classification: no
Task: Which of these words does not fit with the others?
Classification: yes
Task: Explain how a bicycle stays upright.
Classification: no
Task: {task}
Classification:"""

INSTANCE_PROMPT = """{examples}

Go on in the same form: for the last task, write {what}.

Task: {task}
Example 1
{first}:"""

FIRST = {False: "Input", True: "Class label"}
"""What an example begins with: labels first for classification."""

_EXAMPLE = re.compile(r"^\W*example\W*\d*\W*$", re.IGNORECASE | re.MULTILINE)
_FIELD = re.compile(r"^\W*(input|output|class label|label)\W*?:", re.IGNORECASE | re.MULTILINE)
_NUMBER = re.compile(r"^\W*(?:task\s*\d*\s*[.:)]|\d+\s*[.:)])\s*(?=\S)", re.IGNORECASE)


async def play(sitting: Sitting) -> Ended:
    """One new task and its instances, each a conversation of one round."""
    instruction = await _new_task(sitting)
    if instruction is None:
        return Ended("guards", ())
    sitting.moved_to(0.4)
    labelled = await _is_classification(sitting, instruction)
    sitting.moved_to(0.5)
    found = await _instances(sitting, instruction, labelled)
    if not found:
        return Ended("malformed", ())
    talks = [
        (Turn("user", together(instruction, instance.input)), Turn("assistant", instance.output)) for instance in found
    ]
    return Ended("written", talks)


def settle(store: Store, first: int, stop: int) -> None:
    """Refuse those tasks of a wave that are too much like an earlier one of the same wave; in job order."""
    accepted: list[list[str]] = []
    for job, text in store.first_kept(range(first, stop)):
        if rouge.too_similar(task_of(text), accepted, SIMILAR):
            store.finish(job, "similar", (), {0: "similar"})
        else:
            accepted.append(rouge.words(task_of(text)))


def task_of(text: str) -> str:
    """The task in a reply: its first line, without a number or a name before it."""
    return _NUMBER.sub("", text.strip().partition("\n")[0], count=1).strip()


def refused(task: str, others: Sequence[Sequence[str]]) -> str | None:
    """Why `task` cannot join the tasks whose words are `others`, or None."""
    if not FEWEST_WORDS <= len(task.split()) <= MOST_WORDS:
        return "length"
    if BEYOND_TEXT.search(task) or task.lower().startswith("write a program"):
        return "beyond_text"
    if not (task[0].isascii() and task[0].isalnum()):
        return "punctuation"
    return "similar" if rouge.too_similar(task, others, SIMILAR) else None


def instances_of(text: str, labelled: bool) -> list[Instance]:
    """Up to five instances in a reply: `Input:`/`Output:`, or `Class label:`/`Input:` when labels come first.

    Repeated ones, ones with nothing new in the output, and inputs with two different outputs are left out.
    """
    found: dict[str, str | None] = {}
    if not re.match(r"\W*(?:example|input|class label|label|task)\b", text, re.IGNORECASE):
        text = f"{FIRST[labelled]}: {text}"  # it went on right after the prompt's last word
    for piece in _EXAMPLE.split(text):
        fields = _fields(piece)
        given = fields.get("input", "").strip()
        given = "" if given.lower().strip("<>() .") in ("noinput", "no input", "none", "n/a") else given
        result = fields.get("label" if labelled else "output", "").strip()
        if result and result != given and not given.endswith(":"):
            found[given] = result if found.get(given, result) == result else None
    return [Instance(given, result) for given, result in found.items() if result is not None][:INSTANCES]


async def _new_task(sitting: Sitting) -> str | None:
    """The first acceptable task; every attempt is shown other tasks."""
    table = sitting.table
    human, machine = _pool(sitting.store, table.tasks, sitting.job.id // WAVE * WAVE)
    known = [*human.values(), *machine.values()]
    sampling = msgspec.structs.replace(NEW_TASK, max_tokens=table.user_sampling.max_tokens)

    def check(reply: Reply) -> str | None:
        return "unfinished" if reply.finish_reason == "length" else refused(task_of(reply.text), known)

    for attempt in range(table.attempts):
        draw = random.Random(sitting.drawn("shown", attempt))  # noqa: S311
        own = draw.sample(list(machine), min(SHOWN_MACHINE, len(machine)))
        chosen = own + draw.sample(list(human), min(SHOWN - len(own), len(human)))
        draw.shuffle(chosen)
        listed = "\n".join(f"{n}. {' '.join(task.split())}" for n, task in enumerate(chosen, 1))
        prompt = [Turn("user", TASK_PROMPT.format(tasks=listed, next=len(chosen) + 1))]
        reply, objection = await sitting.hear(0, attempt, "user", prompt, sampling, check)
        if objection is None:
            return task_of(reply.text)
    return None


async def _is_classification(sitting: Sitting, task: str) -> bool:
    """What the model says it is; a reply that says neither counts as no."""

    def unparsed(reply: Reply) -> str | None:
        return None if re.match(r"\W*(?:yes|no)\b", reply.text, re.IGNORECASE) else "unparsed"

    prompt = [Turn("user", KIND_PROMPT.format(task=task))]
    reply, _ = await sitting.hear(1, 0, "user", prompt, KIND, unparsed)
    return reply.text.lstrip(" \"'*").lower().startswith("yes")


async def _instances(sitting: Sitting, task: str, labelled: bool) -> list[Instance]:
    table = sitting.table
    prompt = [Turn("user", instance_prompt(task, labelled, table.tasks))]

    def check(reply: Reply) -> str | None:
        return None if instances_of(_whole(reply), labelled) else "malformed"

    reply = await sitting.first_good(2, "assistant", prompt, table.assistant_sampling, check)
    return instances_of(_whole(reply), labelled) if reply else []


def instance_prompt(task: str, labelled: bool, tasks: Sequence[Task]) -> str:
    """The prompt for instances of `task`, with one or two of `tasks` as examples."""
    alike = [t for t in tasks if t.instances and t.is_classification == labelled]
    brief = sorted(alike, key=lambda t: len(t.instances[0].input) + len(t.instances[0].output))[:2]
    fields = "Example 1\nClass label: {o}\nInput: {i}" if labelled else "Example 1\nInput: {i}\nOutput: {o}"
    examples = "\n\n".join(
        f"Task: {t.instruction}\n" + fields.format(i=t.instances[0].input or "<noinput>", o=t.instances[0].output)
        for t in brief
    )
    what = "one example for each label, the label first" if labelled else "one to five examples, input and output"
    return INSTANCE_PROMPT.format(what=what, examples=examples, task=task, first=FIRST[labelled])


def _whole(reply: Reply) -> str:
    """The reply without the example that its token limit cut."""
    starts = [match.start() for match in _EXAMPLE.finditer(reply.text)]
    return reply.text if reply.finish_reason != "length" else reply.text[: starts[-1] if starts else 0]


def _fields(piece: str) -> dict[str, str]:
    marks = list(_FIELD.finditer(piece))
    ends = [mark.start() for mark in marks[1:]] + [len(piece)] * bool(marks)
    return {
        mark[1].lower().split()[-1]: piece[mark.end() : end].strip().strip("*").strip()
        for mark, end in zip(marks, ends, strict=True)
    }


@lru_cache(maxsize=2)
def _pool(store: Store, seeds: Sequence[Task], wave: int) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Words of every seed task, and of every task accepted before the wave that begins with job `wave`."""
    machine = [task_of(text) for _, text in store.first_kept(range(wave))]
    return ({t.instruction: rouge.words(t.instruction) for t in seeds}, {t: rouge.words(t) for t in machine})
