"""Traces of a model from its likeliest first tokens, and how sure it is of the answer that each comes to (CoT-decoding, 2402.10200).

The K likeliest first tokens of a question are each continued greedily; "So the answer is" asks every trace for its answer; the
answer's tokens are looked for in the trace, and confidence is the mean of a per-token measure over that span.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch

from soundness.errors import SettingError, near
from soundness.records import Finish, Generation
from soundness.tasks.base import Task
from soundness.training.data import prompt_of
from soundness.training.model_in_training import ModelInTraining

__all__ = ["Measure", "Trace", "longest_match", "make_traces", "span_confidence"]

Measure = Literal["margin", "probability", "entropy"]

_ASK = "\nSo the answer is"

# A closing sentence of the same words, to the end of the text: the question for the answer would only echo it.
_STATED = re.compile(r"\s*So the answer is[^\n]*\s*$")

_ANSWER_TOKENS = 20
"""Longest answer, as in the published code."""

_AT_ONCE = 32
"""Texts written or read in one batch."""

_LOGITS = 2**26
"""Numbers of logits that exist at once: 256 MB in float32."""


@dataclass(frozen=True, slots=True)
class Trace:
    """One trace of one question."""

    problem_id: str
    ids: tuple[int, ...]
    """What was written, "So the answer is" and its answer left out."""
    answer: str
    """What the model says when asked."""
    confidence: float
    """0..1; 0 where the answer stands nowhere in the trace."""
    found: bool
    """Whether the answer stands in the trace."""
    finish: Finish


def longest_match(answer: Sequence[int], trace: Sequence[int]) -> tuple[int, int] | None:
    """Return where the longest run of tokens that `answer` and `trace` share stands in `trace`, the last of equals; None if none.

    >>> longest_match([5, 6], [1, 5, 6, 2, 5, 6, 9])
    (4, 6)
    """
    best: tuple[int, int] | None = None
    for start in range(len(trace)):
        for first in range(len(answer)):
            length = 0
            while (
                start + length < len(trace) and first + length < len(answer) and trace[start + length] == answer[first + length]
            ):
                length += 1
            if length and (best is None or length >= best[1] - best[0]):
                best = (start, start + length)
    return best


def span_confidence(logits: Any, trace: Sequence[int], answer: Sequence[int], measure: str) -> tuple[float, bool]:
    """Return the confidence of the answer's span in the trace, 0..1, and whether there is such a span (0 where there is none).

    `logits` is (len(trace), vocabulary): row t predicted `trace[t]`. Raises SettingError for an unknown measure.
    """
    if measure not in get_args(Measure):
        known = get_args(Measure)
        raise SettingError(f"there is no measure {measure!r}{near(measure, known)}; there are {', '.join(known)}")
    span = longest_match(answer, trace)
    if span is None:
        return 0.0, False
    return _mean_confidence(logits[span[0] : span[1]], trace[span[0] : span[1]], measure), True


def _mean_confidence(logits: Any, written: Sequence[int], measure: str) -> float:
    """Return the mean of a per-token measure; `logits` (len(written), vocabulary) predicted `written`."""
    probability = torch.softmax(logits.float(), dim=-1)
    if measure == "margin":
        top = probability.topk(2, dim=-1).values
        each = top[:, 0] - top[:, 1]
    elif measure == "probability":
        each = probability.gather(1, torch.tensor(list(written), device=probability.device)[:, None])[:, 0]
    else:
        each = 1 - torch.special.entr(probability).sum(dim=-1) / math.log(probability.shape[-1])
    return float(each.mean())


def make_traces(model: ModelInTraining, task: Task, *, num_traces: int, max_tokens: int, measure: str) -> list[Trace]:
    """Return the traces of every problem in task order, its likeliest first token first.

    A first token that ends the text makes no trace. Everything is written and read in batches, the longest texts first.
    """
    prompts = [prompt_of(task, problem, model.tokenizer) for problem in task.problems]
    stops = {*model.stops}
    begun: list[tuple[int, int]] = []  # (problem, first token)
    for place, tokens in enumerate(_likeliest(model, [prompt.ids for prompt in prompts], num_traces)):
        begun += [(place, token) for token in tokens if token not in stops]
    stop = prompts[0].stop  # the same for all problems of a task
    written = _in_batches(
        [(*prompts[place].ids, token) for place, token in begun],
        lambda batch: model.generate(batch, max_tokens=max(max_tokens - 1, 1), until=stop),
    )
    kept = [_cut_statement((token, *one.ids), model) for (_, token), one in zip(begun, written, strict=True)]
    ask = tuple(model.encode(_ASK))
    said = _in_batches(
        [(*prompts[place].ids, *ids, *ask) for (place, _), ids in zip(begun, kept, strict=True)],
        lambda batch: model.generate(batch, max_tokens=_ANSWER_TOKENS, until="\n"),
    )
    junk = {*stops, model.tokenizer.bos_token_id, model.tokenizer.pad_token_id} - {None}
    answers = [_strip(one.ids, junk, model) for one in said]
    spans = [longest_match(answer, ids) for answer, ids in zip(answers, kept, strict=True)]
    texts = [(*prompts[place].ids, *ids) for (place, _), ids in zip(begun, kept, strict=True)]
    confidence = _confidences(model, texts, [len(ids) for ids in kept], spans, measure)
    return [
        Trace(task.problems[place].id, tuple(ids), model.decode(answer).strip(), sure, span is not None, one.finish)
        for (place, _), ids, answer, span, sure, one in zip(begun, kept, answers, spans, confidence, written, strict=True)
    ]


def _in_batches(
    prefixes: Sequence[tuple[int, ...]], write: Callable[[Sequence[tuple[int, ...]]], list[Generation]]
) -> list[Generation]:
    """Return what `write` makes of each prefix, in their order."""
    made: dict[int, Generation] = {}
    for batch in _batches([len(prefix) for prefix in prefixes], lambda places: len(places) >= _AT_ONCE):
        made.update(zip(batch, write([prefixes[place] for place in batch]), strict=True))
    return [made[place] for place in range(len(prefixes))]


def _batches(sizes: Sequence[int], full: Callable[[Sequence[int]], bool]) -> Iterator[list[int]]:
    """Give the places of `sizes` in batches, the largest first; a batch ends once it is `full`."""
    batch: list[int] = []
    for place in sorted(range(len(sizes)), key=lambda place: (-sizes[place], place)):
        batch.append(place)
        if full(batch):
            yield batch
            batch = []
    if batch:
        yield batch


def _last_logits(model: ModelInTraining, texts: Sequence[Sequence[int]], count: int) -> Any:
    """Return the logits behind the last `count` tokens of each text, (texts, count, vocabulary); one left-padded batch."""
    longest = max(map(len, texts))
    ids = torch.tensor([[model.pad_id] * (longest - len(text)) + list(text) for text in texts], device=model.device)
    mask = torch.tensor([[0] * (longest - len(text)) + [1] * len(text) for text in texts], device=model.device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    with model.shared.using(None) as module, torch.inference_mode():
        output = module(input_ids=ids, attention_mask=mask, position_ids=positions, logits_to_keep=count)
    return output.logits[:, -count:]


def _likeliest(model: ModelInTraining, prompts: Sequence[tuple[int, ...]], count: int) -> list[list[int]]:
    """Return the ids of each prompt's likeliest next tokens, the likeliest first."""
    tokens: dict[int, list[int]] = {}
    for batch in _batches([len(prompt) for prompt in prompts], lambda places: len(places) >= _AT_ONCE):
        logits = _last_logits(model, [prompts[place] for place in batch], 1)[:, 0]
        top = logits.topk(min(count, logits.shape[-1]), dim=-1).indices.tolist()
        tokens.update(zip(batch, top, strict=True))
    return [tokens[place] for place in range(len(prompts))]


def _confidences(
    model: ModelInTraining,
    texts: Sequence[tuple[int, ...]],
    lengths: Sequence[int],
    spans: Sequence[tuple[int, int] | None],
    measure: str,
) -> list[float]:
    """Return the confidence of each text's span, 0 where it has none; a span counts within the last `lengths` tokens of its text."""
    vocabulary = int(model.shared.base.config.get_text_config().vocab_size)
    wanted = [place for place, span in enumerate(spans) if span is not None]
    # How many of a text's last tokens have to be looked at: from the one before its span on, which predicts the span's first.
    needed = [lengths[place] - span[0] + 1 for place in wanted if (span := spans[place]) is not None]

    def full(batch: Sequence[int]) -> bool:
        more = (len(batch) + 1) * max(needed[one] for one in batch)
        return len(batch) >= _AT_ONCE or more * vocabulary > _LOGITS

    confidence = [0.0] * len(texts)
    for batch in _batches(needed, full):
        count = max(needed[one] for one in batch)
        logits = _last_logits(model, [texts[wanted[one]] for one in batch], count)
        for row, one in zip(logits, batch, strict=True):
            place, span = wanted[one], spans[wanted[one]]
            assert span is not None
            start = count - needed[one]
            trace = texts[place][len(texts[place]) - lengths[place] :]
            confidence[place] = _mean_confidence(row[start : start + span[1] - span[0]], trace[slice(*span)], measure)
    return confidence


def _cut_statement(ids: tuple[int, ...], model: Any) -> tuple[int, ...]:
    """Return the ids without a closing sentence "So the answer is X", which the question for the answer would only echo."""
    text = model.decode(ids)
    stated = _STATED.search(text)
    if stated is None:
        return ids
    kept, length = [], 0
    for token, piece in zip(ids, model.pieces(ids), strict=True):
        if length + len(piece) > stated.start():
            break
        kept.append(token)
        length += len(piece)
    return tuple(kept) or ids


def _strip(ids: Sequence[int], junk: set[int], model: Any) -> tuple[int, ...]:
    """Return the answer's ids without special tokens, blanks and full stops at both ends."""
    kept = list(ids)

    def empty(token: int) -> bool:
        return token in junk or not model.decode([token]).strip(" .\n\r\t")

    while kept and empty(kept[0]):
        kept.pop(0)
    while kept and empty(kept[-1]):
        kept.pop()
    return tuple(kept)
