import numpy as np
import pytest
import torch

from humanturn.models import thin, weights
from humanturn.models.caches import Kept, common
from humanturn.models.generate import MAX_WRITING, Engine, Request, Writing, generate
from humanturn.models.model import Sampling
from humanturn.models.reading import PackedReader, PlainReader, reader

GREEDY = Sampling(temperature=0, max_tokens=8)


@pytest.fixture(scope="module")
def model(tiny):
    return weights.load(tiny)[0]


@pytest.fixture(scope="module")
def reference(tiny):
    """The same weights, untouched."""
    return weights.load(tiny)[0]


@pytest.fixture
def engine(model):
    return Engine(model, [2])


def prompts(n):
    rng = np.random.default_rng(0)
    return [rng.integers(20, 40000, size=int(rng.integers(3, 60))).tolist() for _ in range(n)]


def by_hugging_face(model, prompt, max_tokens):
    ids = torch.tensor([prompt])
    written = model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=max_tokens,
        eos_token_id=2, pad_token_id=2,
    )[0, len(prompt) :].tolist()  # fmt: skip
    return [token for token in written if token != 2]


def write(engine, *requests):
    turns = [Writing(request) for request in requests]
    for turn in turns:
        engine.ask(turn)
    while not all(turn.over for turn in turns):
        engine.step()
    return [turn.ids for turn in turns]


def test_greedy_output_is_that_of_hugging_face_generate_for_every_row_of_a_ragged_batch(model, reference):
    asked = prompts(9)
    greedy = [Sampling(temperature=0, max_tokens=5 + 3 * i) for i in range(9)]
    ours = generate(model, [Request(p, s, i) for i, (p, s) in enumerate(zip(asked, greedy, strict=True))], [2])
    for prompt, sampling, written in zip(asked, greedy, ours, strict=True):
        assert written.ids == by_hugging_face(reference, prompt, sampling.max_tokens)


def test_a_request_that_comes_later_joins_those_being_written_and_changes_nothing(engine, reference):
    asked = prompts(12)
    turns = [Writing(Request(p, Sampling(temperature=0, max_tokens=4 + n), n)) for n, p in enumerate(asked)]
    for turn in turns:
        engine.ask(turn)
        engine.step()
    assert any(len(turn.ids) > 2 for turn in turns if not turn.over)  # some are in the middle
    while not all(turn.over for turn in turns):
        engine.step()
    for turn in turns:
        assert turn.ids == by_hugging_face(reference, turn.request.prompt, turn.request.sampling.max_tokens)


def test_a_freed_place_is_taken_at_the_next_step(engine):
    turns = [Writing(Request([5, 6, n + 7], Sampling(temperature=0, max_tokens=3), n)) for n in range(MAX_WRITING + 5)]
    for turn in turns:
        engine.ask(turn)
    for _ in range(3):
        engine.step()
    assert [len(turn.ids) for turn in turns[-5:]] == [0] * 5
    assert all(turn.over for turn in turns[:MAX_WRITING])
    engine.step()
    assert [len(turn.ids) for turn in turns[-5:]] == [1] * 5


def test_a_long_prompt_is_read_in_shares_while_others_write(engine, reference):
    long = np.random.default_rng(1).integers(20, 40000, size=700).tolist()
    short, late = Writing(Request(prompts(1)[0], GREEDY, 0)), Writing(Request(long, GREEDY, 0))
    engine.ask(short)
    engine.step()
    engine.ask(late)
    engine.step()
    assert (len(short.ids), len(late.ids)) == (2, 0)
    while not (short.over and late.over):
        engine.step()
    assert late.ids == by_hugging_face(reference, long, 8)
    assert short.ids == by_hugging_face(reference, short.request.prompt, 8)


def test_history_is_read_once(engine, reference):
    history, answer = prompts(1)[0], []
    for _ in range(4):
        before = engine.tokens_read
        (said,) = write(engine, Request(history, GREEDY, 0))
        assert said == by_hugging_face(reference, history, 8)
        unseen = len(history) if before == 0 else 1 + len(answer)  # the last token of the turn before was never read
        assert engine.tokens_read - before == unseen + len(said) - 1
        answer = [30, 31, 32, 33, 34]
        history = history + said + answer


def test_two_sides_of_a_conversation_keep_a_cache_each(engine):
    sides = [prompts(2)[0], prompts(2)[1]]
    for turn in range(4):
        for side in (0, 1):
            before = engine.tokens_read
            (said,) = write(engine, Request(sides[side], GREEDY, 0))
            if turn:
                assert engine.tokens_read - before < 30
            sides = [sides[0] + said + [40], sides[1] + said + [41]]


def test_a_turn_that_comes_back_in_other_tokens_is_read_from_where_it_differs(engine, reference):
    prompt = prompts(1)[0]
    (said,) = write(engine, Request(prompt, GREEDY, 0))
    changed = [*prompt, *said[:3], 999, 1000, 1001]
    assert write(engine, Request(changed, GREEDY, 0)) == [by_hugging_face(reference, changed, 8)]


def test_conversations_that_share_only_their_instructions_do_not_take_each_others_cache(engine, reference):
    shared = list(range(100, 140))
    first, second = [*shared, *range(200, 300)], [*shared, *range(300, 400)]
    (said,) = write(engine, Request(first, GREEDY, 0))
    before = engine.tokens_read
    write(engine, Request(second, GREEDY, 0))
    assert engine.tokens_read - before == 100 + 7  # the instructions were copied
    before = engine.tokens_read
    goes_on = [*first, *said, 50]
    assert write(engine, Request(goes_on, GREEDY, 0)) == [by_hugging_face(reference, goes_on, 8)]
    assert engine.tokens_read - before == 2 + 7


def test_kept_caches_stay_within_their_limit_and_the_longest_unused_go_first(model):
    read = reader(model)
    read.kept_tokens = 600
    engine = Engine(model, [2], read)
    history = {n: [n] * 10 + list(range(1000, 1100)) for n in range(50, 60)}
    for prompt in history.values():
        write(engine, Request(prompt, GREEDY, 0))
    engine.step()
    assert 0 < engine.kept.tokens <= 600
    assert engine.kept.take(history[50]) is None
    assert common(engine.kept.take([*history[59], 1]).tokens, history[59]) == len(history[59])


def test_a_cache_larger_than_the_limit_is_not_kept(model):
    read = reader(model)
    cache = read.cache()
    cache.reserve(100)
    kept = Kept(99)
    kept.put(cache)
    assert kept.tokens == 0


def test_a_turn_nobody_wants_any_more_frees_its_place_and_disturbs_nobody(engine, reference):
    asked = prompts(3)
    turns = [Writing(Request(p, Sampling(temperature=0, max_tokens=10), 0)) for p in asked]
    for turn in turns:
        engine.ask(turn)
    engine.step()
    turns[1].over = True
    engine.step()
    assert engine.asked == 2
    assert len(turns[1].ids) == 1
    while not all(turn.over for turn in turns):
        engine.step()
    for turn in (turns[0], turns[2]):
        assert turn.ids == by_hugging_face(reference, turn.request.prompt, 10)


def test_what_a_row_says_depends_on_its_seed_and_not_on_its_company(model):
    # Cool enough that likelihoods of an untrained model lie further apart than the rounding of batched arithmetic.
    sampling = Sampling(temperature=0.02, top_p=0.9, max_tokens=12)
    asked = [Request(p, sampling, seed) for seed, p in enumerate(prompts(6))]
    together = generate(model, asked, [2])
    alone = [generate(model, [request], [2])[0] for request in asked]
    assert [w.ids for w in together] == [w.ids for w in alone]
    other = generate(model, [Request(asked[0].prompt, sampling, 99)], [2])[0]
    assert other.ids != alone[0].ids


def test_a_stop_token_ends_a_turn_and_is_not_part_of_it(model):
    prompt = prompts(1)[0]
    free = generate(model, [Request(prompt, GREEDY, 0)], [])[0]
    assert len(free.ids) == 8
    assert not free.finished
    stopped = generate(model, [Request(prompt, GREEDY, 0)], [free.ids[0]])[0]
    assert (stopped.ids, stopped.finished) == ([], True)


def test_linear_layers_that_multiply_from_the_other_side_give_the_same(tiny, reference):
    quick = weights.load(tiny)[0]
    thin.speed_up(quick)
    for tokens in (1, 7, 300):
        ids = torch.arange(tokens)[None] + 100
        with torch.inference_mode():
            assert torch.allclose(quick(ids).logits, reference(ids).logits, atol=1e-5)


ROPE = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
ARCHITECTURES = {
    "sliding windows": ("Mistral", {"sliding_window": 9}, PackedReader),
    "windows in some layers": ("Gemma3", {"sliding_window": 9, "head_dim": 16}, PackedReader),
    "biases": ("Qwen2", {}, PackedReader),
    "learned positions": ("GPT2", {}, PackedReader),
    "positions turned by length": (
        "Llama", {"max_position_embeddings": 16, "rope_parameters": ROPE}, PlainReader,
    ),
    "soft-capped scores": ("Gemma2", {"sliding_window": 9, "head_dim": 16}, PlainReader),
    "attention sinks": ("GptOss", {"sliding_window": 9, "head_dim": 16, "num_local_experts": 4}, PlainReader),
    "a state space": ("Mamba", {"state_size": 4}, PlainReader),
}  # fmt: skip


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_architecture_writes_what_hugging_face_generate_does(kind):
    import transformers

    name, special, expected = ARCHITECTURES[kind]
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"num_key_value_heads": 2} if name not in ("GPT2", "Mamba") else {}
    config_name = f"{name}TextConfig" if name == "Gemma3" else f"{name}Config"
    torch.manual_seed(0)
    causal = getattr(transformers, f"{name}LMHeadModel" if name == "GPT2" else f"{name}ForCausalLM")
    config = getattr(transformers, config_name)(
        vocab_size=300, eos_token_id=2, pad_token_id=2, bos_token_id=1, **sizes, **special
    )
    config._attn_implementation = "eager" if expected is PlainReader else "sdpa"
    model = causal(config).eval()
    asked = [[(7 * n + k) % 290 + 5 for k in range(length)] for n, length in enumerate((3, 14, 30))]
    theirs = [by_hugging_face(model, prompt, 12) for prompt in asked]
    engine = Engine(model, [2])
    assert type(engine.reader) is expected
    assert write(engine, *(Request(p, Sampling(temperature=0, max_tokens=12), 0) for p in asked)) == theirs
