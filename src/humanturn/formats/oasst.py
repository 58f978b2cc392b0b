"""OpenAssistant conversations: trees with nested `replies`, or flat messages that name their parents.

A tree holds many conversations. `best` takes, at every turn, the reply that people ranked first; `all` takes every
path to a leaf. Paths of one tree share `parent_id`, so that they are never on both sides of a split.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from humanturn.conversation import Conversation, Turn
from humanturn.errors import FormatError
from humanturn.formats import fields

Paths = Literal["best", "all"]


def matches(record: dict[str, Any]) -> bool:
    """True for a tree."""
    return isinstance(record.get("prompt"), dict) and "message_tree_id" in record


def matches_message(record: dict[str, Any]) -> bool:
    """True for a flat message, which makes a conversation only together with the others of its tree."""
    return "message_tree_id" in record and "parent_id" in record and "text" in record


def read(record: dict[str, Any], paths: Paths = "best") -> Iterator[Conversation]:
    """The conversations of one tree."""
    tree = fields.identity(record, "message_tree_id")
    stack: list[tuple[Any, tuple[Turn, ...]]] = [(record["prompt"], ())]
    while stack:
        node, above = stack.pop()
        if not isinstance(node, dict):
            raise FormatError(f"a message is {fields.kind(node)}, not an object")
        turns, _ = fields.turns([node], "role", "text")
        given = fields.items(node, "replies") if node.get("replies") else []
        replies = [reply for reply in given if isinstance(reply, dict) and not reply.get("deleted")]
        path: tuple[Turn, ...] = above + turns
        if not replies:
            leaf = fields.identity(node, "message_id")
            meta = fields.known(user=record["prompt"].get("user_id"), language=record["prompt"].get("lang"))
            single = paths == "best"
            yield Conversation(
                id=tree if single else f"{tree}/{leaf}",
                messages=path,
                source="oasst",
                parent_id=None if single else tree,
                meta=meta,
            )
            continue
        replies.sort(key=_rank)
        stack += [(reply, path) for reply in reversed(replies[:1] if paths == "best" else replies)]


def trees(messages: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any] | list[dict[str, Any]]]:
    """Flat messages of some trees put together; those that hang on no root come back as a list."""
    nodes = dict[str, dict[str, Any]]()
    for message in messages:
        if isinstance(message.get("message_id"), str):
            nodes.setdefault(message["message_id"], {**message, "replies": []})
    roots = [node for node in nodes.values() if not node.get("parent_id")]
    for node in nodes.values():
        parent = node.get("parent_id")
        if isinstance(parent, str) and parent in nodes:
            nodes[parent]["replies"].append(node)
    hanging, reached = list(roots), set[str]()
    while hanging:
        node = hanging.pop()
        reached.add(node["message_id"])
        hanging += node["replies"]
    for root in roots:
        yield {"message_tree_id": root.get("message_tree_id") or root["message_id"], "prompt": root}
    placed = {id(m) for m in messages if isinstance(m.get("message_id"), str) and m["message_id"] in reached}
    lost = [message for message in messages if id(message) not in placed]
    if lost:
        yield lost


def _rank(reply: dict[str, Any]) -> float:
    rank = reply.get("rank")
    return float(rank) if isinstance(rank, int | float) else float("inf")
