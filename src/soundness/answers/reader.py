r"""What a free text answers, and whether that is right: the one function that grades, everywhere.

Stages, each testable alone: channels (what is said), statements (where an answer is stated), results and choices (what is stated
there), equality (whether it is the reference). Right, wrong, unreadable and cut off are four things: a text that states no answer is
not wrong, and one that the token limit cut before its answer is not even unreadable.

>>> graded = grade("3 + 4 = 7, so the answer is 7.", "stop", Problem("1", "3 + 4?", "7"))
>>> graded.outcome, graded.answer, graded.span, graded.confidence, graded.how
(<Outcome.RIGHT: 'right'>, '7', Stretch(start=28, stop=29), 'high', 'marker')
>>> grade("First, 3 + 4", "length", Problem("1", "3 + 4?", "7")).outcome
<Outcome.CUT_OFF: 'cut_off'>
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from soundness.answers.channels import Channels, Stretch, split_channels
from soundness.answers.choices import read_choice, read_conclusion, read_last_line
from soundness.answers.equality import compare, letter_of, option_of
from soundness.answers.formulas import is_formula
from soundness.answers.markup import fold, tidy
from soundness.answers.results import (
    Reading,
    before_small_talk,
    last_number,
    read_anything,
    read_formula,
    read_number,
    read_text,
)
from soundness.answers.statements import Statement, find_statements, next_question, unlabelled_question
from soundness.answers.texts import REFUSAL, alternatives, binary, core
from soundness.answers.values import last_special, read_value
from soundness.records import Finish, Outcome, Problem

__all__ = ["Confidence", "Grade", "Outright", "conclusion_start", "grade", "outright_answers", "read_answer"]

Confidence = Literal["high", "low"]
"""`high` for an outright statement; `low` for what was taken for the answer as nothing was stated: the last number, a bare reply."""


class Grade(NamedTuple):
    """What became of one free text."""

    outcome: Outcome | None
    """Right, wrong, unreadable or cut off; None where the problem has no reference answer."""
    answer: str | None
    """The last stated answer as written (a letter where there are choices), or None where none could be read."""
    span: Stretch | None = None
    """The characters that it was read from, or None where none could be read."""
    confidence: Confidence | None = None
    """How sure the reading is, or None where there is none."""
    how: str = ""
    """What it was read from: `boxed`, `marker`, `label`, `block`, `json`, `hashes`, `pick`, `reversed`, `bare`, `last number` ..., or
    the name of the grader that judged it."""
    reason: str = ""
    """Why there is no outcome although there is something to compare with; empty otherwise."""
    words: str = ""
    """What a grader that is no rule said, in its own words."""


@dataclass(frozen=True, slots=True)
class _Found:
    """One answer that was read."""

    begin: int
    stop: int
    open: bool
    """Whether what was read reaches the text's end, so that more of it may have been coming."""
    answer: str | None
    """None where something is stated that cannot be read as one answer."""
    span: Stretch
    how: str
    strong: bool = True


class _Kind(NamedTuple):
    """What is wanted, as far as it is known."""

    name: Literal["choice", "number", "formula", "text", "letter", "unknown"]
    reference: str | None
    choices: tuple[str, ...] | None


def _kind_of(reference: str | None, choices: Sequence[str] | None) -> _Kind:
    if choices is not None:
        return _Kind("choice", reference, tuple(choices))
    if reference is None:
        return _Kind("unknown", None, None)
    several = alternatives(reference)
    first = several[0]
    label = letter_of(first)
    if label is not None and len(first.strip()) <= 3 and not label[1]:
        return _Kind("letter", reference, None)
    if read_value(first) is not None and not re.fullmatch(r"\s*-?\d+(?:\s?,\s?-?\d+)+\s*", first.replace("$", "")):
        return _Kind("number", reference, None)
    if re.fullmatch(r"[\s$]*\d{1,3}(?:,\d{3})+[\s$]*", first):
        return _Kind("number", reference, None)
    return _Kind("formula" if is_formula(first) or "\\" in tidy(first) else "text", reference, None)


# --- one statement ----------------------------------------------------------------------------------------------------


_DENIED = re.compile(r"[\s*_\"']*(?:not|neither|never|nicht)\b(?! (?:sure|given|enough|listed|possible))", re.IGNORECASE)
_BUT = re.compile(r"\b(?:but|rather|instead|sondern|mais|sino)\b[\s,:]*", re.IGNORECASE)


def _read(segment: str, kind: _Kind, *, source: str, boxed: bool = False, comma: bool = False) -> Reading | None:
    """Return what a segment states; None where it speaks of no answer at all."""
    if kind.name == "choice":
        assert kind.choices is not None
        choice = read_choice(segment, kind.choices)
        return None if choice is None else Reading(choice.letter)
    denied = _DENIED.match(segment)
    if denied is not None and not (kind.reference is not None and compare(kind.reference, segment)):
        turn = _BUT.search(segment)
        return Reading(None) if turn is None else _read(segment[turn.end() :], kind, source=source, boxed=boxed, comma=comma)
    if kind.name == "number":
        special = _special_of(kind, segment)
        if special is not None:
            return special
        reading = read_number(segment, boxed=boxed, comma=comma)
        if reading is None:
            return _otherwise(segment, kind, boxed)
        return reading
    if kind.name == "letter":
        return _read_letter(segment, kind)
    if REFUSAL.match(segment.strip(" *_")) and not (kind.reference is not None and compare(kind.reference, segment)):
        return Reading(None)
    if kind.name == "formula":
        return read_formula(segment, boxed=boxed)
    if kind.name == "text":
        return read_text(segment, reference=kind.reference, boxed=boxed)
    return read_anything(segment, boxed=boxed, comma=comma)


def _special_of(kind: _Kind, segment: str) -> Reading | None:
    """Return the date, time or ratio in a sentence, where the reference is one and the sentence holds more than it."""
    wanted = read_value(kind.reference or "")
    if wanted is None or wanted.kind not in ("date", "time", "ratio") or read_value(segment) is not None:
        return None
    found = last_special(tidy(segment), wanted.kind)
    return None if found is None else Reading(found)


def _otherwise(segment: str, kind: _Kind, boxed: bool) -> Reading | None:
    """Return what a segment without any number states where a number is wanted: words, or nothing."""
    text = tidy(segment).strip(" .*_")
    if not text:
        return None
    if REFUSAL.match(text) or text.endswith("?"):
        return Reading(None)
    if boxed or (is_formula(text) and len(text) <= 60):
        return Reading(text)
    return (
        Reading(text)
        if len(text.split()) <= 2 and re.fullmatch(r"[^\W\d_]+(?: [^\W\d_]+)?", text) and binary(text) is not None
        else None
    )


_LETTER_SAID = re.compile(
    r"(?:[\s*_\"']|\b(?:option|choice|letter|the|is|it|clearly|probably|most likely|therefore"
    r"|thus)\b)*[(\[]?([A-Z])\b(?!['’])"
)


def _read_letter(segment: str, kind: _Kind) -> Reading | None:
    """Return the letter that a segment names, where the reference is a letter and the options are not known."""
    bare = tidy(segment).strip(" *_.")
    label = letter_of(bare)
    if label is not None:
        return Reading(label[0] if not label[1] else bare)
    if REFUSAL.match(bare):
        return Reading(None)
    said = _LETTER_SAID.match(bare)
    if said is not None:
        rest = bare[said.end() :]
        joined = re.match(r"[)\]]?\s*(?:,|/|or|and)\s*[(\[]?[A-Z]\b", rest)
        if joined is not None:
            return Reading(None)
        if re.match(r"[)\].:,;]|\s*$|\s+(?:because|since|as|is|which)\b|\s+[-–—]\s|\s*\(", rest):
            return Reading(said[1])
    return read_text(segment, reference=kind.reference)


def _stated(text: str, statement: Statement, kind: _Kind, stop: int) -> _Found | None:
    """Return what a statement says, or None where it names no answer at all."""
    segment = statement.of(text)
    boxed = statement.source == "boxed"
    if statement.source == "hashes" and not _is_answer_mark(
        text, statement, kind, before_small_talk(text, statement.start, stop)
    ):
        return None
    if statement.source in ("reversed", "judged") and not _names_answer(segment, statement.source, kind):
        return None
    if statement.source == "pick" and kind.name in ("number", "formula") and not re.search(r"\d|\\", segment):
        return None
    if statement.source == "label" and kind.name in ("number", "unknown") and _is_working(segment, statement.runs_on):
        return None
    inner = [one for one in find_statements(segment) if one.source == "boxed"] if not boxed and "boxed" in segment else []
    if inner:
        return None  # the box in it is a statement of its own
    reading = _read(segment, kind, source=statement.source, boxed=boxed or statement.source == "json", comma=statement.comma)
    if reading is None:
        return None
    at_end = statement.source not in ("boxed", "json") and not text[statement.stop : stop].strip(" *")
    span = _located(text, statement.start, statement.stop, reading.answer)
    is_open = at_end and not reading.rest.strip(" *")
    return _Found(statement.begin, statement.stop, is_open, reading.answer, span, statement.source, statement.strong)


def _located(text: str, start: int, stop: int, answer: str | None) -> Stretch:
    """Return where the answer stands in a segment: its own characters where they can be found, else the segment."""
    segment = text[start:stop]
    place = segment.rfind(answer) if answer else -1
    if place >= 0 and answer is not None:
        return Stretch(start + place, start + place + len(answer))
    left = len(segment) - len(segment.lstrip())
    return Stretch(start + left, max(start + left, start + len(segment.rstrip())))


def _is_answer_mark(text: str, statement: Statement, kind: _Kind, stop: int) -> bool:
    """Return whether a line that begins with #### holds an answer, as in GSM8K, and is no heading of the fourth level."""
    content = tidy(statement.of(text)).strip(" *:")
    if re.match(
        r"(?:(?:the\s+)?(?:final\s+)?(?:answer|result|solution|conclusion)\b|step\b|part\b|case\b"
        r"|\(?\d{1,2}[.)]\s)",
        content,
        re.IGNORECASE,
    ):
        return False
    if kind.name == "choice":
        assert kind.choices is not None
        return option_of(content, kind.choices) is not None
    if kind.name == "letter":
        return letter_of(content) is not None
    value = read_value(content)
    if value is not None:
        return not value.words or not text[statement.stop : stop].strip() or value.words.split()[0].islower()
    if is_formula(content):
        return True
    following = text[statement.stop : stop].strip()
    return (
        kind.name in ("text", "unknown") and (not following or next_question(following, 0) == 0) and len(content.split()) <= 8
    )


def _names_answer(segment: str, source: str, kind: _Kind) -> bool:
    """Return whether what stands in front of "is the answer" is one: a number, an option, a short name."""
    bare = tidy(segment).strip(" *_\"'")
    if kind.name == "choice":
        assert kind.choices is not None
        if option_of(bare, kind.choices) is not None:
            return True
        return (
            re.search(r"(?:option|choice|answer|statement|letter)\s+[(\[]?[A-Z][)\]]?$|^[(\[][A-Z][)\]]", bare, re.IGNORECASE)
            is not None
        )
    if source == "judged":
        return (
            kind.name == "letter"
            and letter_of(re.sub(r"^(?:option|choice|answer)\s+", "", bare, flags=re.IGNORECASE)) is not None
        )
    if kind.name in ("number", "unknown"):
        return read_value(bare) is not None
    return len(bare.split()) <= 6 and not re.match(r"(?:this|that|it|what|which|he|she|they|we|i)\b", bare, re.IGNORECASE)


def _is_working(segment: str, runs_on: bool) -> bool:
    """Return whether "Answer:" opens worked lines ("Answer: She has 16 - 3 = 13 left. Then ...") and states nothing itself."""
    return runs_on and re.match(r"\W*(?:[A-Za-z]{2,}|[Aa]|I)\W+\w", segment) is not None and read_value(segment) is None


# --- a whole text -----------------------------------------------------------------------------------------------------


def _findings(text: str, start: int, stop: int, kind: _Kind) -> tuple[list[_Found], int]:
    """Return the answers that `text[start:stop]` states outright, in order, and where what was asked for ends.

    A new question behind the first answer was invented: nothing from there on counts.
    """
    found: list[_Found] = []
    for statement in find_statements(text, start, stop):
        if found and statement.begin >= stop:
            break
        reading = _stated(text, statement, kind, stop)
        if reading is None:
            continue
        if found and found[0].answer is not None:
            asked = unlabelled_question(text, found[-1].stop, statement.begin)
            if asked is None and found[-1].how == "hashes" and "?" in text[found[-1].stop : statement.begin]:
                asked = found[-1].stop  # GSM8K's mark ends an answer
            if asked is not None:
                stop = asked
                break
        found.append(reading)
        question = next_question(text, reading.stop) if reading.answer is not None and reading.strong else None
        if question is not None and question < stop:
            stop = question
    return [one for one in found if one.begin < stop], stop


def _chosen(found: Sequence[_Found]) -> _Found | None:
    """Return the last of the strongest statements: "Result:" may head a step, "Answer:" does not."""
    strong = [one for one in found if one.strong]
    return (strong or list(found) or [None])[-1]  # type: ignore[list-item]


def _blocked(text: str, channels: Channels, kind: _Kind) -> _Found | None:
    """Return what the last answer block holds: the statement in it, or all of it."""
    if channels.answer is None:
        return None
    start, stop = channels.answer
    inside, _ = _findings(text, start, stop, kind)
    last = _chosen(inside)
    if last is not None:
        return replace(last, how="block", open=not channels.answer_closed and last.open)
    segment = text[start:stop]
    if kind.name in ("number", "unknown") and "\n" in segment.strip():
        reading = last_number(segment) or _read(segment, kind, source="block")
    else:
        reading = _read(segment, kind, source="block", boxed=kind.name == "number" and len(segment) <= 60)
    if reading is None:
        reading = Reading(tidy(segment)) if kind.name not in ("choice", "number") and len(segment) <= 200 else None
    if reading is None:
        return None
    return _Found(start, stop, not channels.answer_closed, reading.answer, _located(text, start, stop, reading.answer), "block")


_BARE_WORDS = re.compile(
    r"\b(?:is|are|was|were|be|has|have|had|it|he|she|we|they|i|you|there|this|that|these"
    r"|because|so|then|therefore|let|to|will|would|can|cannot|do|does|did|not|sorry|step|first"
    r"|if|how|what|why|who|when)\b|[=:?]",
    re.IGNORECASE,
)


def _unmarked(text: str, start: int, stop: int, kind: _Kind) -> _Found | None:
    """Return what a text answers that never says so: a bare reply, a last line that is an option, or the last number."""
    question = next_question(text, start)
    if question is not None and question < stop and re.search(r"\d|\n", text[start:question].strip()) is not None:
        stop = question
    stop = before_small_talk(text, start, stop)
    said = text[start:stop]
    lines = [line.strip() for line in said.splitlines() if line.strip(" \t`|-_*")]
    if not lines:
        return None
    whole = said.strip()
    if kind.name == "choice":
        assert kind.choices is not None
        letter = read_last_line(lines[-1], kind.choices)
        if letter is None and len(lines) > 1 and len(lines[0]) <= 200 and option_of(core(lines[0]), kind.choices):
            letter = option_of(core(lines[0]), kind.choices)  # the answer first, then reasons
        line, how = lines[-1], "last line"
        if letter is None and (concluded := read_conclusion(said, kind.choices)) is not None:
            letter, line, how = *concluded, "conclusion"
        place = text.rfind(line, start, stop)
        if letter is None or place < 0:
            return None
        span = _located(text, place, place + len(line), None)
        return _Found(span.start, span.stop, False, letter, span, how, False)
    if kind.name in ("text", "formula", "letter", "unknown"):
        return _bare_reply(text, start, stop, whole, kind)
    reading = _special_of(kind, lines[-1]) or last_number(said)
    if reading is None:
        return None
    return _Found(start, stop, False, reading.answer, _located(text, start, stop, reading.answer), "last number", False)


_CONCLUDING = re.compile(
    r"(?:^|[.!?\n]\s*)(?:\*\*)?(?:so|thus|therefore|hence|in total|altogether)\b,?(?P<said>[^\n]{0,300}\d[^\n]{0,200})$",
    re.IGNORECASE,
)


def _bare_reply(text: str, start: int, stop: int, whole: str, kind: _Kind) -> _Found | None:
    """Return a reply that is nothing but an answer: one short line without a verb, or one formula."""
    lines = [line for line in whole.splitlines() if line.strip(" \t`$") and not re.fullmatch(r"\s*\\[\[\]]\s*", line)]
    concluding = _CONCLUDING.search(whole) if kind.name == "unknown" else None
    if concluding is not None:  # "Therefore, it takes John 35 minutes."
        reading = last_number(whole[concluding.start("said") :])
        if reading is not None and reading.answer is not None:
            span = _located(text, start, stop, reading.answer)
            return _Found(start, stop, False, reading.answer, span, "last number", False)
    short = kind.name == "letter" or (kind.name == "text" and binary(kind.reference or "") is not None)
    if lines and len(lines) > 1 and short and re.search(r"\n\s*\n\s*\S[^\n]*$", whole):
        lines = lines[-1:]  # a letter or a yes of its own, behind the working
    elif len(whole) > 200:
        return None
    if len(lines) != 1 or REFUSAL.match(lines[0]):
        return None
    line = lines[0]
    if kind.name == "formula":
        if not is_formula(line) and "$" not in line and "\\" not in line:
            return None
        reading = read_formula(line)
    elif kind.name == "unknown":
        if (
            read_value(line) is None
            and (not is_formula(line) or _BARE_WORDS.search(line))
            and (_BARE_WORDS.search(line) or len(line.split()) > 6)
        ):
            return None
        reading = read_anything(line)
    else:
        opens = binary(kind.reference or "") is not None and re.match(r"\W*(?:yes|no|true|false)\b", line, re.IGNORECASE)
        if not opens and (_BARE_WORDS.search(line) or len(line.split()) > max(6, len((kind.reference or "").split()) + 2)):
            return None
        reading = _read(line, kind, source="bare")
    if reading is None or reading.answer is None:
        return None
    return _Found(start, stop, False, reading.answer, _located(text, start, stop, reading.answer), "bare", False)


def _outright(text: str, channels: Channels, kind: _Kind) -> tuple[list[_Found], int]:
    """Return the outright answers of what is said, the answer block's last, and where what was asked for ends."""
    start, stop = channels.said
    if start == stop and channels.before.stop > channels.before.start:
        start, stop = channels.before
    block = _blocked(text, channels, kind)
    if block is not None:
        return [block], stop
    return _findings(text, start, stop, kind)


class _Answer(NamedTuple):
    found: _Found | None
    cut: bool
    confidence: Confidence


def _read_text(text: str, kind: _Kind, prompt: str, finish: Finish, right: Callable[[str], bool]) -> _Answer:
    channels = split_channels(text, prompt)
    if finish == "length" and channels.end < len(text):
        finish = "stop"  # the turn had ended before the limit came
    text = fold(text)
    if not channels.closed:
        if finish == "length" or (channels.form is not None and channels.form.name.startswith("harmony")):
            return _Answer(None, finish == "length", "low")
        # The model ended its turn without closing its thinking: an outright statement in it counts, nothing else does.
        last = channels.spans[-1] if channels.spans else channels.said
        found, _ = _findings(text, last.start, last.stop, kind)
        return _Answer(_chosen(found), False, "low")
    found, stop = _outright(text, channels, kind)
    if finish == "length":
        last_found = _chosen(found)
        if last_found is not None and last_found.open and stop == channels.said.stop:
            # An answer that the limit itself may have cut: "18" may be the beginning of "180".
            if last_found.answer is None or not right(last_found.answer):
                found = [one for one in found if not one.open]
        if not found and stop == channels.said.stop:
            return _Answer(None, True, "low")
    last_found = _chosen(found)
    if last_found is not None and not last_found.strong and kind.name == "number":
        # "Result: 12" may head a step: a number that comes later is the result.
        later = last_number(text[last_found.stop : stop])
        last_found = last_found if later is None or later.answer is None else None
    if last_found is not None:
        return _Answer(last_found, False, "high" if last_found.strong else "low")
    return _Answer(_unmarked(text, channels.said.start, stop, kind), False, "low")


def grade(text: str, finish: Finish, problem: Problem, prompt: str = "") -> Grade:
    """Return outcome and answer of a text that ended by `finish`; `prompt` is what the model was shown, as rendered.

    Thinking is passed over, and what the model went on to write behind its turn or behind a question of its own. A text cut by the
    token limit is CUT_OFF unless it states an answer outright. An answer that the limit itself may have cut (it touches the end: "18"
    may be the beginning of "180") counts where it equals the reference and is CUT_OFF otherwise. Any of several accepted answers is
    right (`Problem.accepted`). Never raises on any text.
    """
    first = _grade(text, finish, problem, prompt)
    for other in problem.accepted[1:] if first.outcome is not Outcome.RIGHT else ():
        again = _grade(text, finish, replace(problem, answer=other), prompt)
        if again.outcome is Outcome.RIGHT:
            return again
    return first


def _grade(text: str, finish: Finish, problem: Problem, prompt: str) -> Grade:
    """Return the grade of a text by the problem's first reference alone."""
    kind = _kind_of(problem.answer, problem.choices)
    reference = problem.answer

    def right(answer: str) -> bool:
        return reference is not None and bool(compare(reference, answer, problem.choices))

    found, cut, confidence = _read_text(text, kind, prompt, finish, right)
    if cut:
        return Grade(None if reference is None else Outcome.CUT_OFF, None)
    if found is None or found.answer is None:
        return Grade(None if reference is None else Outcome.UNREADABLE, None, how="" if found is None else found.how)
    read = (found.answer, found.span, confidence, found.how)
    if reference is None:
        return Grade(None, *read)
    same = compare(reference, found.answer, problem.choices)
    if same is None or (not same and _begins_like(reference, found.answer, kind)):
        return Grade(Outcome.UNREADABLE, *read)
    return Grade(Outcome.RIGHT if same else Outcome.WRONG, *read)


def _begins_like(reference: str, answer: str, kind: _Kind) -> bool:
    """Return whether an answer in words is the reference and more behind a comma: "Paris, France" may be a gloss or another part."""
    if kind.name != "text" or "," in reference:
        return False
    head, comma, _ = tidy(answer).partition(",")
    return bool(comma) and bool(compare(reference, head))


def read_answer(text: str, choices: Sequence[str] | None = None, prompt: str = "") -> str | None:
    r"""Return the answer that `text` gives, as written (a letter where there are choices), or None where none can be read.

    Where nothing is stated outright, a reply that is nothing but an answer counts, and with choices a last line that is an option.

    >>> read_answer("<think>maybe 12?</think>She pays **$1,200**.\n\n**Answer:** 1,200 dollars")
    '1,200 dollars'
    >>> read_answer("It must be the second one.\nAnswer: B", ["mercury", "venus"]), read_answer("I do not know.")
    ('B', None)
    """
    return grade(text, "stop", Problem("", "", None, choices=None if choices is None else tuple(choices)), prompt).answer


class Outright(NamedTuple):
    """One outright statement of an answer."""

    begin: int
    """Where the statement begins: its marker."""
    stop: int
    """Where it ends: its sentence, line, box or field."""
    answer: str | None
    """What it states; None where that cannot be read as one answer."""
    span: Stretch
    """Where the answer stands."""
    how: str
    """How it is marked, as in `Grade.how`."""
    strong: bool
    """Whether it is outright; "Result:" may head a step."""


def outright_answers(text: str, region: Stretch, problem: Problem) -> tuple[list[Outright], int]:
    """Return the outright statements in a region of `text`, in order, and where what was asked for ends in it.

    A new question behind an answer was invented: nothing from there on counts.
    """
    found, stop = _findings(text, region.start, region.stop, _kind_of(problem.answer, problem.choices))
    return [Outright(one.begin, one.stop, one.answer, one.span, one.how, one.strong) for one in found], stop


def conclusion_start(
    text: str, choices: Sequence[str] | None = None, reference: str | None = None, prompt: str = ""
) -> int | None:
    """Return the character where the last outright statement of an answer begins, or None where nothing is stated outright."""
    kind = _kind_of(reference, choices)
    channels = split_channels(text, prompt)
    text = fold(text)
    if not channels.closed:
        last = channels.spans[-1] if channels.spans else channels.said
        found, _ = _findings(text, last.start, last.stop, kind)
    else:
        found, _ = _outright(text, channels, kind)
    chosen = _chosen(found)
    return None if chosen is None else chosen.begin
