"""One record of every format, as its publisher writes it, and the turns it holds."""

Q, A, Q2, A2 = "What is a tide?", "The sea's rise and fall.", "Why twice a day?", "Two bulges, one Earth."
TWO_ROUNDS = (("user", Q), ("assistant", A), ("user", Q2), ("assistant", A2))
ONE_ROUND = TWO_ROUNDS[:2]


def _oasst(name, parent, role, text, **more):
    return {
        "message_id": name,
        "parent_id": parent,
        "message_tree_id": "t1",
        "role": role,
        "text": text,
        "lang": "en",
        "deleted": False,
        "rank": None,
        **more,
    }


OASST_MESSAGES = [
    _oasst("t1", None, "prompter", Q, user_id="u1"),
    _oasst("a0", "t1", "assistant", "The worse answer.", rank=1),
    _oasst("a1", "t1", "assistant", A, rank=0),
    _oasst("q2", "a1", "prompter", Q2),
    _oasst("a9", "q2", "assistant", "Deleted.", rank=0, deleted=True),
    _oasst("a2", "q2", "assistant", A2, rank=1),
]


def _tree(name):
    node = next(m for m in OASST_MESSAGES if m["message_id"] == name)
    return node | {"replies": [_tree(m["message_id"]) for m in OASST_MESSAGES if m["parent_id"] == name]}


def _wildchat_turn(role, content):
    return {
        "content": content,
        "role": role,
        "language": "English",
        "toxic": False,
        "redacted": False,
        "turn_identifier": 7,
        "hashed_ip": "f00" if role == "user" else None,
    }


OPENAI = [{"role": role, "content": text} for role, text in TWO_ROUNDS]

EXAMPLES = {
    "sharegpt": (
        {
            "id": "QWJhYvA_0",
            "conversations": [
                {"from": {"user": "human", "assistant": "gpt"}[role], "value": text} for role, text in TWO_ROUNDS
            ],
        },
        TWO_ROUNDS,
    ),
    "messages": ({"id": "m1", "messages": OPENAI}, TWO_ROUNDS),
    "parts": (
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": Q}, {"type": "image_url", "image_url": {}}]},
                {"role": "assistant", "content": None, "tool_calls": [{"id": "c1"}]},
                {"role": "tool", "tool_call_id": "c1", "content": "{}"},
                {"role": "assistant", "content": A},
            ]
        },
        (("user", Q), ("assistant", ""), ("assistant", A)),
    ),
    "wildchat": (
        {
            "conversation_hash": "abc123",
            "model": "gpt-4",
            "language": "English",
            "conversation": [_wildchat_turn(role, text) for role, text in TWO_ROUNDS],
        },
        TWO_ROUNDS,
    ),
    "lmsys": (
        {"conversation_id": "l1", "model": "vicuna-13b", "conversation": OPENAI, "language": "English"},
        TWO_ROUNDS,
    ),
    "oasst": ({"message_tree_id": "t1", "tree_state": "ready_for_export", "prompt": _tree("t1")}, TWO_ROUNDS),
    "hh": (
        {
            "chosen": f"\n\nHuman: {Q}\n\nAssistant: {A}\n\nHuman: {Q2}\n\nAssistant: {A2}",
            "rejected": f"\n\nHuman: {Q}\n\nAssistant: No.",
        },
        TWO_ROUNDS,
    ),
    "dolly": (
        {"instruction": Q, "context": "Oceans.", "response": A, "category": "closed_qa"},
        (("user", f"{Q}\n\nOceans."), ("assistant", A)),
    ),
    "alpaca": ({"instruction": Q, "input": "", "output": A}, ONE_ROUND),
    "evol": ({"instruction": Q, "output": A}, ONE_ROUND),
    "baize": (
        {
            "topic": "tides",
            "input": f"The conversation between human and AI assistant.\n[|Human|] {Q}\n[|AI|] {A}\n"
            f"[|Human|] {Q2}\n[|AI|] {A2}\n[|Human|] ",
        },
        TWO_ROUNDS,
    ),
    "ultrachat": ({"id": "0", "data": [Q, A, Q2, A2]}, TWO_ROUNDS),
    "ultrachat_200k": ({"prompt": Q, "prompt_id": "p1", "messages": OPENAI}, TWO_ROUNDS),
    "devgpt": (
        {
            "Sources": [
                {
                    "Type": "issue",
                    "ChatgptSharing": [
                        {
                            "URL": "https://chat.openai.com/share/d1",
                            "Model": "GPT-4",
                            "Conversations": [
                                {
                                    "Prompt": Q,
                                    "Answer": "Run this: [CODE_BLOCK_0]",
                                    "ListOfCode": [
                                        {"ReplaceString": "[CODE_BLOCK_0]", "Type": "python", "Content": "tide()\n"}
                                    ],
                                }
                            ],
                        },
                        {"URL": "https://chat.openai.com/share/gone", "Status": 404},
                    ],
                }
            ]
        },
        (("user", Q), ("assistant", "Run this: ```python\ntide()\n```")),
    ),
}
