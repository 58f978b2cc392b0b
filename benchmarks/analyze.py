"""Analysis against its peers in the same run: MTLD against lexicalrichness, topic similarity against all pairs.

python benchmarks/analyze.py SHAREGPT.json      any file that `humanturn prepare` reads
"""

import resource
import sys
import time
from pathlib import Path

import numpy as np
from lexicalrichness import LexicalRichness
from scipy.spatial.distance import cdist

from humanturn import formats
from humanturn.analyze import lexical, topics


def best_of(work, repeats=7):
    """Least CPU time of `work()` in seconds, all threads together, and its result."""
    times = []
    for _ in range(repeats):
        began = time.process_time()
        result = work()
        times.append(time.process_time() - began)
    return min(times), result


def mtld(path):
    turns = [turn for c in formats.read_conversations(Path(path)) for turn in c.turns_of("user") if lexical.words(turn)]
    ours_s, ours = best_of(lambda: [lexical.mtld(turn) for turn in turns])
    theirs_s, theirs = best_of(lambda: [LexicalRichness(turn).mtld(threshold=0.72) for turn in turns])
    worst = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    how = "in Python" if lexical.both_ways is lexical.both_ways_in_python else "compiled"
    print(f"mtld, {len(turns):,} human turns: lexicalrichness {theirs_s:.4f} s, ours ({how}) {ours_s:.4f} s")
    print(f"  = {theirs_s / ours_s:.1f}x CPU time; largest difference {worst:.1e}")


def against_all_pairs(n=10_000, dimensions=384):
    vectors = np.random.default_rng(0).normal(0.1, 1, size=(n, dimensions)).astype(np.float32)
    ours_s, ours = best_of(lambda: topics.mean_cosine([vectors]))
    theirs_s, theirs = best_of(lambda: float((1 - cdist(vectors, vectors, "cosine")).mean()), repeats=1)
    print(f"topic similarity, {n:,} x {dimensions}: cdist {theirs_s:.2f} s, ours {ours_s:.4f} s")
    print(f"  = {theirs_s / ours_s:,.0f}x; difference {abs(ours.all_pairs.value - theirs):.1e}")


def many(n=1_000_000, dimensions=384, block=10_000):
    rng = np.random.default_rng(0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    spent, sums = 0.0, topics.CosineSums()
    for number in range(n // block):
        vectors = rng.normal(0.1, 1, size=(block, dimensions)).astype(np.float32)
        began = time.perf_counter()
        sums.add(vectors, number)
        spent += time.perf_counter() - began
    began = time.perf_counter()
    found = sums.similarity()
    spent += time.perf_counter() - began
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"topic similarity, {n:,} x {dimensions}: {spent:.1f} s, memory grew by {grown:.0f} MB")
    print(f"  (the vectors are {n * dimensions * 4 / 2**20:,.0f} MB, their pairs {n * n * 8 / 2**40:.1f} TB)")
    assert found.all_pairs.n == n


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    many()
    mtld(sys.argv[1])
    against_all_pairs()
