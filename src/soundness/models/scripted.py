r"""Models without weights whose behaviour is known exactly.

A behaviour is a function from (what it was asked, what it has written) to all that it means to write next. `ScriptedModel`
makes a model of it: bytes are its tokens, each intended byte has probability 1 - eps and the rest share eps, so `read` is
exact and instant. A model that answers everything with the length of the question takes three lines (a prompt ends in
"\nReasoning:\n"; what follows is what it has written):

>>> def measures(question: str, written: str) -> str:
...     answer = f" {len(question)}\n"
...     return answer if written.endswith("Answer:") else f"Answer:{answer}"
>>> model = ScriptedModel(measures, name="measures")
>>> prompt = model.render("How long is this?")
>>> model.decode(model.generate([prompt.ids], max_tokens=20)[0].ids)
'Answer: 17\n'

`load_scripted("computes")` and its siblings answer the questions of the worlds `chain-sum` and `lookup`, each using its chain
in a way that is planted; on any other question they write nothing. A line "Answer:" at the end asks them for the answer.

    computes            the answer is what follows from the steps it reads
    copies-last-number  the answer is the last number it reads in the chain (in `lookup`, the last value stated)
    ignores-chain       the answer comes from the question alone
    dial:h              per question, ignores its chain with probability h, else computes
    random              the answer is a hash of all it reads

Options follow a question mark: `computes?slip=0.1&eps=0.01&seed=3`. With probability `slip` one step is written wrong and
everything after follows it.
"""

from __future__ import annotations

import codecs
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from soundness.errors import ModelError, near
from soundness.models.options import LoadOptions
from soundness.records import Finish, Generation, Probe, Prompt, Reading, Stop, Turn
from soundness.tasks.prompts import Prompting
from soundness.tasks.worlds import Puzzle, parse_puzzle

__all__ = ["BEHAVIOURS", "END", "Behaviour", "ScriptedModel", "load", "load_scripted"]

Behaviour = Callable[[str, str], str]
"""(question as rendered, text written so far) -> everything to be written next; "" to end."""

VERSION = "2"
"""Part of every fingerprint: goes up whenever a planted behaviour or the distribution changes."""

END = 256
"""Id of the end-of-text token; the ids below it are bytes."""

NUM_TOKENS = 257
END_TEXT = "<|end|>"
HEAD = "Question: "
TAIL = "\nReasoning:\n"
ASKED = "Answer:"
CACHED_PREFIXES = 4096


class ScriptedModel:
    """A model that writes what `behaviour` says, with exact log-probabilities.

    At each place the intended next token has probability 1 - `eps` and the other 256 share `eps` equally. Once a continuation
    has left the intended text, or gone past its end, all tokens are equally likely. `sample` gives the behaviour of one draw
    at a temperature above 0, from its key; without it sampling equals greedy decoding. `name` is part of the fingerprint:
    change it when the behaviour changes.
    """

    def __init__(
        self,
        behaviour: Behaviour,
        *,
        name: str,
        eps: float = 0.01,
        sample: Callable[[str], Behaviour] | None = None,
    ) -> None:
        if not 0 < eps < 0.5:
            raise ModelError(f"{name}: eps must lie between 0 and 0.5, and it is {eps}")
        self._behaviour = behaviour
        self._name = name
        self._eps = eps
        self._sample = sample
        self._hit = math.log1p(-eps)
        self._miss = math.log(eps / (NUM_TOKENS - 1))
        self._flat = -math.log(NUM_TOKENS)
        self._intended = lru_cache(CACHED_PREFIXES)(self._think)
        self._readings: dict[tuple[int, int, int], Reading] = {}

    @property
    def name(self) -> str:
        """The specification it was made from."""
        return self._name

    @property
    def fingerprint(self) -> str:
        """Hex digest of name, eps and code version."""
        return _digest("model", self._name, repr(self._eps), VERSION)

    @property
    def vocabulary(self) -> str:
        """Hex digest of the byte vocabulary, the same for all scripted models."""
        return _digest("vocabulary", str(NUM_TOKENS), VERSION)

    @property
    def context_length(self) -> None:
        """None: a behaviour reads texts of any length."""
        return None

    def encode(self, text: str) -> list[int]:
        """Return the UTF-8 bytes of `text`."""
        return list(text.encode("utf-8", "replace"))

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`, end-of-text shown, bytes that are no UTF-8 as U+FFFD."""
        return bytes(ids).decode("utf-8", "replace") if END not in ids else "".join(self.pieces(ids))

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Return one string per id; a character of several bytes belongs to the last of them."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        pieces: list[str] = []
        for token in ids:
            if token == END:
                _flush(decoder, pieces)
                pieces.append(END_TEXT)
            else:
                pieces.append(decoder.decode(bytes((token,))))
        _flush(decoder, pieces)
        return pieces

    def render(self, message: str | Sequence[Turn], prompting: Prompting | None = None) -> Prompt:
        """Return the prompt that asks `message`; of a conversation, its last message."""
        asked = message if isinstance(message, str) else message[-1].content
        text = f"{HEAD}{asked}{TAIL}"
        return Prompt(text, tuple(self.encode(text)))

    def generate(
        self,
        prefixes: Sequence[Sequence[int]],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        top_p: float = 1.0,
        keys: Sequence[str] | None = None,
        until: str | Stop | None = None,
    ) -> list[Generation]:
        """Return what the behaviour writes after each prefix.

        Above temperature 0 only planted slips vary, with `keys[i]` (or i, without keys); `top_p` changes nothing.
        """
        generations = []
        for i, prefix in enumerate(prefixes):
            behaviour = self._behaviour
            if temperature > 0 and self._sample is not None:
                behaviour = self._sample(str(i) if keys is None else keys[i])
            text = behaviour(*self._split(tuple(prefix)))
            finish: Finish = "stop"
            if isinstance(until, Stop):
                end = until.end(text)
                at = -1 if end is None else end
                text = text[:at] if at >= 0 else text
            else:
                at = text.find(until) if until else -1
                text = text if at < 0 else text[: at + len(until or "")]
            ids = self.encode(text)
            # Ending takes a token too, so a text as long as the limit was cut; one that holds `until` was not.
            if len(ids) > max_tokens or (len(ids) == max_tokens and at < 0):
                ids, finish = ids[:max_tokens], "length"
            generations.append(Generation(tuple(ids), finish))
        return generations

    def read(self, probes: Sequence[Probe]) -> list[Reading]:
        """Return what the model believes of each probe's continuation, in the order asked."""
        return [self._read(probe.prefix, probe.continuation) for probe in probes]

    def distribution(self, prefix: Sequence[int]) -> list[float]:
        """Return log p of each of the 257 tokens right after `prefix`, nats."""
        following = self._intended(tuple(prefix))[0]
        return [self._hit if token == following else self._miss for token in range(NUM_TOKENS)]

    def _read(self, prefix: tuple[int, ...], continuation: tuple[int, ...]) -> Reading:
        intended = self._intended(prefix)
        length = len(continuation)
        if intended[:length] == continuation:
            agreed = length
        else:
            agreed = next((i for i, (a, b) in enumerate(zip(intended, continuation, strict=False)) if a != b), len(intended))
        reading = self._readings.get((agreed, length, len(intended)))
        if reading is None:
            # Past the end there is no intended token to miss; where all are equally likely, each is among the most likely.
            missed = agreed < length and agreed < len(intended)
            flat = length - agreed - missed
            reading = Reading(
                (self._hit,) * agreed + (self._miss,) * missed + (self._flat,) * flat,
                (True,) * agreed + (False,) * missed + (True,) * flat,
            )
            self._readings[agreed, length, len(intended)] = reading
        return reading

    def _think(self, prefix: tuple[int, ...]) -> tuple[int, ...]:
        """Return the ids that are meant to follow `prefix`, the end-of-text token last."""
        return (*self._behaviour(*self._split(prefix)).encode("utf-8", "replace"), END)

    def _split(self, prefix: tuple[int, ...]) -> tuple[str, str]:
        """Return (question, text written so far): what stands before and after the prompt's ending."""
        data = bytes(prefix) if END not in prefix else self.decode(prefix).encode()
        head, _, written = data.partition(TAIL.encode())
        return _question_text(head), written.decode("utf-8", "replace")


@lru_cache(maxsize=CACHED_PREFIXES)
def _question_text(head: bytes) -> str:
    return head.decode("utf-8", "replace").removeprefix(HEAD)


def _flush(decoder: codecs.IncrementalDecoder, pieces: list[str]) -> None:
    rest = decoder.decode(b"", final=True)
    if rest:
        pieces[-1] += rest
    decoder.reset()


def _digest(*parts: str) -> str:
    return blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


def _uniform(*parts: str) -> float:
    """Return a number in [0, 1) that is a hash of `parts`."""
    return int.from_bytes(blake2b("\0".join(parts).encode(), digest_size=7).digest(), "big") / 2**56


_understand = lru_cache(maxsize=CACHED_PREFIXES)(parse_puzzle)
"""The world question that a prompt asks, or None where it asks none."""


# --- planted behaviours -----------------------------------------------------------------------------------------------

_Answer = Callable[["_Planted", Puzzle, str], str]


@dataclass(frozen=True, slots=True)
class _Planted:
    """A behaviour that writes a world's steps and answers in a planted way; calling it gives what comes next."""

    answer: _Answer
    slip: float
    """Probability that one written result is wrong."""
    seed: str
    key: str | None = None
    """What a sample's slip is drawn from; None for the greedy draw, which depends on question and seed."""

    def __call__(self, question: str, written: str) -> str:
        puzzle = _understand(question)
        if puzzle is None:
            return ""
        before, _, line = written.rpartition("\n")
        if line.startswith(ASKED):
            # Asked for the answer, or in the middle of giving it.
            given = line.removeprefix(ASKED)
            asked_at = written[: len(written) - len(given)]
            wanted = f" {self.answer(self, puzzle, asked_at)}\n"
            return wanted[len(given) :] if wanted.startswith(given) else "\n"
        if not line and before.rstrip("\n").rpartition("\n")[2].startswith(ASKED):
            return ""
        return self._carry_on(puzzle, written, line)

    def final(self, puzzle: Puzzle) -> str:
        """Return the last value of the chain that this draw writes when nobody interferes."""
        value = puzzle.start
        slip = self._slip(puzzle)
        for index in range(len(puzzle.running) - 1):
            step = puzzle.step(index, value)
            assert step is not None
            value = slip[1] if slip is not None and slip[0] == index else step[1]
        return value

    def _carry_on(self, puzzle: Puzzle, written: str, line: str) -> str:
        body = written[: len(written) - len(line)]
        if line and not puzzle.num_written(line):
            # An unfinished line is finished if it is the beginning of the next one, and left behind otherwise.
            rest = self._rest(puzzle, body)
            return rest[len(line) :] if rest.startswith(line) else "\n" + self._rest(puzzle, written + "\n")
        ending = puzzle.close(line) if line else ""
        return ending + self._rest(puzzle, written + ending)

    def _rest(self, puzzle: Puzzle, written: str) -> str:
        """Return the steps that are still to be taken, each on its line, and the answer line."""
        done = puzzle.num_written(written)
        value = puzzle.follow(written) if done else puzzle.start
        slip = self._slip(puzzle)
        lines = ""
        for index in range(done, len(puzzle.running) - 1):
            step = puzzle.step(index, value or puzzle.start)
            if step is None:
                break
            told, value = step
            if slip is not None and slip[0] == index:
                value = slip[1]
            line = told + value
            lines += line + puzzle.close(line)
        asked = lines + ASKED
        return f"{asked} {self.answer(self, puzzle, written + asked)}\n"

    def _slip(self, puzzle: Puzzle) -> tuple[int, str] | None:
        """Return (step, wrong result) of this draw's slip, or None where it makes none."""
        return _drawn_slip(self.slip, self.seed, self.key, puzzle.canonical, puzzle) if self.slip else None


_SLIPS: dict[tuple[float, str, str | None, str], tuple[int, str] | None] = {}


def _drawn_slip(slip: float, seed: str, key: str | None, canonical: str, puzzle: Puzzle) -> tuple[int, str] | None:
    place = (slip, seed, key, canonical)
    if place not in _SLIPS:
        if len(_SLIPS) >= CACHED_PREFIXES:
            _SLIPS.clear()
        # The key alone decides a sample; the greedy draw hangs on the question.
        rng = random.Random(f"slip/{key}" if key is not None else f"slip/{seed}/{canonical}")
        found = None
        if rng.random() < slip:
            steps = list(range(len(puzzle.running) - 1))
            rng.shuffle(steps)
            results = ((index, puzzle.wrong(index, rng)) for index in steps)
            found = next(((index, result) for index, result in results if result is not None), None)
        _SLIPS[place] = found
    return _SLIPS[place]


def _computes(planted: _Planted, puzzle: Puzzle, written: str) -> str:
    return puzzle.say(puzzle.follow(written) or puzzle.start)


def _copies(planted: _Planted, puzzle: Puzzle, written: str) -> str:
    return puzzle.say(puzzle.last_value(written) or puzzle.start)


def _ignores(planted: _Planted, puzzle: Puzzle, written: str) -> str:
    return puzzle.say(planted.final(puzzle))


def _random(planted: _Planted, puzzle: Puzzle, written: str) -> str:
    return puzzle.say(puzzle.wildcard(_uniform("random", planted.seed, puzzle.canonical, written)))


def _dial(strength: float) -> _Answer:
    def answer(planted: _Planted, puzzle: Puzzle, written: str) -> str:
        # One threshold per question: what a smaller dial ignores, a larger one ignores too.
        ignored = _uniform("dial", planted.seed, puzzle.canonical) < strength
        return (_ignores if ignored else _computes)(planted, puzzle, written)

    return answer


BEHAVIOURS: dict[str, _Answer] = {
    "computes": _computes,
    "copies-last-number": _copies,
    "ignores-chain": _ignores,
    "random": _random,
}
"""Name -> how the answer comes about, for the planted models that take no number; `dial:h` makes its own."""

OPTIONS = ("slip", "eps", "seed")


def load_scripted(spec: str) -> ScriptedModel:
    """Return the planted model that `spec` names, such as `scripted:dial:0.25?slip=0.1&seed=3` (the prefix may be left out).

    Raises ModelError for unknown names, options and values.
    """
    label = "scripted:" + spec.removeprefix("scripted:")
    name, _, query = label.removeprefix("scripted:").partition("?")
    options = _read_options(label, query)
    kind, colon, number = name.partition(":")
    if kind == "dial" and colon:
        answer = _dial(_fraction(label, "the dial", number))
    elif name in BEHAVIOURS:
        answer = BEHAVIOURS[name]
    else:
        known = [*BEHAVIOURS, "dial:0.5"]
        raise ModelError(f"there is no scripted model {name!r}{near(name, known)}; there are {', '.join(known)}")
    slip = _fraction(label, "slip", options.get("slip", "0"))
    eps = _fraction(label, "eps", options.get("eps", "0.01"))
    planted = _Planted(answer, slip, options.get("seed", "0"))

    def sample(key: str) -> Behaviour:
        return _Planted(answer, slip, planted.seed, key)

    return ScriptedModel(planted, name=label, eps=eps, sample=sample)


def load(spec: str, options: LoadOptions) -> ScriptedModel:
    """Return the planted model that `spec` names; no option of loading concerns it."""
    return load_scripted(spec)


def _read_options(label: str, query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        if name not in OPTIONS:
            raise ModelError(f"{label} has no option {name!r}{near(name, OPTIONS)}; it has {', '.join(OPTIONS)}")
        if name in options:
            raise ModelError(f"{label} gives the option {name!r} twice")
        options[name] = value
    return options


def _fraction(label: str, what: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise ModelError(f"{label}: {what} must be a number from 0 to 1, and it is {text!r}")
    return value
