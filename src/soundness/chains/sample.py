"""Chains that a model writes for the problems of a task."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from soundness.answers.graders import Grader, graded
from soundness.answers.reader import conclusion_start
from soundness.chains.steps import SPLITTERS, answer_step, split_steps, step_texts
from soundness.errors import SettingError, near
from soundness.models.base import Model
from soundness.models.cached import as_cached
from soundness.records import Chain, Generation, Problem, Prompt

if TYPE_CHECKING:
    from soundness.tasks.base import Task

__all__ = ["check_sampling", "conclusion_step", "draw_key", "make_chain", "sample_chains"]


def draw_key(seed: int, problem_id: str, sample: int) -> str:
    """Return the key of one draw: sample j of problem i depends on seed, i and j alone.

    >>> draw_key(0, "gsm8k-7", 2)
    '0/gsm8k-7/2'
    """
    return f"{seed}/{problem_id}/{sample}"


def conclusion_step(texts: Sequence[str], problem: Problem, prompt: str = "") -> int | None:
    """Return the index of the step where the last outright statement of an answer begins, or None where there is none.

    `texts` holds the text of each step, `prompt` is the rendered prompt. A number that merely is the last one states nothing.

    >>> conclusion_step(["3 + 4 = 7, so the answer is 7. ", "Or is it? ", "Answer: 7"], Problem("1", "3 + 4?", "7"))
    2
    """
    start = conclusion_start("".join(texts), problem.choices, problem.answer, prompt)
    return None if start is None else bisect_right(list(accumulate(map(len, texts))), start)


def make_chain(
    model: Model,
    problem: Problem,
    prompt: Prompt,
    generation: Generation,
    *,
    writer: str,
    sample: int = 0,
    seed: int = 0,
    splitter: str = "auto",
    grader: Grader | None = None,
) -> Chain:
    """Return what `model` wrote for `problem` as a chain: text, steps, grade and the step that states the answer.

    `writer` is the model's name within the run; `grader` says whether it is right where no rule can. Pure given `generation` and the
    grader; the model only decodes.
    """
    pieces = model.pieces(generation.ids)
    text = "".join(pieces)
    steps = split_steps(pieces, splitter)
    texts = step_texts(pieces, steps)
    grade = graded(grader, text, generation.finish, problem, prompt.text)
    return Chain(
        problem_id=problem.id,
        model=writer,
        sample=sample,
        seed=seed,
        prompt=prompt,
        ids=tuple(generation.ids),
        text=text,
        finish=generation.finish,
        steps=steps,
        step_texts=texts,
        answer=grade.answer,
        answer_step=answer_step(texts, grade.answer, problem),
        conclusion=conclusion_step(texts, problem, prompt.text),
        outcome=grade.outcome,
        answer_span=None if grade.span is None else (grade.span.start, grade.span.stop),
        answer_how=grade.how,
        confidence=grade.confidence,
        grader_words=grade.words or grade.reason,
    )


def check_sampling(samples: int, temperature: float, top_p: float, max_tokens: int, splitter: str, batch_size: int) -> None:
    """Raise `SettingError` for settings that make no sense, before any time is spent."""
    for name, value in (("samples", samples), ("max_tokens", max_tokens), ("batch_size", batch_size)):
        if value < 1:
            raise SettingError(f"{name} must be at least 1, and it is {value}")
    if not 0.0 <= temperature < float("inf"):
        raise SettingError(f"temperature must be 0 (greedy) or a positive number, and it is {temperature}")
    if not 0.0 < top_p <= 1.0:
        raise SettingError(f"top_p must be above 0 and at most 1, and it is {top_p}")
    if samples > 1 and temperature == 0:
        raise SettingError(
            f"{samples} samples a problem were asked for at temperature 0, where all of them are equal: "
            "set a temperature such as 0.8, or samples to 1"
        )
    if splitter not in SPLITTERS:
        raise SettingError(f"unknown splitter {splitter!r}{near(splitter, SPLITTERS)}: choose one of {', '.join(SPLITTERS)}")


def sample_chains(
    model: Model,
    task: Task,
    *,
    samples: int = 1,
    seed: int = 0,
    temperature: float = 0.0,
    top_p: float = 1.0,
    max_tokens: int = 512,
    splitter: str = "auto",
    batch_size: int = 8,
    prompts: Mapping[str, Prompt] | None = None,
    writer: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Chain]:
    """Return `samples` chains for each problem of `task`, in task order, samples of one problem side by side.

    Prompts are rendered by `model`, or taken from `prompts` (problem id -> prompt) where two models shall see the same one.
    Batches go longest prompt first, `batch_size` prompts at a time where `model` is no `CachedModel` with a batch size of its
    own; the draw of a chain depends on `seed`, problem id and sample alone. `writer` names the model within the run (its own
    name by default). `on_progress(chains done, chains in all)` is called once at the start and after each batch. Raises
    `SettingError` for settings that make no sense.
    """
    check_sampling(samples, temperature, top_p, max_tokens, splitter, batch_size)
    problems = task.problems
    if prompts is None:
        prompts = {problem.id: task.prompt(model, problem) for problem in problems}
    lacking = [problem.id for problem in problems if problem.id not in prompts]
    if lacking:
        raise SettingError(f"each problem needs a prompt, and {len(lacking)} have none, the first of them {lacking[0]!r}")
    wanted = [(problem, sample) for problem in problems for sample in range(samples)]
    if on_progress is not None:
        on_progress(0, len(wanted))
    cached = as_cached(model, batch_size)
    generations: dict[tuple[str, int], Generation] = {}
    # A task's prompts all end alike, except where problems with and without choices are mixed.
    for stop in dict.fromkeys(prompts[problem.id].stop for problem in problems):
        asked = [(problem, sample) for problem, sample in wanted if prompts[problem.id].stop == stop]
        written = cached.generate(
            [prompts[problem.id].ids for problem, _ in asked],
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            keys=[draw_key(seed, problem.id, sample) for problem, sample in asked],
            until=stop,
            on_progress=on_progress,
        )
        generations.update({(problem.id, sample): one for (problem, sample), one in zip(asked, written, strict=True)})
    return [
        make_chain(
            model,
            problem,
            prompts[problem.id],
            generations[problem.id, sample],
            writer=model.name if writer is None else writer,
            sample=sample,
            seed=seed,
            splitter=splitter,
            grader=task.grader,
        )
        for problem, sample in wanted
    ]
