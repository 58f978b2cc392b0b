import time

import pytest

from humanturn.prepare.privacy import luhn, scrub
from humanturn.prepare.refusals import is_refusal


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mail jo.doe+x@mail.example.co.uk, please.", "Mail [EMAIL], please."),
        ("Call +49 30 1234567 or (415) 555-0132.", "Call [PHONE] or [PHONE]."),
        ("Call 415-555-0132 now", "Call [PHONE] now"),
        ("Pay with 4111 1111 1111 1111 today", "Pay with [CARD] today"),
        ("Host 192.168.0.1 and 2001:db8:0:0:0:0:2:1 answer", "Host [IP] and [IP] answer"),
        ("key sk-abcdefghijklmnopqrstuvwx1234", "key [KEY]"),
        ("Ping fe80::1 and 2001:db8::1", "Ping [IP] and [IP]"),
        ("AKIAIOSFODNN7EXAMPLE is one", "[KEY] is one"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "[KEY]"),
    ],
)
def test_what_identifies_is_replaced(text, expected):
    assert scrub(text)[0] == expected


@pytest.mark.parametrize(
    "text",
    [
        "Version 1.2.3.4567 came out in 2023-04-01 at 12:30:45.",
        "π is 3.14159265358979323846",
        "Order 4111 1111 1111 1112 has a wrong check digit",
        "arr[1:2], a @ b, std::vector, x::y",
        "The sum 1000000 + 2000000 = 3000000",
        "ISBN 978-3-16-148410-0",
        "sk-learn and ghp_ are names",
        "Date:   Mon Jan 2 12:00:00 2023 +0000",
        "class B; A::B x; dead::beef",
        "from 10:20:30:40:50:60:70:80 on",
        "Ranges 100-200-3000",
    ],
)
def test_what_only_looks_like_it_stays(text):
    assert scrub(text) == (text, {})


def test_placeholders_are_counted_by_kind():
    assert scrub("a@b.org, c@d.org, 10.0.0.1")[1] == {"email": 2, "ip": 1}


def test_a_megabyte_of_digits_takes_a_moment():
    for piece in ("1", "1 ", "1.", "a@", "+1", "1:", "-----BEGIN "):
        began = time.process_time()
        scrub(piece * (1_000_000 // len(piece)) + "@ 123456")
        assert time.process_time() - began < 5, piece


def test_check_digits():
    assert luhn([4, 5, 3, 9, 1, 4, 8, 8, 0, 3, 4, 3, 6, 4, 6, 7])
    assert not luhn([8, 2, 7, 3, 1, 2, 3, 2, 7, 3, 5, 2, 0, 5, 6, 9])


@pytest.mark.parametrize(
    "answer",
    [
        "As an AI language model, I have no opinion.",
        "I'm sorry, but I cannot help with that.",
        "I’m just a language model.",
        "I cannot assist with this request.",
        "Unfortunately, as of now I am not able to browse.",
    ],
)
def test_refusals_are_recognized(answer):
    assert is_refusal(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry to hear that! Here is a plan.",
        "The model is an AI.",
        "You cannot divide by zero.",
        "Sorry, my mistake: 4.",
    ],
)
def test_answers_are_not_taken_for_refusals(answer):
    assert not is_refusal(answer)
