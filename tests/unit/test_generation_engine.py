"""Many texts at a time are the texts that the model writes one by one."""

from collections.abc import Sequence

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from consumers.generation.attention import ATTENTION
from consumers.generation.engine import Engine, Limits, Request
from consumers.generation.sampling import Place, Sampling, choose, uniform
from consumers.generation.slots import Shape
from tests.support.writers import VOCABULARY, tiny_llama

CPU = torch.device("cpu")
LLAMA = Shape(layers=2, heads=2, width=16, dtype=torch.float32, device=CPU)
PROMPTS = [
    torch.randint(1, VOCABULARY, (length,), generator=torch.Generator().manual_seed(length)).tolist()
    for length in (1, 40, 7, 90, 3, 23)
]
MOST = [12, 30, 25, 8, 40, 1]


@pytest.fixture(scope="module")
def llama() -> PreTrainedModel:
    return tiny_llama()


def alone(model: PreTrainedModel, prompt: Sequence[int], most: int) -> list[int]:
    """As transformers writes it."""
    model.set_attn_implementation("sdpa")
    model.generation_config.eos_token_id = None
    ids = torch.tensor([list(prompt)])
    with torch.inference_mode():
        made = model.generate(  # type: ignore[operator]  # transformers' generate has lost its types
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=most, do_sample=False
        )
    found: list[int] = made[0, len(prompt) :].tolist()
    return found


def engine(model: PreTrainedModel, shape: Shape = LLAMA, **limits: int) -> Engine:
    model.set_attn_implementation(ATTENTION)
    usual = {"context": 256, "pass_tokens": 16, "kept_tokens": 2048, "requests": 4}
    return Engine(model, shape, Limits(**{**usual, **limits}))


def run(made: Engine, requests: Sequence[Request], most: int = 10_000) -> dict[str, list[int]]:
    """Every text, for at most so many steps."""
    texts = {request.id: list(request.written) for request in requests}
    ends = {request.id: request.most for request in requests}
    for _ in range(most):
        if not made.busy:
            break
        for name, token in made.step():
            texts[name].append(token)
            if len(texts[name]) == ends[name]:
                made.remove(name)
    return texts


def requests() -> list[Request]:
    return [Request(str(at), prompt, most) for at, (prompt, most) in enumerate(zip(PROMPTS, MOST, strict=True))]


@pytest.mark.parametrize(
    "limits", [{}, {"requests": 1}, {"pass_tokens": 3}, {"kept_tokens": 256, "requests": 6}, {"pass_tokens": 500}]
)
def test_greedy_texts_are_those_of_generate(llama: PreTrainedModel, limits: dict[str, int]) -> None:
    texts = run(_with(engine(llama, LLAMA, **limits), *requests()), requests())
    assert [texts[str(at)] for at in range(len(PROMPTS))] == [
        alone(llama, prompt, most) for prompt, most in zip(PROMPTS, MOST, strict=True)
    ]


def test_learned_positions_and_as_many_key_heads_as_heads_are_no_exception() -> None:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=128, initializer_range=0.3,
        bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    model: PreTrainedModel = GPT2LMHeadModel(config)
    model.train(False)
    texts = run(_with(engine(model, Shape(2, 4, 8, torch.float32, CPU)), *requests()[:3]), requests()[:3])
    assert texts["1"] == alone(model, PROMPTS[1], MOST[1])
    assert len(set(texts["1"])) > 5, "a model that repeats itself would prove nothing"


def test_a_request_joins_while_others_write_and_one_leaves(llama: PreTrainedModel) -> None:
    made = engine(llama)
    first, second, third = requests()[1:4]
    made.add(first)
    made.add(second)
    texts = run(made, [first, second], most=9)
    made.remove(second.id)
    made.add(third)
    later = run(made, [Request(first.id, first.prompt, first.most, written=texts[first.id]), third])
    assert later[first.id] == alone(llama, first.prompt, first.most)
    assert later[third.id] == alone(llama, third.prompt, third.most)
    assert not made.busy


def test_what_is_cancelled_makes_room_at_once(llama: PreTrainedModel) -> None:
    made = engine(llama, requests=1)
    for request in requests()[:2]:
        made.add(request)
    run(made, requests()[:2], most=1)
    made.remove("0")
    assert run(made, requests()[1:2])["1"] == alone(llama, PROMPTS[1], MOST[1])


def test_another_engine_goes_on_with_what_was_written(llama: PreTrainedModel) -> None:
    """Greedily, and drawing: what is drawn follows from the seed and the place."""
    for sampling in (
        Sampling(),
        Sampling(temperature=1.0, top_p=0.9, seed=5),
        Sampling(temperature=2.0, frequency=1.0),
    ):
        whole = Request("0", PROMPTS[2], 24, sampling)
        text = run(_with(engine(llama), whole), [whole])["0"]
        rest = Request("0", PROMPTS[2], 24, sampling, written=text[:11])
        assert run(_with(engine(llama), rest, requests()[3]), [rest, requests()[3]])["0"] == text
        assert len(text) == 24


def test_all_of_a_request_must_fit_before_it_begins(llama: PreTrainedModel) -> None:
    made = engine(llama, kept_tokens=150)
    made.add(Request("small", [1], 20))
    made.add(Request("large", [2], 99))
    made.step()
    assert made.running == 1
    made.remove("small")
    made.step()
    assert made.running == 1


def _with(made: Engine, *added: Request) -> Engine:
    for request in added:
        made.add(request)
    return made


def scores() -> torch.Tensor:
    return torch.randn(1, 50, generator=torch.Generator().manual_seed(3)) * 3


def share(sampling: Sampling, draws: int = 400) -> dict[int, float]:
    """How often each token is drawn, by places far apart."""
    drawn = [choose(scores(), [Place(sampling, [1], [0] * place)])[0] for place in range(draws)]
    return {token: drawn.count(token) / draws for token in set(drawn)}


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    likely = scores()[0].softmax(-1)
    found = share(Sampling(temperature=1.0, seed=1))
    top = int(likely.argmax())
    assert found[top] == pytest.approx(float(likely[top]), abs=0.1)
    assert share(Sampling(temperature=1.0, seed=1), 40) == share(Sampling(temperature=1.0, seed=1), 40)


def test_top_k_and_top_p_keep_what_transformers_keeps() -> None:
    from transformers import TopKLogitsWarper, TopPLogitsWarper

    ids = torch.tensor([[1]])
    kept = TopKLogitsWarper(6)(ids, scores() / 1.5)
    kept = TopPLogitsWarper(0.9)(ids, kept)
    expected = set((kept[0] > -torch.inf).nonzero()[:, 0].tolist())
    assert set(share(Sampling(temperature=1.5, top_k=6, top_p=0.9))) == expected


def test_penalties_are_those_of_transformers_and_of_openai() -> None:
    from transformers import RepetitionPenaltyLogitsProcessor

    prompt, text = [4, 9], [9, 9, 17]
    given = scores()
    expected = RepetitionPenaltyLogitsProcessor(1.7)(torch.tensor([prompt + text]), given.clone())
    expected[0, 9] -= 0.5 + 2 * 0.25
    expected[0, 17] -= 0.5 + 0.25
    sampling = Sampling(repetition=1.7, presence=0.5, frequency=0.25)
    given[0, 9] = expected[0, 9] = 40.0  # would win, but for its penalties
    expected[0, 9] = 40.0 / 1.7 - 1.0
    assert choose(given, [Place(sampling, prompt, text)]) == [int(expected.argmax())]


def test_numbers_are_drawn_from_the_whole_interval() -> None:
    drawn = [uniform(7, place) for place in range(1000)]
    assert 0 <= min(drawn) < 0.01
    assert 0.99 < max(drawn) < 1
    assert uniform(7, 3) != uniform(8, 3)
