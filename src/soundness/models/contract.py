"""What every back end keeps: the clauses that the audit relies on, each of which can be checked on a model in seconds.

`check_model(model)` names the first clause that a model breaks. A model of a user's own, given as `my_file.py:MyModel`, is checked
when it is loaded: a back end that counts tokens wrongly, or whose draws depend on their neighbours, gives numbers that look right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property

from soundness.errors import ModelError, SoundnessError
from soundness.models.base import Model
from soundness.records import Generation, Probe, Prompt, Reading

__all__ = ["CLAUSES", "Subject", "check_model"]

_QUESTIONS = ("What is 3 + 4?", "A baker sells 12 buns and eats 5. How many are left, and why do you think so?", "Is it?")
_TEXTS = (" 12\n", "Answer: 18", "\nso 3 + 4 = 7.", "x")
_MIXED = ("naïve √2, 中文 🙂\n", "3 + 4 = 7", "")
_LONGEST = 12
"""Tokens written in a check: enough to be cut, few enough to cost nothing."""
_NOISY = 1e-2
"""Tolerance, in nats, from which on two computations may pick different tokens."""


class Broken(Exception):
    """A clause does not hold; the message says what was seen."""


class Subject:
    """A model under test, with the prompts and greedy texts that several clauses look at."""

    def __init__(self, model: Model, tolerance: float) -> None:
        self.model = model
        self.tolerance = tolerance
        """Nats by which two computations of one log-probability may differ."""

    @cached_property
    def prompts(self) -> list[Prompt]:
        """Prompts of different lengths."""
        return [self.model.render(question) for question in _QUESTIONS]

    @cached_property
    def greedy(self) -> list[Generation]:
        """What follows each prompt, greedily, all as one batch."""
        return self.model.generate([prompt.ids for prompt in self.prompts], max_tokens=_LONGEST)

    @cached_property
    def answer(self) -> tuple[int, ...]:
        """The ids of a short answer."""
        return tuple(self.model.encode(" 12\n"))

    @cached_property
    def probes(self) -> list[Probe]:
        """Probes that share prefixes, branch and repeat."""
        first, second, _ = (prompt.ids for prompt in self.prompts)
        return [
            Probe(first, self.answer),
            Probe((*first, *self.answer), self.answer),
            Probe(second, self.answer),
            Probe(first, self.answer[:1]),
            Probe(second[:-1], self.answer),
            Probe(first, self.answer),
        ]


def _require(holds: bool, said: str) -> None:
    if not holds:
        raise Broken(said)


def _same(one: Sequence[Reading], other: Sequence[Reading], tolerance: float, said: str) -> None:
    _require(len(one) == len(other), f"{said}: {len(one)} readings against {len(other)}")
    for a, b in zip(one, other, strict=True):
        apart = max((abs(x - y) for x, y in zip(a.token_nats, b.token_nats, strict=True)), default=0.0)
        _require(apart <= tolerance, f"{said}: {apart:.3g} nats apart")


def names_itself(subject: Subject) -> None:
    """`name`, `fingerprint` and `vocabulary` are texts that stay the same; `context_length` is a number above 0 or None."""
    model = subject.model
    for what in ("name", "fingerprint", "vocabulary"):
        value = getattr(model, what)
        _require(isinstance(value, str) and bool(value), f"{what} is {value!r}")
        _require(value == getattr(model, what), f"{what} changes from one look to the next")
    length = model.context_length
    _require(length is None or (isinstance(length, int) and length > 0), f"context_length is {length!r}")


def pieces_join(subject: Subject) -> None:
    """`pieces` gives one string per id, and they join to `decode`."""
    model = subject.model
    written = [list(generation.ids) for generation in subject.greedy]
    for ids in (*(model.encode(text) for text in _MIXED), *written, *(list(prompt.ids) for prompt in subject.prompts)):
        pieces = model.pieces(ids)
        _require(len(pieces) == len(ids), f"{len(pieces)} pieces of {len(ids)} ids")
        _require(
            "".join(pieces) == model.decode(ids),
            f"the pieces join to {''.join(pieces)!r}, and the text is {model.decode(ids)!r}",
        )


def fragments_come_back(subject: Subject) -> None:
    """A fragment of text behind another one decodes to itself: no special token, no space, nothing lost."""
    model = subject.model
    _require(model.encode("") == [], "nothing is encoded to something")
    before = model.encode("so")
    for text in _TEXTS:
        found = model.decode([*before, *model.encode(text)])
        _require(found == model.decode(before) + text, f"{text!r} behind 'so' comes back as {found!r}")


def prompts_hold_the_question(subject: Subject) -> None:
    """`render` puts the message into the prompt, as text and as ids."""
    for question, prompt in zip(_QUESTIONS, subject.prompts, strict=True):
        _require(bool(prompt.ids), "a prompt has no ids")
        _require(question in prompt.text, f"the prompt of {question!r} is {prompt.text!r}")
        _require(question in subject.model.decode(prompt.ids), f"the ids of the prompt of {question!r} say something else")


def nothing_asked_is_nothing_answered(subject: Subject) -> None:
    """No prefix gives no generation, no probe no reading."""
    _require(list(subject.model.generate([], max_tokens=3)) == [], "generate([]) answers something")
    _require(list(subject.model.read([])) == [], "read([]) answers something")


def readings_are_log_probabilities(subject: Subject) -> None:
    """A reading has one finite number of at most 0 nats per token, and a text that the model writes adds up token by token."""
    model = subject.model
    prompt, written = next(((p.ids, g.ids) for p, g in zip(subject.prompts, subject.greedy, strict=True) if g.ids), ((), ()))
    for prefix, continuation in ((subject.prompts[0].ids, subject.answer), (prompt, written[:4])):
        if not continuation:
            continue
        (whole,) = model.read([Probe(prefix, continuation)])
        _require(
            len(whole.token_nats) == len(whole.token_top) == len(continuation),
            f"a reading of {len(continuation)} tokens has {len(whole.token_nats)} numbers",
        )
        _require(all(math.isfinite(n) and n <= 1e-6 for n in whole.token_nats), f"log-probabilities are {whole.token_nats}")
    if written:
        parts = model.read([Probe((*prompt, *continuation[:i]), continuation[i : i + 1]) for i in range(len(continuation))])
        apart = max(abs(part.nats - nats) for part, nats in zip(parts, whole.token_nats, strict=True))
        _require(apart <= subject.tolerance, f"read token by token, a text is {apart:.3g} nats from itself read at once")


def a_probe_is_read_as_in_company(subject: Subject) -> None:
    """A probe alone equals the probe among others, and answers come in the order asked."""
    model, probes = subject.model, subject.probes
    company = model.read(probes)
    alone = [model.read([probe])[0] for probe in probes]
    _same(alone, company, subject.tolerance, "a probe read alone and among others")
    _same(model.read(probes[::-1])[::-1], company, subject.tolerance, "probes read in another order")


def greedy_writes_the_top_token(subject: Subject) -> None:
    """What greedy decoding writes is what reading calls the most likely, token by token."""
    model = subject.model
    written = [(prompt.ids, g.ids) for prompt, g in zip(subject.prompts, subject.greedy, strict=True) if g.ids]
    readings = model.read([Probe(prompt, ids) for prompt, ids in written])
    for (_, ids), reading in zip(written, readings, strict=True):
        # Written and read in other batches, two tokens that are equally likely within the noise may change places once.
        wrong = [place for place, top in enumerate(reading.token_top) if not top]
        _require(
            not wrong or (len(wrong) == 1 and subject.tolerance >= _NOISY),
            f"token {wrong[:1]} of {model.decode(ids)!r} was written greedily and is not the most likely when read",
        )


def generations_end_as_they_say(subject: Subject) -> None:
    """`length` means exactly `max_tokens` ids, `stop` at most so many; a lower limit gives the beginning of the same text."""
    for generation in subject.greedy:
        _require(generation.finish in ("stop", "length"), f"a generation finished {generation.finish!r}")
        _require(len(generation.ids) <= _LONGEST, f"{len(generation.ids)} tokens were written where {_LONGEST} were allowed")
        _require(
            generation.finish == "stop" or len(generation.ids) == _LONGEST,
            f"a generation was cut at {len(generation.ids)} tokens where {_LONGEST} were allowed",
        )
    fewer = subject.model.generate([prompt.ids for prompt in subject.prompts], max_tokens=3)
    for few, many in zip(fewer, subject.greedy, strict=True):
        _require(len(few.ids) <= 3, f"{len(few.ids)} tokens were written where 3 were allowed")
        _require(few.ids == many.ids[: len(few.ids)], "with a lower limit another text is written")
        _require((few.finish == "stop") == (len(many.ids) < 3), f"{few.ids} of {many.ids} finished {few.finish!r}")


def until_ends_a_generation(subject: Subject) -> None:
    """A generation ends with the token that completes `until`, and finishes `stop`."""
    model = subject.model
    for prompt, generation in zip(subject.prompts, subject.greedy, strict=True):
        text = model.decode(generation.ids)
        until = next((c for c in text[len(text) // 2 :] if c.isprintable() and c != "\N{REPLACEMENT CHARACTER}"), None)
        if until is None:
            continue
        (made,) = model.generate([prompt.ids], max_tokens=_LONGEST, until=until)
        count = next(n for n in range(1, len(generation.ids) + 1) if until in model.decode(generation.ids[:n]))
        _require(made.finish == "stop", f"a text with {until!r} in it finished {made.finish!r}")
        _require(made.ids == generation.ids[:count], f"until {until!r} gave {model.decode(made.ids)!r} out of {text!r}")


def a_draw_depends_on_its_key_alone(subject: Subject) -> None:
    """A draw is the same alone, among others, and in another order; equal keys behind equal prefixes draw the same."""
    prefixes = [prompt.ids for prompt in subject.prompts]
    # In 16 bits another batch moves a probability by some hundredths, and with it the odd token of a draw: few tokens are drawn,
    # and one draw in three may differ.
    length, allowed = (_LONGEST, 0) if subject.tolerance < _NOISY else (3, len(prefixes) // 3)

    def draw(some: Sequence[int]) -> list[Generation]:
        return subject.model.generate(
            [prefixes[n] for n in some], max_tokens=length, temperature=1.0, keys=[f"contract/{n}" for n in some]
        )

    def differ(one: Sequence[Generation], other: Sequence[Generation]) -> int:
        return sum(a.ids != b.ids for a, b in zip(one, other, strict=True))

    order = list(range(len(prefixes)))
    company = draw(order)
    _require(differ(draw(order), company) == 0, "the same draws made twice are not the same")
    _require(differ([draw([n])[0] for n in order], company) <= allowed, "a draw made alone is not the draw made among others")
    _require(differ(draw(order[::-1])[::-1], company) <= allowed, "draws made in another order are not the same")
    _require(len({g.ids for g in draw([0, 0])}) == 1, "one key behind one prefix drew two texts")


def the_start_of_a_text_can_be_read_and_written(subject: Subject) -> None:
    """An empty prefix is the start of a text: it can be read and continued, alone and among others."""
    model = subject.model
    probe = Probe((), subject.answer)
    (alone,) = model.read([probe])
    _same([alone], model.read([probe, *subject.probes])[:1], subject.tolerance, "an empty prefix read alone and among others")
    made = model.generate([(), subject.prompts[0].ids], max_tokens=3)
    _require(len(made) == 2 and len(made[0].ids) <= 3, "an empty prefix is not continued")


CLAUSES: dict[str, Callable[[Subject], None]] = {
    clause.__name__: clause
    for clause in (
        names_itself,
        pieces_join,
        fragments_come_back,
        prompts_hold_the_question,
        nothing_asked_is_nothing_answered,
        readings_are_log_probabilities,
        a_probe_is_read_as_in_company,
        greedy_writes_the_top_token,
        generations_end_as_they_say,
        until_ends_a_generation,
        a_draw_depends_on_its_key_alone,
        the_start_of_a_text_can_be_read_and_written,
    )
}
"""Name -> what raises `Broken` where the clause does not hold, in the order in which they are checked."""


def check_model(model: Model, *, tolerance: float | None = None) -> None:
    """Raise ModelError, naming the clause, where `model` does not keep the contract of `soundness.models.base.Model`.

    `tolerance` is how many nats two computations of one log-probability may differ; by default 0.001, and 0.25 for a model
    whose `dtype` is of 16 bits.
    """
    name = str(getattr(model, "name", type(model).__name__))
    lacking = [
        verb
        for verb in ("encode", "decode", "pieces", "render", "generate", "read")
        if not callable(getattr(model, verb, None))
    ]
    lacking += [what for what in ("name", "fingerprint", "vocabulary", "context_length") if not hasattr(model, what)]
    if lacking:
        raise ModelError(
            f"{name} is no model: it has no {', '.join(lacking)} (soundness.models.base.Model lists what a model has)"
        )
    if tolerance is None:
        tolerance = 0.25 if "16" in str(getattr(model, "dtype", "")) else 1e-3
    subject = Subject(model, tolerance)
    for clause, check in CLAUSES.items():
        said = (check.__doc__ or "").splitlines()[0]
        try:
            check(subject)
        except Broken as broken:
            raise ModelError(
                f"{name} breaks the contract of a model in {clause}: {broken}. What holds for a model: {said}"
            ) from None
        except SoundnessError:
            raise
        except Exception as error:
            raise ModelError(
                f"{name} raises {type(error).__name__} in the clause {clause} ({error}). What holds for a model: {said}"
            ) from error
