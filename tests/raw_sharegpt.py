"""Conversations as ShareGPT's raw export has them: answers in the HTML of the page, with its buttons and pagers."""

import json
import random
from pathlib import Path

THINGS = ["bread", "tea", "soup", "glass", "maps", "violins", "ferries", "wool", "paper", "candles", "clocks", "kites"]
ASKS = [
    "how do i make {} at home?",
    "Write a short poem about {}",
    "whats the history of {}",
    "Can you explain {} to a child?",
    "python function that counts {} in a list",
    "Give me three facts about {}.",
]
FOLLOWS = ["shorter please", "why is that", "and in python?", "Can you give an example with {}?", "what about {} then"]
CODE = (
    '<pre><div class="bg-black rounded-md mb-4"><div class="flex items-center text-gray-200 bg-gray-800 px-4 py-2">'
    '<span>python</span><button class="flex ml-auto gap-2"><svg></svg>Copy code</button></div><div class="p-4">'
    '<code class="!whitespace-pre hljs language-python">def count(items):\n    return items.count("{}")\n</code>'
    "</div></div></pre>"
)


def write(path: Path, sessions: int, seed: int = 0) -> Path:
    """Write `sessions` conversations of one to four rounds to `path`."""
    draw = random.Random(seed)
    path.write_text(json.dumps([_session(draw, number) for number in range(sessions)]))
    return path


def _session(draw: random.Random, number: int) -> dict:
    thing = draw.choice(THINGS)
    turns = []
    for i in range(draw.randint(1, 4)):
        ask = draw.choice(FOLLOWS if i else ASKS).format(thing)
        turns.append({"from": "human", "value": ask})
        turns.append({"from": "gpt", "value": _answer(draw, thing, code="python" in ask)})
    return {"id": f"talk{number}", "conversations": turns}


def _answer(draw: random.Random, thing: str, code: bool) -> str:
    words = " ".join(draw.choice(THINGS) for _ in range(draw.randint(8, 30)))
    items = f"<ul><li>One is {thing}</li><li>Two is {words[:20]}</li></ul>"
    body = f"<p>About <strong>{thing}</strong>: {words}.</p>{items}"
    pager = f'<div class="text-xs">{draw.randint(1, 2)} / 2</div>' if draw.random() < 0.1 else ""
    return f'{pager}<div class="markdown prose w-full break-words">{body}{CODE.format(thing) if code else ""}</div>'
