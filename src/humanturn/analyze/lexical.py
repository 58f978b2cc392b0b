"""Lexical diversity: MTLD, MATTR, HD-D and Yule's K of a text.

Words are those of the lexicalrichness package 0.5.1, so that its figures and ours are the same: lower case, digits and
dashes removed, ASCII punctuation read as white space.
"""

import math
import string
from collections import Counter
from collections.abc import Sequence

_BLANK = bytes.maketrans(string.punctuation.encode(), b" " * len(string.punctuation))


def words(text: str) -> list[str]:
    """The words of `text`."""
    # bytes.translate is several times as fast as str.translate, and leaves the bytes of other scripts alone.
    plain = text.lower().encode("utf-8", "surrogatepass").translate(_BLANK, b"0123456789-")
    cleaned = plain.decode("utf-8", "surrogatepass")
    if not cleaned.isascii():
        cleaned = cleaned.replace("–", "").replace("—", "")
    return cleaned.split()


def mtld(text: str, *, threshold: float = 0.72) -> float:
    """Measure of textual lexical diversity, the mean of a forward and a backward pass (McCarthy & Jarvis 2010).

    It is the mean number of words over which the type-token ratio stays above `threshold`. Texts under some 100 words
    give unsteady values; a text whose words are all different gives their number. NaN for a text without words.
    """
    return mtld_of_words(words(text), threshold=threshold)


def mtld_of_words(sequence: Sequence[str], *, threshold: float = 0.72) -> float:
    """As `mtld`, for words already split."""
    if not sequence:
        return math.nan
    forward, backward = both_ways(list(sequence), threshold)
    return (len(sequence) / forward + len(sequence) / backward) / 2


def both_ways_in_python(sequence: list[str], threshold: float, /) -> tuple[float, float]:
    """How many stretches bring the type-token ratio down to `threshold`, read forward and backward."""
    return _factors(sequence, threshold), _factors(sequence[::-1], threshold)


try:
    from humanturn.analyze._stretches import both_ways
except ImportError:  # installed without a compiler
    both_ways = both_ways_in_python


def mattr(sequence: Sequence[str], *, window: int = 50) -> float:
    """Moving-average type-token ratio (Covington & McFall 2010); NaN for fewer words than `window`."""
    if window < 1 or len(sequence) < window:
        return math.nan
    counts = Counter(sequence[:window])
    types = total = len(counts)
    for leaving, coming in zip(sequence, sequence[window:], strict=False):
        counts[leaving] -= 1
        types -= counts[leaving] == 0
        types += counts[coming] == 0
        counts[coming] += 1
        total += types
    return total / (len(sequence) - window + 1) / window


def hdd(sequence: Sequence[str], *, draws: int = 42) -> float:
    """HD-D: expected type-token ratio of `draws` words drawn without replacement (McCarthy & Jarvis 2007).

    NaN for fewer words than `draws`.
    """
    n = len(sequence)
    if n < draws:
        return math.nan
    whole = math.comb(n, draws)
    # Words of one frequency share their probability of being missed; exact integers, so nothing underflows.
    return (
        sum(
            types * (1 - math.comb(n - frequency, draws) / whole)
            for frequency, types in Counter(Counter(sequence).values()).items()
        )
        / draws
    )


def yules_k(sequence: Sequence[str]) -> float:
    """Yule's K, 10⁴ (Σ f² − N) / N² over word frequencies f: higher is more repetitive. NaN without words."""
    n = len(sequence)
    if not n:
        return math.nan
    return 1e4 * (sum(f * f for f in Counter(sequence).values()) - n) / (n * n)


def _factors(sequence: Sequence[str], threshold: float) -> float:
    """How many stretches, the last one in part, bring the type-token ratio down to `threshold`."""
    factors, start, repeats = 0.0, 0, 0
    seen: set[str] = set()
    add = seen.add
    for position, word in enumerate(sequence, 1):
        if word not in seen:  # a new word cannot bring the ratio down
            add(word)
            continue
        repeats += 1
        length = position - start
        if (length - repeats) / length <= threshold:
            factors += 1
            start, repeats = position, 0
            seen.clear()
    rest = len(sequence) - start
    if rest:
        factors += (1 - (rest - repeats) / rest) / (1 - threshold)
    return factors or 1.0  # nothing but different words: one stretch
