import pytest

from humanturn.conversation import Turn
from humanturn.prepare import language

CODE = "```python\nfor item in the_list:\n    print('this is the code that you have to run', item)\n```"
SAID = {
    "en": "Please tell me how you would write this, and what the result is going to be.",
    "de": "Kannst du mir bitte sagen, wie man das schreibt und was am Ende dabei herauskommt?",
    "fr": "Peux-tu me dire comment écrire cela et quel sera le résultat à la fin, s'il te plaît ?",
    "es": "¿Puedes decirme cómo se escribe esto y cuál va a ser el resultado al final, por favor?",
    "ru": "Скажи мне, пожалуйста, как это написать и какой будет результат в конце.",
    "zh": "请告诉我应该怎么写这个程序，最后的结果会是什么？",
    "ja": "これはどのように書けばよいですか。最後の結果はどうなりますか。",
    "ko": "이것을 어떻게 써야 하는지, 그리고 마지막 결과가 무엇인지 알려 주세요.",
}


def talk(*texts):
    return [Turn("assistant" if at % 2 else "user", text) for at, text in enumerate(texts)]


def heard(turns):
    return [language.hear(turn.content) for turn in turns]


@pytest.mark.parametrize("code", SAID)
def test_english_code_does_not_hide_the_language(code):
    found = language.hear(f"{SAID[code]}\n\n{CODE}\n\n`the_inline_code_that_you_have()`")
    assert (found.code, found.sure) == (code, True)


@pytest.mark.parametrize(
    "text", ["", "42", CODE, "ok", "{\n 'a': 1;\n}", "\x00\ud800\ufffe", "https://example.org/the/and"]
)
def test_what_has_no_language_condemns_nothing(text):
    found = language.hear(text)
    assert not found.sure
    assert language.share_of("en", [found, language.hear(SAID["en"])]) > 0.9


def test_the_share_counts_letters_of_turns_that_can_be_told():
    turns = talk(SAID["en"], SAID["de"], "ok", "42")
    assert 0.4 < language.share_of("en", heard(turns)) < 0.6
    assert language.share_of("en", []) == 1


def test_a_switch_that_nobody_asked_for_is_found():
    turns = talk(SAID["de"], SAID["en"])
    assert language.switch(turns, heard(turns)) == ("de", "en")


@pytest.mark.parametrize(
    "request_",
    [
        "Translate this into English.",
        "Bitte übersetze das.",
        "Answer me in French!",
        "用英文回答",
        "How do I say it in Korean?",
    ],
)
def test_a_session_that_asks_for_another_language_may_switch(request_):
    turns = talk(f"{SAID['de']} {request_}", SAID["en"])
    assert language.switch(turns, heard(turns)) is None


@pytest.mark.parametrize("line", ["is phpmyadmin similar to sql?", "Kyoudon Kisoba Okakita price?"])
def test_a_short_line_that_sounds_foreign_is_no_switch(line):
    turns = talk(*[SAID["en"]] * 6, line)
    others = [language.Heard("da", 24, True)]
    assert language.switch(turns, [*heard(turns[:-1]), *others]) is None


def test_the_main_language_is_the_one_with_most_letters():
    assert language.main(heard(talk(SAID["de"], SAID["en"], SAID["de"]))) == "de"
    assert language.main([]) == "un"
