"""Every back end keeps every clause, and a back end that breaks one is told which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from soundness.errors import ModelError
from soundness.models.cached import CachedModel
from soundness.models.contract import CLAUSES, Subject, check_model
from soundness.models.load import load_model
from soundness.models.scripted import ScriptedModel, load_scripted
from soundness.models.store import Store
from soundness.records import Generation, Probe, Reading

TOLERANCE = 1e-3

BACK_ENDS = (
    "scripted:computes",
    "scripted:dial:0.5?slip=0.3",
    "tiny llama",
    "tiny gemma3",
    "tiny mamba",
    "tiny chat",
    "organism:sound",
    "adapter",
    "cached scripted",
    "cached llama",
    "cached llama without a store",
)


@pytest.fixture(scope="module")
def subjects(tiny, tmp_path_factory) -> dict[str, Subject]:
    """One subject per back end, so that clauses share what they look at."""
    folder = tmp_path_factory.mktemp("contract")

    def make(name: str) -> Any:
        if name.startswith(("scripted:", "organism:")):
            return load_model(name, **({} if name.startswith("scripted:") else {"dtype": "float32", "device": "cpu"}))
        if name == "tiny chat":
            chatty = tiny.folder("llama", tokenizer=tiny.byte_tokenizer(chat=True), name="chatty")
            return load_model(str(chatty), dtype="float32", device="cpu")
        if name.startswith("tiny "):
            return tiny.load(name.removeprefix("tiny "))
        if name == "adapter":
            base = tiny.folder("llama", name="adapted-contract")
            return load_model(f"{base}+{adapter(base, folder / 'adapter')}", dtype="float32", device="cpu")
        if name == "cached scripted":
            return CachedModel(load_scripted("computes"), Store(folder / "scripted.sqlite"), batch_size=2)
        store = None if "without" in name else Store(folder / "llama.sqlite")
        return CachedModel(tiny.load("llama"), store, batch_size=2)

    class Lazy(dict):
        def __missing__(self, name: str) -> Subject:
            self[name] = Subject(make(name), TOLERANCE)
            return self[name]

    return Lazy()


def adapter(base: Any, path: Any) -> Any:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    config = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj", "v_proj"])
    wrapped = get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), config)
    with torch.no_grad():
        for key, weight in wrapped.named_parameters():
            if "lora_B" in key:
                weight.normal_(0.0, 0.5)
    wrapped.save_pretrained(path)
    return path


@pytest.mark.parametrize("back_end", BACK_ENDS)
class TestContract:
    @pytest.mark.parametrize("clause", CLAUSES)
    def test_clause(self, subjects, back_end, clause):
        CLAUSES[clause](subjects[back_end])


@pytest.mark.slow
@pytest.mark.smollm2
def test_smollm2_keeps_it(smollm2):
    check_model(smollm2)


@pytest.mark.slow
@pytest.mark.smollm2
def test_smollm2_in_bfloat16_keeps_it_within_its_noise(smollm2):
    check_model(load_model("smollm2", dtype="bfloat16", device="cpu"))


# --- and what breaks it is named ----------------------------------------------------------------------------------------------


class Broken:
    """A scripted model with one fault, planted by overriding one verb."""

    def __init__(self, inner: ScriptedModel) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class OneFingerprintALook(Broken):
    looks = 0

    @property
    def fingerprint(self) -> str:
        self.looks += 1
        return str(self.looks)


class LosesAPiece(Broken):
    def pieces(self, ids: Sequence[int]) -> list[str]:
        return self.inner.pieces(ids)[:-1]


class PutsASpaceInFront(Broken):
    def encode(self, text: str) -> list[int]:
        return self.inner.encode(text if not text or text.startswith(("\n", " ")) else f" {text}")


class DropsTheQuestion(Broken):
    def render(self, message: str) -> Any:
        return self.inner.render("")


class AnswersNobody(Broken):
    def read(self, probes: Sequence[Probe]) -> list[Reading]:
        return self.inner.read(probes) or [Reading((), ())]


class CountsTheFirstTokenTwice(Broken):
    def read(self, probes: Sequence[Probe]) -> list[Reading]:
        found = self.inner.read(probes)
        return [Reading((r.token_nats[0] * 2, *r.token_nats[1:]), r.token_top) if len(r.token_nats) > 1 else r for r in found]


class ReadsInReverse(Broken):
    def read(self, probes: Sequence[Probe]) -> list[Reading]:
        return [self.inner.read([p])[0] for p in sorted(probes, key=lambda p: len(p.prefix) + len(p.continuation))]


class ReadsItsNeighbours(Broken):
    def read(self, probes: Sequence[Probe]) -> list[Reading]:
        shift = 0.1 * (len(probes) > 4)
        return [Reading(tuple(n - shift for n in r.token_nats), r.token_top) for r in self.inner.read(probes)]


class CallsNothingTop(Broken):
    def read(self, probes: Sequence[Probe]) -> list[Reading]:
        return [Reading(r.token_nats, (False,) * len(r.token_top)) for r in self.inner.read(probes)]


class WritesOneMore(Broken):
    def generate(self, prefixes: Any, *, max_tokens: int, **options: Any) -> list[Generation]:
        return self.inner.generate(prefixes, max_tokens=max_tokens + 1, **options)


class SaysItStopped(Broken):
    def generate(self, prefixes: Any, **options: Any) -> list[Generation]:
        return [Generation(g.ids, "stop") for g in self.inner.generate(prefixes, **options)]


class NeverMindsUntil(Broken):
    def generate(self, prefixes: Any, *, until: Any = None, **options: Any) -> list[Generation]:
        return self.inner.generate(prefixes, **options)


class DrawsByPlace(Broken):
    def generate(self, prefixes: Any, *, keys: Any = None, **options: Any) -> list[Generation]:
        return self.inner.generate(prefixes, keys=None if keys is None else list(map(str, range(len(prefixes)))), **options)


class WantsAPrefix(Broken):
    def read(self, probes: Sequence[Probe]) -> list[Reading]:
        return self.inner.read([Probe(probe.prefix or (probe.prefix[0],), probe.continuation) for probe in probes])


@pytest.mark.parametrize(
    ("fault", "clause"),
    [
        (OneFingerprintALook, "names_itself"),
        (LosesAPiece, "pieces_join"),
        (PutsASpaceInFront, "fragments_come_back"),
        (DropsTheQuestion, "prompts_hold_the_question"),
        (AnswersNobody, "nothing_asked_is_nothing_answered"),
        (CountsTheFirstTokenTwice, "readings_are_log_probabilities"),
        (ReadsInReverse, "a_probe_is_read_as_in_company"),
        (ReadsItsNeighbours, "a_probe_is_read_as_in_company"),
        (CallsNothingTop, "greedy_writes_the_top_token"),
        (WritesOneMore, "generations_end_as_they_say"),
        (SaysItStopped, "generations_end_as_they_say"),
        (NeverMindsUntil, "until_ends_a_generation"),
        (DrawsByPlace, "a_draw_depends_on_its_key_alone"),
        (WantsAPrefix, "the_start_of_a_text_can_be_read_and_written"),
    ],
)
def test_a_fault_is_named(fault, clause):
    with pytest.raises(ModelError) as caught:
        check_model(fault(talker()))
    assert clause in str(caught.value)
    assert "\n" not in str(caught.value)


def talker() -> ScriptedModel:
    """A model whose draws differ, and whose text is longer than what a check writes."""

    def says(question: str, written: str) -> str:
        return "I count the letters: abcdefghij"[len(written) :]

    def draws(key: str) -> Any:
        return lambda question, written: f"{key[::-1]} {question}"[len(written) :]

    return ScriptedModel(says, name="talker", sample=draws)


def test_the_faultless_one_passes():
    check_model(talker())


def test_what_lacks_a_verb_is_no_model():
    class Silent:
        name = "silent"

    with pytest.raises(ModelError, match="silent is no model: it has no encode, decode.*context_length"):
        check_model(Silent())
