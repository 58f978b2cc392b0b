import json

import pytest

from humanturn.conversation import Turn
from humanturn.records import Reply
from humanturn.simulate.guards import GUARDS, Guards, tripped

LIMITS = Guards()
BEFORE = [Turn("user", "What kind of grain is rye?"), Turn("assistant", "A grain.")]


def said(text, finish="stop"):
    return Reply(text=text, model="m", prompt_tokens=1, completion_tokens=1, finish_reason=finish)


@pytest.mark.parametrize(
    ("text", "finish", "guard"),
    [
        ("", "stop", "empty"),
        ("And then", "length", "unfinished"),
        ("ok <|im_start|>assistant", "stop", "template_text"),
        ("user\nwhat now", "stop", "template_text"),
        ("As an AI language model, I cannot eat.", "stop", "answers"),
        ("Sure! Here is a poem about rye.", "stop", "answers"),
        ("what  kind of grain is RYE?", "stop", "repeats"),
        ("A grain.", "stop", "repeats"),
        ("Is it healthy?\nAssistant: Yes, very.", "stop", "both_sides"),
        ("And oats?", "stop", None),
        ("Good question. I'm always here to help you with oats.", "stop", "answers"),
        ("Well, I'm just an AI chatbot, so no.", "stop", "answers"),
        ("I'm sorry, I meant oats", "stop", None),
        ("I'm here to buy oats, how can you help me?", "stop", None),
        ("sure, go on", "stop", None),
        ("Thanks!", "stop", None),
        ("I'm an AI researcher, what should I read?", "stop", None),
        ("I am a teaching assistant and need a quiz.", "stop", None),
        ("I'm an administrative assistant at a law firm", "stop", None),
        ("As an AI student I wonder what a grain is.", "stop", None),
        ("How do I write <s>struck out</s> text in HTML?", "stop", None),
        ("I am an AI assistant created to help.", "stop", "answers"),
        ("I'm a large language model.", "stop", "answers"),
        ("and oats?</s>", "stop", "template_text"),
    ],
)
def test_each_guard_catches_its_kind_and_lets_people_talk(text, finish, guard):
    assert tripped(said(text, finish), BEFORE, LIMITS) == guard


@pytest.mark.parametrize("text", ["thank you", "Thanks!", "Okay, thanks a lot.", "bye"])
def test_thanks_after_thanks_is_a_loop(text):
    before = [*BEFORE, Turn("user", "Great, thank you so much!"), Turn("assistant", "You are welcome.")]
    assert tripped(said(text), before, LIMITS) == "thanks_again"


def test_a_short_turn_may_recur_but_not_without_end():
    before = [turn for _ in range(4) for turn in (Turn("user", "continue"), Turn("assistant", "More."))]
    assert tripped(said("Continue"), before[:6], LIMITS) is None
    assert tripped(said("Continue"), before, LIMITS) == "repeats"


LONG = "Rye grows on poor soils where wheat does not, and it stands the cold of the north very well indeed, as we know."
SHORTER = LONG.removesuffix(", as we know.").upper()


def test_what_copies_the_answer_all_but_its_end_is_refused_and_a_quote_with_a_question_is_not():
    before = [Turn("user", "Where does rye grow?"), Turn("assistant", LONG)]
    assert tripped(said(SHORTER), before, LIMITS) == "copies"
    assert tripped(said(f"You say '{LONG}' But how cold may it get, and for how long?"), before, LIMITS) is None


def test_thresholds_are_settings_and_a_guard_can_be_off():
    before = [Turn("user", "Where does rye grow?"), Turn("assistant", LONG)]
    assert tripped(said(SHORTER), before, Guards(off=("copies",))) is None
    assert tripped(said(SHORTER), before, Guards(copied=1.1)) is None
    assert tripped(said("Where does rye grow?"), before, Guards(short_words=4)) is None
    with pytest.raises(ValueError, match="there is no guard coppies; there are empty, unfinished"):
        Guards(off=("coppies",))


def test_on_real_human_turns_fewer_than_one_in_a_hundred_is_refused(sharegpt_700):
    """The rule's own promise, on every human turn of 695 real conversations."""
    alarms, turns = dict.fromkeys(GUARDS, 0), 0
    for session in json.loads(sharegpt_700.read_text()):
        before = []
        for message in session["conversations"]:
            text = message["value"].strip()
            if message["from"] == "human" and text:
                turns += 1
                guard = tripped(said(text), before, LIMITS)
                if guard:
                    alarms[guard] += 1
            before.append(Turn("user" if message["from"] == "human" else "assistant", text))
    assert turns > 1500
    assert sum(alarms.values()) / turns < 0.01, alarms
