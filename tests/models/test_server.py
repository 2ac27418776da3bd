"""Servers of four dialects with a tiny model behind them, and everything that servers were seen to do wrong."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from tests.models.fake_server import Fake, serving

from soundness.errors import ModelError
from soundness.models.cached import CachedModel
from soundness.models.contract import check_model
from soundness.models.embedded import organism_folder
from soundness.models.load import load_model
from soundness.models.server import ServerModel
from soundness.models.store import Store
from soundness.models.transport import KEY_VARIABLE, Limits, Transport
from soundness.records import Probe, Stop

DIALECTS = ("llama.cpp", "vllm", "sglang", "completions")
QUICK = Limits(concurrency=4, timeout=60.0, retries=2, patience=100.0)


@pytest.fixture(scope="module")
def organism():
    return load_model("organism:base")


@pytest.fixture
def fake(organism, request):
    fake = Fake(organism, getattr(request, "param", "vllm"))
    with serving(fake) as address:
        tokenizer = str(organism_folder("organism:base")) if fake.dialect in ("sglang", "completions") else None
        fake.address = address
        fake.served = ServerModel(address, "tiny" if fake.dialect != "llama.cpp" else None, tokenizer=tokenizer, limits=QUICK)
        fake.served._transport._sleep = lambda seconds: None
        yield fake


everywhere = pytest.mark.parametrize("fake", DIALECTS, indirect=True)


@everywhere
def test_every_dialect_keeps_the_contract_of_a_back_end(fake):
    check_model(fake.served)


@everywhere
def test_a_server_writes_and_reads_what_the_model_behind_it_does(fake, organism):
    prompt = organism.render("What is 3 + 4?")
    assert fake.served.render("What is 3 + 4?").ids == prompt.ids
    (here,) = organism.generate([prompt.ids], max_tokens=12)
    (there,) = fake.served.generate([prompt.ids], max_tokens=12)
    assert there == here
    probe = Probe(prompt.ids, tuple(organism.encode(" 7\n")))
    near, far = organism.read([probe])[0], fake.served.read([probe])[0]
    assert far.token_nats == pytest.approx(near.token_nats, abs=1e-5) and far.token_top == near.token_top


@pytest.mark.parametrize("fake", ["vllm", "llama.cpp"], indirect=True)
def test_a_stop_ends_what_the_server_did_not_end(fake, organism):
    prompt = organism.render("What is 3 + 4?")
    (whole,) = organism.generate([prompt.ids], max_tokens=30)
    text = organism.decode(whole.ids)
    (cut,) = fake.served.generate([prompt.ids], max_tokens=30, until=Stop(strings=(text[4:7],)))
    assert organism.decode(cut.ids) == text[: text.index(text[4:7])] and cut.finish == "stop"
    (kept,) = fake.served.generate([prompt.ids], max_tokens=30, until=text[4:7])
    assert organism.decode(kept.ids).endswith(text[4:7]) and kept.finish == "stop"


def rows_of(answer: Any) -> list[Any]:
    return answer["choices"][0]["prompt_logprobs"]


WRONG = {
    "none": lambda a: a["choices"][0].update(prompt_logprobs=None),
    "a short list": lambda a: a["choices"][0].update(prompt_logprobs=rows_of(a)[-1:]),
    "another token": lambda a: rows_of(a).__setitem__(-1, {"77": {"logprob": -1.0}}),
    "an empty entry": lambda a: rows_of(a).__setitem__(-1, None),
    "NaN": lambda a: next(iter(rows_of(a)[-1].values())).update(logprob=math.nan),
    "no choices": lambda a: a.update(choices=[]),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_gap_in_an_answer_is_an_error_and_never_a_number(fake, wrong):
    def spoil(path, count, answer):
        if path == "/v1/completions" and "prompt_logprobs" in str(answer[1]):
            WRONG[wrong](answer[1])
        return answer

    fake.spoil = spoil
    with pytest.raises(ModelError) as error:
        fake.served.read([Probe((1, 2, 3), (4, 5))])
    assert "\n" not in str(error.value) and len(str(error.value)) < 300


@pytest.mark.parametrize("fake", ["sglang", "llama.cpp"], indirect=True)
def test_shuffled_ids_are_noticed(fake):
    def spoil(path, count, answer):
        if "completion_probabilities" in str(answer[1]):
            answer[1]["completion_probabilities"][0]["id"] += 1
        if "input_token_logprobs" in str(answer[1]):
            answer[1]["meta_info"]["input_token_logprobs"].reverse()
        return answer

    fake.spoil = spoil
    with pytest.raises(ModelError, match="scored token"):
        fake.served.read([Probe((1, 2, 3), (4, 5))])


@pytest.mark.parametrize("bad", [(429, {}), (500, {}), (503, {"error": "restarting"}), (200, b"{truncat"), (-1, {})])
def test_what_passes_is_tried_again_and_asked_once_more_only(fake, bad):
    before = dict(fake.counts)
    fake.spoil = lambda path, count, answer: bad if count == before.get(path, 0) + 1 else answer
    assert fake.served.read([Probe((1, 2, 3), (4,))])[0].nats < 0
    assert fake.counts["/v1/completions"] == before.get("/v1/completions", 0) + 2


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ((500, {"error": {"message": "CUDA\x1b[31m out of memory\n" + "x" * 5000}}), "status 500: CUDA"),
        ((400, {"message": "prompt too long"}), "prompt too long"),
        ((401, {}), KEY_VARIABLE),
        ((302, {}), "not followed"),
    ],
)
def test_what_does_not_pass_is_one_line(fake, bad, said):
    fake.spoil = lambda path, count, answer: bad
    with pytest.raises(ModelError, match=said) as error:
        fake.served.read([Probe((1, 2, 3), (4,))])
    assert "\n" not in str(error.value) and "\x1b" not in str(error.value) and len(str(error.value)) < 500


def test_a_server_that_hangs_is_given_up(fake):
    fake.served._transport._client.timeout = 0.05
    fake.spoil = lambda path, count, answer: (-20, {})
    with pytest.raises(ModelError, match="no answer within"):
        fake.served.read([Probe((1, 2, 3), (4,))])


def test_nobody_there_and_no_address():
    for address in ("http://127.0.0.1:9/v1", "http://127.0.0.1:9"):
        with pytest.raises(ModelError, match="no usable answer|lists no models"):
            ServerModel(address, limits=QUICK)
    for address in ("localhost:8000", "ftp://x/v1", "http://user:secret@host/v1"):
        with pytest.raises(ModelError) as error:
            ServerModel(address, limits=QUICK)
        assert "secret" not in str(error.value)


def test_a_model_that_is_not_served_is_named(fake):
    with pytest.raises(ModelError, match="serves no 'tuned'; it serves tiny"):
        ServerModel(fake.address, "tuned", limits=QUICK)


def test_a_key_goes_where_it_may_and_into_no_message(fake, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "sk-very-secret")
    fake.served.read([Probe((1, 2, 3), (4,))])
    assert fake.headers_seen[-1]["authorization"] == "Bearer sk-very-secret"
    fake.spoil = lambda path, count, answer: (403, {"error": "no"})
    with pytest.raises(ModelError) as error:
        fake.served.read([Probe((1, 2, 3), (4,))])
    assert "secret" not in str(error.value)
    with pytest.raises(ModelError, match="not encrypted"):
        Transport("http://models.example.org/v1", QUICK).post("/x", {})


def test_a_context_that_is_too_short_is_said_before_anything_is_sent(fake):
    fake.served._dialect._about["max_model_len"] = 8
    asked = len(fake.bodies)
    with pytest.raises(ModelError, match="takes 8 tokens and was asked for 9"):
        fake.served.read([Probe((1, 2, 3, 4, 5, 6, 7), (8, 9))])
    assert len(fake.bodies) == asked


def test_each_answer_is_kept_as_it_comes(fake, tmp_path):
    probes = [Probe((1, 2, place), (4,)) for place in range(8)]
    with Store(tmp_path / "store.sqlite") as store:
        cached = CachedModel(fake.served, store)
        fake.spoil = lambda path, count, answer: (400, {"message": "enough"}) if len(fake.bodies) > 12 else answer
        fake.bodies.clear()
        fake.served._transport.limits = Limits(concurrency=1, timeout=60.0, retries=0)
        fake.spoil = lambda path, count, answer: (400, {"message": "enough"}) if len(fake.bodies) > 5 else answer
        with pytest.raises(ModelError, match="enough"):
            cached.read(probes)
        assert store.counts()["readings"] == 5, "what came before the failure"
        fake.bodies.clear()
        fake.spoil = lambda path, count, answer: answer
        cached.read(probes)
        assert len(fake.bodies) == 3, "and only the rest is asked for again"


def test_another_model_behind_the_same_name_is_refused(fake, tmp_path):
    with Store(tmp_path / "store.sqlite") as store:
        CachedModel(fake.served, store).check_identity()
        CachedModel(fake.served, store).check_identity()
        fake.model = load_model("organism:shortcut")
        with pytest.raises(ModelError, match="another model than the one"):
            CachedModel(fake.served, store).check_identity()


def test_a_server_that_does_not_tokenise_needs_a_tokenizer(organism):
    fake = Fake(organism, "completions")
    with serving(fake) as address, pytest.raises(ModelError, match="--tokenizer"):
        ServerModel(address, limits=QUICK)


def test_text_without_ids_is_tokenised_again_and_said(organism, tmp_path: Path):
    fake = Fake(organism, "completions")
    with serving(fake) as address:
        served = ServerModel(address, tokenizer=str(organism_folder("organism:base")), limits=QUICK)
        served.generate([organism.render("What is 3 + 4?").ids], max_tokens=5)
        assert any("tokenised again" in note for note in served.notes)
