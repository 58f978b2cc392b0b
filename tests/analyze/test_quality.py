import re

import pytest

from humanturn import jsonl
from humanturn.analyze import quality
from humanturn.conversation import Conversation, Turn
from humanturn.errors import EndpointError
from humanturn.records import Reply

TALKS = [
    Conversation(id=f"t{n}", messages=(Turn("user", f"question {n}"), Turn("assistant", "answer"))) for n in range(12)
]


class Judge:
    """Grades question n with n % 10 + 1; for some it needs another attempt, and one it never grades readably."""

    name = "judge"

    def __init__(self, dies_after=None):
        self.asked, self.dies_after = [], dies_after

    async def reply(self, messages, *, sampling, seed):
        n = int(re.search(r"question (\d+)", messages[-1].content)[1])
        self.asked.append(n)
        if self.dies_after is not None and len(self.asked) > self.dies_after:
            raise EndpointError("gone")
        first = self.asked.count(n) == 1
        text = f"{{Complexity: {n % 10 + 1}, Relevancy: 5, Logicality: 9}}"
        if n == 7 or (n == 3 and first):
            text = "I cannot judge this."
        return Reply(text, self.name, 1, 1, "stop")

    async def close(self):
        pass


@pytest.mark.parametrize(
    "reply",
    [
        "{\n  Complexity: 7,\n  Relevancy: 8,\n  Logicality: 9\n}",
        '```json\n{"Complexity": 7, "Relevancy": 8, "Logicality": 9}\n```',
        "“{ Complexity: [7], Relevancy: [8], Logicality: [9] }”",
        "**Complexity:** 7\n**Relevancy:** 8\n**Logicality:** 9",
        "Here you go. complexity = 7; relevancy = 8; logicality = 9. The questions are complex.",
    ],
)
def test_scores_are_read_however_they_are_dressed(reply):
    assert quality.parse(reply) == (7, 8, 9)


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "Complexity: 7, Relevancy: 8",
        "Complexity: 11, Relevancy: 8, Logicality: 9",
        "Complexity: 0, Relevancy: 8, Logicality: 9",
        "Complexity: 7.5, Relevancy: 8, Logicality: 9",
        "Complexity: -7, Relevancy: 8, Logicality: 9",
        "Complexity: 7, Relevancy: 8, Logicality: 9. Or rather Complexity: 3",
        "Complexity: high, Relevancy: 8, Logicality: 9",
    ],
)
def test_what_breaks_the_contract_is_no_score(reply):
    assert quality.parse(reply) is None


def test_unreadable_verdicts_are_asked_again_then_counted_and_never_averaged(tmp_path):
    judge = Judge()
    found = quality.judge(judge, TALKS, tmp_path / "judged.jsonl")
    assert found.unparsed == 1
    read = [n % 10 + 1 for n in range(12) if n != 7]
    assert found.means["complexity"].value == pytest.approx(sum(read) / 11)
    assert found.means["relevancy"].value == 5
    assert found.means["complexity"].n == 11
    assert (judge.asked.count(3), judge.asked.count(7), judge.asked.count(5)) == (2, quality.TRIES, 1)


def test_a_second_run_asks_only_for_what_is_missing(tmp_path):
    path = tmp_path / "judged.jsonl"
    with pytest.raises(EndpointError, match="gone"):
        quality.judge(Judge(dies_after=5), TALKS, path, concurrency=1)
    done = {judged.id for judged in jsonl.read(path, quality.Judged)}
    second = Judge()
    found = quality.judge(second, TALKS, path)
    assert done
    assert not done & {f"t{n}" for n in second.asked}
    assert found == quality.judge(Judge(), TALKS, tmp_path / "whole.jsonl")


def test_the_prompt_is_the_paper_s_and_holds_the_conversation():
    (turn,) = quality.prompt(TALKS[4])
    assert "who checks the quality of the human's questions in the following multi-round conversations." in turn.content
    assert "Human: question 4\n\nAssistant: answer" in turn.content


def test_a_long_conversation_is_cut_at_a_turn():
    long = Conversation(
        id="l", messages=tuple(Turn("user" if n % 2 == 0 else "assistant", "x" * 900) for n in range(40))
    )
    (turn,) = quality.prompt(long)
    assert len(turn.content) < quality.MOST_CHARACTERS + 2500
    assert turn.content.endswith("x\n[The End]")
