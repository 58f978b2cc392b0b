"""What a user model learns from the whole packaged ShareGPT file in two hours on two CPU cores.

python benchmarks/whole_file.py OUT [--resume] [--share 0.3] [--epochs 0.8] [--precision float32|bfloat16] [--limit N]

Sessions are cut at 256 tokens; of their segments those are learned in which at least --share of the text up to the last
human turn is the human's, because time goes by the tokens computed, not by those trained. Heldout are the first two
segments of 100 sessions never trained on, cut at 512 tokens, before and after. The model is left in OUT/user.
"""

import argparse
import random
from pathlib import Path

from humanturn import jsonl
from humanturn.conversation import Conversation
from humanturn.prepare.stage import PrepareSettings, prepare
from humanturn.train.stage import TrainSettings, describe, train

TURN, END = 25, 5
"""Characters that a turn's header and end token count as, and the end token alone."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--share", type=float, default=0.3)
    parser.add_argument("--epochs", type=float, default=0.8)
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--limit", type=int, help="learn from so many segments only")
    args = parser.parse_args()
    for tokens in (256, 512):
        prepare(PrepareSettings(inputs=("sharegpt",), max_tokens=tokens), args.out / f"{tokens}")
    settings = TrainSettings(
        data=str(chosen(args.out, args.share)), role="user", limit=args.limit,
        heldout=str(args.out / "512" / "heldout.jsonl"), heldout_limit=100, heldout_segments=2,
        lora_rank=16, learning_rate=1e-3, epochs=args.epochs, batch_size=16, max_tokens=512, precision=args.precision,
    )  # fmt: skip
    print(describe(train(settings, args.out / "user", resume=args.resume).result))


def chosen(out, share):
    """The file of segments to learn from."""
    unseen = {c.session_id for c in jsonl.read(out / "512" / "heldout.jsonl", Conversation)}
    found, spoken, read = [], 0, 0
    everything = [c for c in jsonl.read(out / "256" / "train.jsonl", Conversation) if c.session_id not in unseen]
    for conversation in everything:
        human, computed = cost(conversation)
        if computed and human / computed >= share:
            found.append(conversation)
            spoken, read = spoken + human, read + computed
    spoken_in_all, read_in_all = (sum(parts) for parts in zip(*map(cost, everything), strict=True))
    print(
        f"{len(found):,} of {len(everything):,} segments: {spoken / spoken_in_all:.0%} of what people wrote, for"
        f" {read / read_in_all:.0%} of the tokens to be computed"
    )
    random.Random(0).shuffle(found)
    path = out / "train.jsonl"
    jsonl.write(path, found)
    return path


def cost(conversation):
    """Characters of human turns, and all that are computed for their sake."""
    turns = conversation.messages
    last = max((n for n, turn in enumerate(turns) if turn.role == "user"), default=-1)
    human = sum(len(turn.content) + END for turn in turns if turn.role == "user")
    return human, sum(len(turn.content) + TURN for turn in turns[: last + 1])


if __name__ == "__main__":
    main()
