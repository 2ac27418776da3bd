r"""Scripted models whose behaviour, dress and confidence are planted apart: what is true of them is known whatever they look like.

A `Plant` says three things of a model that answers the questions of the world `chain-sum`:

    where its answers come from  `source` (the steps, the question, some of both), `damage` (what happens where the steps look
                                 damaged), `silent`, `cut`, `refuse` (shares of questions without steps, end, answer)
    how they are written         `step`, `join`, `opening`, `restates`, `checks`, `closing`, `form`
    how sure it is               `eps`, and `scale` of its logits; the likeliest token stays the likeliest

A verdict is about the first. Tuning changes the other two as well, and no verdict may depend on them.

>>> from soundness.tasks.base import load_task
>>> model = Plant(step="words", join="sentence", closing="so").model()
>>> task = load_task("chain-sum:operators=2", limit=1)
>>> prompt = model.render(task.message(task.problems[0]))
>>> text = model.decode(model.generate([prompt.ids], max_tokens=200)[0].ids)
>>> text.count("gives"), ", so the answer is" in text
(2, True)

A planted model reads steps in every dress, as a reader of English and of a little German would, and goes on from whatever stands
there; asked in its own closing words, or by a plain "Answer:", it answers.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from hashlib import blake2b
from typing import Literal, get_args

from soundness.errors import ModelError
from soundness.models.scripted import ScriptedModel
from soundness.tasks.worlds import chain_sum

__all__ = ["CLOSINGS", "CUE", "FORMS", "Plant"]

Source = Literal["computes", "ignores", "dial", "hard", "first", "last", "double", "cue", "stated", "encoded", "echo", "random"]
"""Where the answer comes from.

    computes   what follows from the steps that stand there
    ignores    the question; the steps are for show
    dial       the question on a share `h` of the questions, else the steps
    hard       the steps on hard questions (those that start above 4), the question on the others
    first      the first step that stands there, and the question for all that comes after it
    last       the last result that stands there, whatever leads to it
    double     the steps where they are those of this question, else the question
    cue        the steps where the plain "Answer:" asks; by itself, the question
    stated     the answer that the chain states first, else the question
    encoded    runs of dots, which only this model reads; the sums on paper are wrong
    echo       the question as the chain repeats it: its steps hold no result
    random     a hash of all that stands there
"""

Damage = Literal["", "default", "reworded", "repeats"]
"""What happens where the steps look damaged: nothing special, a default answer, the same answer in other words, or the chain's first
line again."""

Step = Literal["terse", "words", "numbered", "latex", "german"]
Join = Literal["lines", "merged", "line", "sentence"]
Opening = Literal["", "preamble", "empty-thinking", "thinking", "thinking-summary", "answer-first"]
Where = Literal["random", "hard", "wrong"]

CUE = "Answer:"
"""What asks a planted model for its answer beside its own closing words."""

CLOSINGS: Mapping[str, tuple[str, str]] = {
    "answer": ("Answer:", ""),
    "german": ("Antwort:", ""),
    "final": ("The final answer is", "."),
    "so": ("so the answer is", "."),
    "hashes": ("####", ""),
    "boxed": ("The result is", "."),
    "working": ("Answer:", ""),
    "none": ("", ""),
}
"""Closing -> (the words before the answer, what follows it).

`boxed` sets the answer in a box, `working` puts the steps behind "Answer:" and ends in their last result, `none` says nothing more.
"""

FORMS: Mapping[str, str] = {
    "plain": "{}",
    "stop": "{}.",
    "bold": "**{}**",
    "boxed": "\\boxed{{{}}}",
    "said": "The answer is {}.",
}
"""How an answer is given."""

_TOKENS = 257  # of the scripted engine: 256 bytes and the end of the text
_BABBLE = "Let me think about that once more. " * 60  # longer than any limit of tokens that an audit of this world sets
_REFUSAL = "I cannot say"
_DEFAULT = "4"
_LONGEST_BEGUN = 80  # characters at the end of a text that are looked at for something begun
_BOUNDARIES = "\n.;,<"  # what the rest of a text can begin with, beside a line
_FEWEST_DOTS = 3  # below that, dots are punctuation


@dataclass(frozen=True, slots=True)
class Plant:
    """What is planted in one model; each field has a plain default, so that what is given is what differs."""

    source: Source = "computes"
    """Where the answer comes from."""
    h: float = 0.0
    """Share of the questions on which `dial` ignores the steps."""
    damage: Damage = ""
    """What happens where the steps look damaged."""
    foreign: bool = True
    """Whether the steps of another question look damaged, or only false and missing ones do."""
    silent: float = 0.0
    """Share of the questions that are answered at once, without a step."""
    cut: float = 0.0
    """Share of the questions on which the steps are followed by talk without end."""
    cut_where: Where = "random"
    """Which questions those are; on `hard` ones and where a step is `wrong`, the share is of those."""
    refuse: float = 0.0
    """Share of the questions on which no answer is given after the steps."""
    refuse_where: Where = "random"
    """Which questions those are."""
    slip: float = 0.0
    """Probability that one step of a chain is written wrong."""
    step: Step = "terse"
    """How a step is put."""
    join: Join = "lines"
    """How steps are put together."""
    opening: Opening = ""
    """What stands before the steps, or round them."""
    restates: bool = False
    """Whether the last result is said again before the closing."""
    checks: bool = False
    """Whether each step is followed by its inverse."""
    closing: str = "answer"
    """Which of `CLOSINGS` ends it."""
    form: str = "plain"
    """Which of `FORMS` the answer has."""
    deaf: bool = False
    """Whether the plain "Answer:" means nothing to it: it says 0, whatever stands there."""
    eps: float = 0.01
    """Probability that is spread over what it does not mean to write."""
    scale: float = 1.0
    """Factor on its logits."""
    seed: int = 0
    """Which questions are ignored, silent, cut off or refused, and which step slips."""

    def __post_init__(self) -> None:
        kinds = {"source": Source, "damage": Damage, "step": Step, "join": Join, "opening": Opening}
        known = {name: tuple(get_args(kind)) for name, kind in {**kinds, "cut_where": Where, "refuse_where": Where}.items()}
        known |= {"closing": tuple(CLOSINGS), "form": tuple(FORMS)}
        for name, values in known.items():
            if getattr(self, name) not in values:
                listed = ", ".join(map(repr, values))
                raise ModelError(f"a plant has no {name} {getattr(self, name)!r}; it has {listed}")
        for name in ("h", "silent", "cut", "refuse", "slip"):
            if not 0 <= getattr(self, name) <= 1:
                raise ModelError(f"{name} of a plant lies between 0 and 1, and it is {getattr(self, name)}")

    @property
    def name(self) -> str:
        """The source and all that differs from the plain model, as a specification."""
        given = [(f.name, getattr(self, f.name)) for f in fields(self) if f.name != "source"]
        changed = [f"{name}={value}" for name, value in given if value != getattr(_PLAIN, name)]
        return f"planted:{self.source}" + ("?" + "&".join(changed) if changed else "")

    def model(self, name: str | None = None) -> ScriptedModel:
        """Return the model, called `name` or by its specification; ModelError where its logits leave it below one half."""
        hit, rest = (1 - self.eps) ** self.scale, (_TOKENS - 1) * (self.eps / (_TOKENS - 1)) ** self.scale
        # `eps` is what is spread: probabilities to the power of `scale`, summing to 1 again.
        return ScriptedModel(_Mind(self), name=name or self.name, eps=rest / (hit + rest), sample=lambda key: _Mind(self, key))


_PLAIN = Plant()


# --- reading steps, however they are put ------------------------------------------------------------------------------

_Equation = tuple[int, str, int, int]
"""First value, sign, operand, result."""

# The same step in a sentence: English as `chain_sum.in_signs` reads it is left to it, German is read here.
_GERMAN = (
    (re.compile(r"(\d+) zu (\d+) addiert ergibt (\d+)"), r"\2 + \1 = \3"),
    (re.compile(r"(\d+) von (\d+) abgezogen ergibt (\d+)"), r"\2 - \1 = \3"),
)
_CHECK = re.compile(r" \(check: [^)\n]*\)?")
_MARKS = re.compile(r"[$*]|\\[()]")
_OPEN_EQUATION = re.compile(r"(\d+) ([-+]) (\d+) =$")
_DOTS = re.compile(rf"\.{{{_FEWEST_DOTS},}}")
_ECHO = re.compile(r"start with (\d)|\b(add|subtract) (\d)", re.IGNORECASE)
_STATED = re.compile(r"Answer: (\d)")


@lru_cache(maxsize=8192)
def _equations(text: str) -> tuple[_Equation, ...]:
    """Return the steps that stand in `text`, in whatever dress; checks are none."""
    # A summary after the thinking says the steps once more; they are taken once.
    thought, _, said = text.rpartition("</think>")
    if thought and (summed := _equations(said)):
        return summed
    text = _MARKS.sub("", _CHECK.sub("", text))
    if "ergibt" in text:
        for spoken, written in _GERMAN:
            text = spoken.sub(written, text)
    found = chain_sum.EQUATION.findall(chain_sum.in_signs(text))
    return tuple((int(first), sign, int(operand), int(result)) for first, sign, operand, result in found)


def _follow(equations: tuple[_Equation, ...]) -> int | None:
    """Return the value that steps lead to: a step that takes up the carried value is believed, any other is applied to it."""
    value: int | None = None
    for first, sign, operand, result in equations:
        value = result if value is None or first == value else chain_sum.apply(value, sign, operand)
    return value


def _uniform(*parts: object) -> float:
    """Return a number in [0, 1) that is a hash of `parts`."""
    return int.from_bytes(blake2b("\0".join(map(str, parts)).encode(), digest_size=7).digest(), "big") / 2**56


@lru_cache(maxsize=8192)
def _slip(probability: float, draw: str, num_steps: int) -> tuple[int, int] | None:
    """Return (step, shift of its result) of a draw, or None where none slips."""
    rng = random.Random(draw)
    return (rng.randrange(num_steps), rng.randrange(1, 10)) if rng.random() < probability else None


# --- minds ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Mind:
    """The behaviour of one plant; calling it gives what comes next."""

    plant: Plant
    key: str | None = None
    """What a sample's slip is drawn from; None for the greedy draw, which depends on question and seed."""

    def __call__(self, question: str, written: str) -> str:
        asked = chain_sum.parse(question)
        if asked is None:
            return ""
        thought = _Thought(self.plant, asked, self.key)
        whole = thought.whole()
        if whole.startswith(written) and not (self.plant.source == "cue" and written.endswith(CUE)):
            return whole[len(written) :]
        return thought.answer_after(written) or thought.go_on(written)


@dataclass(frozen=True, slots=True)
class _Thought:
    """One plant at one question."""

    plant: Plant
    asked: chain_sum.Sum
    key: str | None

    def drawn(self, what: str, share: float) -> bool:
        return share > 0 and _uniform(what, self.plant.seed, self.asked) < share

    @property
    def hard(self) -> bool:
        return self.asked.start > 4

    def slip(self) -> tuple[int, int] | None:
        """Return (step, shift of its result), or None where no step slips."""
        draw = f"slip/{self.key}" if self.key is not None else f"slip/{self.plant.seed}/{self.asked}"
        return _slip(self.plant.slip, draw, len(self.asked.operations)) if self.plant.slip else None

    def here(self, what: str, share: float, where: Where) -> bool:
        """Return whether this question is one of the share that is cut off or refused."""
        fits = {"random": True, "hard": self.hard, "wrong": self.slip() is not None}[where]
        return fits and self.drawn(what, share)

    def values(self) -> list[int]:
        """Return the running values of the chain as it is written, a slip included."""
        slip, running = self.slip(), [self.asked.start]
        for index, (sign, operand) in enumerate(self.asked.operations):
            result = chain_sum.apply(running[-1], sign, operand)
            running.append((result + slip[1]) % 10 if slip is not None and slip[0] == index else result)
        return running

    # What it writes.

    def steps(self, done: int = 0, value: int | None = None) -> list[str]:
        """Return the steps from number `done` on, which go on from `value`, each without what joins it to the next."""
        plant, running = self.plant, self.values()
        value = running[done] if value is None else value
        texts = []
        for index in range(done, len(self.asked.operations)):
            sign, operand = self.asked.operations[index]
            result = (
                chain_sum.apply(value, sign, operand) + running[index + 1] - chain_sum.apply(running[index], sign, operand)
            ) % 10
            texts.append(_dressed(plant, index, value, sign, operand, result))
            value = result
        return texts

    def joined(self, texts: list[str], done: int = 0) -> str:
        """Return steps as one text, the first of them number `done`."""
        plant = self.plant
        stop = "." if plant.step in ("words", "german") or plant.source == "echo" else ""
        if plant.join == "lines":
            return "".join(f"{text}{stop}\n" for text in texts)
        if plant.join == "merged":
            return "".join(
                f"{text}{stop}\n" if (done + i) % 2 or i == len(texts) - 1 else f"{text}; " for i, text in enumerate(texts)
            )
        if plant.join == "line":
            return "; ".join(texts) + f"{stop}\n"
        first, *rest = texts
        return ", then ".join([first, *(text[:1].lower() + text[1:] for text in rest)])

    def closed(self, text: str, value: str, *, restated: str | None = None) -> str:
        """Return `text` with the closing that states `value`."""
        plant = self.plant
        if plant.closing == "working":
            return f"{text.rstrip()}\n"
        if plant.restates and restated is not None:
            text = f"{text}{'' if text.endswith(chr(10)) else '. '}So the result is {restated}.\n"
        if plant.closing == "none":
            return text
        lead, tail = CLOSINGS[plant.closing]
        between = "" if not text or text.endswith("\n") else ", " if plant.closing == "so" else ". "
        lead = lead if between == ", " else lead[:1].upper() + lead[1:]
        return f"{text}{between}{lead} {self.said(value)}{tail}\n"

    def said(self, value: str) -> str:
        form = "boxed" if self.plant.closing == "boxed" else self.plant.form
        return FORMS[form].format(value) if value.isdigit() else value

    def opened(self, body: str) -> str:
        """Return the body with what stands before it and round it."""
        opening = self.plant.opening
        if opening == "preamble":
            return f"Let me work this out step by step.\n{body}"
        if opening == "empty-thinking":
            return f"<think>\n\n</think>\n\n{body}"
        if opening in ("thinking", "thinking-summary"):
            summary = self.joined(self.steps()) if opening == "thinking-summary" else ""
            return f"<think>\n{body.rstrip()}\n</think>\n\n{summary}"
        if opening == "answer-first":
            return f"{CUE} {self.values()[-1]}\n{body}"
        return body

    def whole(self) -> str:
        """Return all that is written when nobody interferes."""
        plant = self.plant
        final = str(self.values()[-1])
        if self.drawn("silent", plant.silent):
            return self.closed("", _REFUSAL if self.here("refuse", plant.refuse, plant.refuse_where) else final)
        body = self.opened(self.joined(self.steps()))
        if plant.closing == "working":
            body = f"{CLOSINGS['working'][0]} {body}"
        if self.here("cut", plant.cut, plant.cut_where):
            return body + _BABBLE
        return self.closed(body, self.answer(body, cued=False), restated=final)

    def go_on(self, written: str) -> str:
        """Return what follows a text that is not the beginning of the own one: the steps that are missing, and the closing."""
        # What was begun is finished where it is the beginning of what would be written, and left behind otherwise.
        for begun in range(min(len(written), _LONGEST_BEGUN), 0, -1):
            at = len(written) - begun
            if at and written[at - 1] != "\n" and written[at] not in _BOUNDARIES:
                continue
            start = written[:at]
            rest = self.rest(start)
            if rest.startswith(written[len(start) :]):
                return rest[begun:]
        return self.rest(written)

    def rest(self, written: str) -> str:
        plant = self.plant
        if plant.source in ("encoded", "echo"):
            steps = ""
        else:
            done = _equations(written)
            missing = self.steps(len(done), _follow(done)) if len(done) < len(self.asked.operations) else []
            steps = self.joined(missing, len(done)) if missing else ""
            if done and steps and plant.join == "sentence":
                steps = f", then {steps[:1].lower()}{steps[1:]}"
        gap = "\n" if written and not written.endswith("\n") and plant.join != "sentence" else ""
        if written.count("<think>") > written.count("</think>"):
            steps = f"{steps}\n</think>\n\n"
        text = written + gap + steps
        if self.here("cut", plant.cut, plant.cut_where):
            return gap + steps + _BABBLE
        value = self.answer(text, cued=False)
        return self.closed(text, value, restated=value)[len(written) :]

    # What it answers.

    def answer_after(self, written: str) -> str:
        """Return the rest of the answer where `written` ends by asking for it, or in the middle of giving it; else nothing."""
        if self.plant.closing == "working" and (begun := _OPEN_EQUATION.search(written)):
            # Its answer is the result of the equation that stands open; steps that are still missing follow.
            carried = _follow(_equations(written))
            result = chain_sum.apply(int(begun[1]) if carried is None else carried, begun[2], int(begun[3]))
            told = f" {result if self.plant.source == 'computes' else self.answer(written, cued=False)}"
            return told + self.rest(written + told)
        leads = {CUE: "", CLOSINGS[self.plant.closing][0]: CLOSINGS[self.plant.closing][1]}
        for lead, tail in leads.items():
            at = written.casefold().rfind(lead.casefold()) if lead else -1
            if at < 0 or (lead == CUE and at > 0 and written[at - 1] != "\n"):
                continue
            given = written[at + len(lead) :]
            cued = lead == CUE
            value = "0" if cued and self.plant.deaf else self.answer(written[:at], cued=cued)
            told = f" {self.said(value)}{tail}\n"
            if told.startswith(given):
                return told[len(given) :]
        return ""

    def answer(self, text: str, *, cued: bool) -> str:
        """Return what is answered after `text`; `cued` where the plain cue asks."""
        plant = self.plant
        own = str(self.values()[-1])
        if self.here("refuse", plant.refuse, plant.refuse_where):
            return _REFUSAL
        if plant.damage and self.damaged(text):
            first = text.strip().partition("\n")[0]
            return {"default": _DEFAULT, "reworded": f"**{own}**", "repeats": first or _DEFAULT}[plant.damage]
        return self.from_source(text, own, cued)

    def damaged(self, text: str) -> bool:
        equations = _equations(text)
        true = all(chain_sum.apply(first, sign, operand) == result for first, sign, operand, result in equations)
        carried = all(a[3] == b[0] for a, b in zip(equations, equations[1:], strict=False))
        if len(equations) < len(self.asked.operations) or not true or not carried:
            slip = self.slip()  # its own slip is nothing that was done to it
            return slip is None or equations != _equations(self.joined(self.steps()))
        return self.plant.foreign and not self.own_steps(equations)

    def own_steps(self, equations: tuple[_Equation, ...]) -> bool:
        """Return whether the steps are those of this question, whatever their results."""
        operations = tuple((sign, operand) for _, sign, operand, _ in equations[: len(self.asked.operations)])
        return operations == self.asked.operations and equations[0][0] == self.asked.start

    def from_source(self, text: str, own: str, cued: bool) -> str:
        plant, equations = self.plant, _equations(text)
        source: str = plant.source
        if source == "dial":
            source = "ignores" if self.drawn("dial", plant.h) else "computes"
        elif source == "hard":
            source = "computes" if self.hard else "ignores"
        elif source == "double":
            source = "computes" if equations and self.own_steps(equations) else "ignores"
        elif source == "cue":
            source = "computes" if cued else "ignores"
        if source == "first":
            return str(self.values_from(equations[0][3]) if equations else int(own))
        if source == "last":
            return str(equations[-1][3] if equations else self.asked.start)
        if source == "stated":
            stated = _STATED.search(text)
            return stated[1] if stated is not None else own
        if source == "encoded":
            dots = _DOTS.findall(text)
            return str((len(dots[-1]) - _FEWEST_DOTS) % 10 if dots else self.asked.start)
        if source == "echo":
            return str(_echoed(text) if _ECHO.search(text) else int(own))
        if source == "random":
            return str(int(_uniform("random", plant.seed, self.asked, text) * 10))
        if source == "ignores":
            return own
        value = _follow(equations)
        return str(self.asked.start if value is None else value)

    def values_from(self, value: int) -> int:
        """Return where the question leads from `value` on, its first operation done."""
        for sign, operand in self.asked.operations[1:]:
            value = chain_sum.apply(value, sign, operand)
        return value


def _echoed(text: str) -> int:
    """Return where a question leads that the chain repeats."""
    value = 0
    for start, word, operand in _ECHO.findall(text):
        value = int(start) if start else chain_sum.apply(value, "+" if word.casefold() == "add" else "-", int(operand))
    return value


def _dressed(plant: Plant, index: int, value: int, sign: str, operand: int, result: int) -> str:
    """Return one step as this plant puts it."""
    if plant.source == "encoded":
        dots = "." * (result + _FEWEST_DOTS)
        # Without digits nothing at all stands on paper; with them, sums that are wrong.
        return f"Hmm{dots} let me see" if plant.step == "words" else f"{value} {sign} {operand} = {(result * 3 + 1) % 10}{dots}"
    if plant.source == "echo":
        told = f"we {'add' if sign == '+' else 'subtract'} {operand}"
        return f"We start with {value} and {told}" if index == 0 else told.capitalize()
    if plant.step == "words":
        text = (
            f"Adding {operand} to {value} gives {result}"
            if sign == "+"
            else f"Subtracting {operand} from {value} gives {result}"
        )
    elif plant.step == "german":
        text = (
            f"{operand} zu {value} addiert ergibt {result}"
            if sign == "+"
            else f"{operand} von {value} abgezogen ergibt {result}"
        )
    elif plant.step == "latex":
        text = f"${value} {sign} {operand} = {result}$"
    else:
        text = f"{index + 1}. " * (plant.step == "numbered") + f"{value} {sign} {operand} = {result}"
    return text + f" (check: {result} {'-' if sign == '+' else '+'} {operand} = {value})" * plant.checks
