"""How far raters agree beyond chance; people and judges alike.

Ratings are given as one sequence per item, one entry per rater, None where a rater did not rate the item.
"""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence

Ratings = Sequence[Sequence[Hashable | None]]


def fleiss_kappa(items: Ratings) -> float | None:
    """Fleiss' kappa (Fleiss 1971) over the items that have the most usual number of ratings, at least two.

    None when there is no such item, or when chance alone would agree always (one category in use).
    """
    counts = [Counter(rating for rating in item if rating is not None) for item in items]
    sizes = Counter(size for count in counts if (size := count.total()) >= 2)
    if not sizes:
        return None
    raters = max(sizes, key=lambda size: (sizes[size], size))
    rated = [count for count in counts if count.total() == raters]
    observed = math.fsum(sum(n * (n - 1) for n in count.values()) / (raters * (raters - 1)) for count in rated) / len(
        rated
    )
    overall = sum(rated, Counter[Hashable]())
    chance = math.fsum((n / (raters * len(rated))) ** 2 for n in overall.values())
    return None if chance >= 1 - 1e-12 else (observed - chance) / (1 - chance)


def nominal(a: float, b: float) -> float:
    """Distance of categories: apart or not."""
    return float(a != b)


def interval(a: float, b: float) -> float:
    """Distance of numbers, squared."""
    return (a - b) ** 2


def krippendorff_alpha(items: Ratings, distance: Callable[[float, float], float] = nominal) -> float | None:
    """Krippendorff's alpha (Krippendorff 2011) for any number of raters and missing ratings.

    `distance` is `nominal` for categories (any values) and `interval` for numbers. None when fewer than two ratings of
    an item exist, or when all ratings are the same, so that agreement cannot be told from a lack of variety.
    """
    units = [[r for r in item if r is not None] for item in items]
    units = [unit for unit in units if len(unit) >= 2]
    values = Counter(rating for unit in units for rating in unit)
    total = values.total()
    pairs = [(a, b) for a in values for b in values]
    expected = math.fsum(values[a] * values[b] * distance(a, b) for a, b in pairs)  # type: ignore[arg-type]
    if total < 2 or expected == 0:
        return None
    observed = 0.0
    for unit in units:
        count = Counter(unit)
        within = math.fsum(count[a] * count[b] * distance(a, b) for a in count for b in count)  # type: ignore[arg-type]
        observed += within / (len(unit) - 1)
    return 1 - (total - 1) * observed / expected


def pairwise_share(items: Ratings) -> tuple[float, int] | None:
    """Share of pairs of ratings of one item that are the same, and how many pairs; None when there is no pair."""
    same = pairs = 0
    for item in items:
        count = Counter(rating for rating in item if rating is not None)
        n = count.total()
        same += sum(k * (k - 1) // 2 for k in count.values())
        pairs += n * (n - 1) // 2
    return (same / pairs, pairs) if pairs else None
