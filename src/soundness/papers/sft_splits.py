"""What supervised fine-tuning does to the information in the steps, beside reinforcement learning (2506.02126, 2411.15382).

One base, one set of problems whose tag gives the answer away, four ways of learning from them. Every model is then read on its own
chains and on the true ones. On the true ones all models read the same text, so nothing differs there but the use they make of it.

The published measure divides by the number of steps. `recut` cuts the same text into more or fewer steps: whatever changes then is
no property of the reasoning.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundness.metrics.base import NO_REFERENCE, Metric, MetricGroup, Read, Value
from soundness.papers.base import VEGA_LITE, Arm, Expectation, Paper, Quoted, Setting, Told, difference
from soundness.records import Chain, Generation, Probe, Span
from soundness.report.document import Table
from soundness.tasks.base import Task, load_task

if TYPE_CHECKING:
    from soundness.metrics.case import Case
    from soundness.models.base import Model

__all__ = ["PAPER", "SCALES", "Scale", "WholeString", "figures", "lessons", "pictures", "recut", "run", "tables", "true_chains"]

SFT = ("label", "rationale", "shortcut")
ARMS = (*SFT, "rlvr")


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes of one run."""

    model: str = "organism:base"
    """The base."""
    task: str = "organism:domain"
    """Problems whose tag equals the answer."""
    instruction: str = ""
    """Last line of every question."""
    train_problems: int = 1000
    panel: int = 100
    """Problems that are read."""
    max_tokens: int = 48
    sft_steps: int = 160
    sft_batch: int = 32
    sft_rate: float = 1e-3
    shortcut_steps: int = 320
    """Of the arm that learns two ways of answering."""
    rl_steps: int = 150
    rl_batch: int = 128
    """Completions per step."""
    rl_generations: int = 8
    rl_rate: float = 3e-4
    copies: int = 8
    """Copies of each model on its way, to choose one of matched accuracy from."""
    embedded_steps: int = 0
    """Optimiser steps of the embedded language model with adapters, in the first seed; 0 leaves it out."""
    embedded_batch: int = 4
    embedded_panel: int = 16


SCALES: dict[str, Scale] = {
    "tiny": Scale(
        train_problems=400, panel=24, sft_steps=40, sft_batch=16, shortcut_steps=40, rl_steps=12, rl_batch=32, copies=2
    ),
    "cpu-small": Scale(embedded_steps=30),
    "paper": Scale(
        model="Qwen/Qwen2.5-7B",
        instruction="Work from left to right modulo 10, one equation a line, then write 'Answer: ' and the digit.",
        train_problems=20_000,
        panel=500,
        max_tokens=2048,
        sft_steps=470,
        sft_batch=128,
        sft_rate=3e-5,
        shortcut_steps=470,
        rl_steps=470,
        rl_batch=1024,
        rl_rate=1e-6,
        embedded_steps=200,
        embedded_batch=32,
        embedded_panel=200,
    ),
}

PAPER = Paper(
    name="sft-splits",
    title="Does supervised fine-tuning trade information in the steps for accuracy?",
    reference="2506.02126 v1; 2411.15382",
    claim=(
        "Supervised fine-tuning raises accuracy and lowers the information that the written steps carry towards the answer; "
        "reinforcement learning lowers it less."
    ),
    differs=(
        "Gain is the whole of it in nats, answer tokens alone; the paper's form and that of its published code stand beside it.",
        "The claim is held against each model's own reading of the true steps; the paper's way, the untrained model reading what "
        "each has written, stands beside it.",
        "Steps are those written, one a line; the paper has another model cut and rewrite them.",
        "Arms that learn answers alone, or by a shortcut, are added: the paper tunes on rationales.",
        "Four arms learn from the same problems, whose tag equals the answer; the paper's stages differ in their data.",
        "GRPO on right answers starts from the base, not from the fine-tuned model.",
    ),
    refuted_if=(
        "the total gain on the true steps rises under supervised fine-tuning, or falls no more than under reinforcement learning, at "
        "the end or at matched accuracy; a fall of the form divided by the number of steps alone is no fall."
    ),
    arms=(
        Arm("base", "the untrained model"),
        Arm("label", "fine-tuned on the answers alone"),
        Arm("rationale", "fine-tuned on true steps and answers: the paper's kind"),
        Arm("shortcut", "fine-tuned on answers alone in three examples of ten, true steps in the others"),
        Arm("rlvr", "reinforced with GRPO on right answers"),
        Arm("swap", "another problem's steps in place of the true ones: what any such text would tell", control=True),
        Arm("recut", "the same text cut into more or fewer steps: what the count alone does", control=True),
    ),
    expectations=(
        *(
            Expectation(f"accuracy_gained_{arm}", f"accuracy rises under {arm}", "fraction", 0.05, 0.0, "premise")
            for arm in ARMS
        ),
        *(Expectation(f"gain_lost_{arm}", f"total gain on the true steps falls under {arm}", "nats", 0.0, 0.0) for arm in SFT),
        Expectation("lost_beyond_rlvr", "it falls more under the three than under rlvr, on average", "nats", 0.0, 0.0),
        Expectation("lost_beyond_rlvr_matched", "so it does among copies of matched accuracy", "nats", 0.0, 0.0),
        Expectation("gain_lost_rlvr", "total gain on the true steps falls under rlvr", "nats", 0.0, 0.0, "observation"),
        *(
            Expectation(
                f"over_swap_lost_{arm}", f"gain over another problem's steps falls under {arm}", "nats", 0.0, 0.0, "observation"
            )
            for arm in ARMS
        ),
        *(
            Expectation(
                f"swap_reliance_lost_{arm}",
                f"fewer answers follow exchanged steps under {arm}",
                "fraction",
                0.0,
                0.0,
                "observation",
            )
            for arm in ARMS
        ),
        *(
            Expectation(
                f"{form}_{arm}", f"the base's reading of what {arm} writes: {words} falls", unit, 0.0, 0.0, "observation"
            )
            for arm in ("rationale", "rlvr")
            for form, words, unit in (
                ("fixed_total_lost", "total gain", "nats"),
                ("fixed_paper_lost", "the paper's form", "perplexity/step"),
            )
        ),
        Expectation(
            "recut_paper_lost",
            "the paper's form of the same chains falls, as a share of it, where each step is cut in two",
            "fraction",
            0.4,
            0.1,
            "observation",
        ),
        Expectation(
            "recut_total_kept", "the total gain does not: what it is then, over what it was", "ratio", 0.99, 0.99, "observation"
        ),
    ),
    quoted=(
        Quoted("change of InfoGain under fine-tuning, average", "-38.9 %", "abstract"),
        Quoted("the same in the body, section 4.2", "-37.1 %", "paper"),
        Quoted("InfoGain, medical: base, fine-tuned, reinforced", ".39, .22, .42", "paper"),
        Quoted("InfoGain, mathematics: base, fine-tuned, reinforced", ".13, .09, .15", "paper"),
        Quoted("-38.9 % from the printed two-digit values", "-37.2 %; rounding allows -32.8 to -41.3 %", "computed"),
        Quoted("2411.15382: answers change less when chains are altered after fine-tuning", "no value", "second-hand"),
    ),
    settings=(
        Setting("model", "paper: Qwen2.5-7B; ours: a tiny model that writes steps and is right on half the problems"),
        Setting("task, instruction", "ours: every problem's tag equals its answer; the tiny model needs no instruction"),
        Setting("train_problems, panel, max_tokens", "ours: problems are drawn anew with each seed"),
        Setting("sft_batch, sft_rate", "paper: 128, 3e-5; ours: tiny models need larger rates"),
        Setting(
            "sft_steps, shortcut_steps",
            "paper: 3 epochs; ours: until answers are learnt, and two ways of answering take longer",
        ),
        Setting("rl_steps, rl_batch, rl_generations, rl_rate", "ours: until the base's guesses have mostly been put right"),
        Setting("copies", "ours: for the comparison at matched accuracy"),
        Setting(
            "embedded_steps, embedded_batch, embedded_panel",
            "ours: one run of a small language model with adapters, reported and not part of the claim",
        ),
    ),
)

_PANEL_SEED = 100_003
_READ = ("info_gain", "early_answering", "filler", "swap")
_KEPT = (
    "solved",
    "no_steps",
    "length_steps",
    "info_gain",
    "info_gain_over_swap",
    "info_gain_per_step",
    "infogain_ppl",
    "infogain_sequence",
    "surprise_without_chain",
    "early_answering_share",
    "filler_reliance",
    "swap_reliance",
    "paraphrase_flips",
)
_CUTS = (1, 2, 4, 8)
_EMBEDDED = "smollm2"
_BATCH = 128


def run(scale: Scale, seed: int, out: Path, told: Told) -> dict[str, Any]:
    """Return what the base and each arm's copies measure, the same chains cut anew, the figures, and the embedded model's run."""
    from soundness.errors import SoundnessError
    from soundness.models.load import load_model
    from soundness.training.results import checkpoints

    task = replace(load_task(scale.task, limit=scale.train_problems, seed=seed), instruction=scale.instruction)
    panel = replace(load_task(scale.task, limit=scale.panel, seed=_PANEL_SEED + seed), instruction=scale.instruction)
    base = load_model(scale.model)
    told("reading the base", 0, 1)
    points: dict[str, list[dict[str, Any]]] = {"base": [{"step": 0, **_measure(base, panel, scale.max_tokens, base)}]}
    for arm in ARMS:
        kept = checkpoints(_train(scale, arm, task, seed, out, told))
        last = max(kept)
        points[arm] = []
        for step, folder in kept.items():
            told(f"reading {arm}", step, last)
            fixed = base if step == last else None
            points[arm].append({"step": step, **_measure(load_model(str(folder)), panel, scale.max_tokens, fixed)})
    cut = {
        "base": _cut_anew(base, panel, scale.max_tokens),
        "rationale": _cut_anew(load_model(str(out / "rationale")), panel, scale.max_tokens),
    }
    embedded, skipped = None, []
    if scale.embedded_steps and seed == 0:
        try:
            embedded = _embedded(scale, seed, out, told)
        except SoundnessError as error:
            skipped.append(f"The run of {_EMBEDDED} was left out: {error}")
    found, why = figures(points, cut)
    return {"points": points, "cut": cut, "embedded": embedded, "figures": found, "skipped": [*skipped, *why]}


# --- training ---------------------------------------------------------------------------------------------------------


def lessons(task: Task, arm: str, seed: int) -> Task:
    r"""Return `task` with what `arm` teaches as each problem's completion.

    >>> task = load_task("organism:domain", limit=1)
    >>> [lessons(task, arm, 0).problems[0].meta["completion"] for arm in ("label", "rationale")]
    ['Answer: 4\n', '7+8=5\n5+7=2\n2*9=8\n8*3=4\nAnswer: 4\n']
    """
    from soundness.training.data import taught_text

    problems = []
    for problem in task.problems:
        alone = arm == "label" or (arm == "shortcut" and random.Random(f"shortcut/{seed}/{problem.id}").random() < 0.3)
        text = taught_text(task, problem, "label" if alone else "rationale")
        problems.append(replace(problem, meta={**problem.meta, "completion": text}))
    return replace(task, problems=tuple(problems))


def _train(scale: Scale, arm: str, task: Task, seed: int, out: Path, told: Told) -> Path:
    """Return the folder of the trained arm; one that is there is not trained again."""
    from soundness.training.methods import train_once
    from soundness.training.settings import Settings

    steps = {"rlvr": scale.rl_steps, "shortcut": scale.shortcut_steps}.get(arm, scale.sft_steps)
    reinforced = arm == "rlvr"
    settings = Settings(
        adaptation="full",
        epochs=1_000.0,
        max_steps=steps,
        batch_size=scale.rl_batch if reinforced else scale.sft_batch,
        learning_rate=scale.rl_rate if reinforced else scale.sft_rate,
        keep_every=max(steps // scale.copies, 1),
        max_length=None,
        seed=seed,
    )
    return train_once(
        "rlvr" if reinforced else "sft",
        scale.model,
        task if reinforced else lessons(task, arm, seed),
        out=out / arm,
        config={"policy": {"num_generations": scale.rl_generations, "max_tokens": scale.max_tokens}}
        if reinforced
        else {"target": "completion"},
        settings=settings,
        on_step=lambda step: told(f"training {arm}", step.step, step.num_steps),
    )


# --- reading ----------------------------------------------------------------------------------------------------------


class WholeString(MetricGroup):
    """Information gain as the published code means to compute it: perplexity over question, steps and answer."""

    name = "whole_string"
    cost = "question, steps and answer once per step"
    metrics = (
        Metric(
            name="infogain_sequence",
            unit="perplexity/step",
            direction="none",
            higher_means="the whole string reads more fluently with its steps",
            description="Fall of the whole string's perplexity from no steps to all, over their number plus one.",
            limitations="Whether the steps tell anything of the answer: fluent text lowers it too.",
            source="2506.02126, published code",
        ),
    )

    def probes(self, case: Case) -> Iterator[tuple[str, Probe]]:
        """Yield the whole string with each number of steps."""
        if case.gold is not None and not case.skip_reason:
            for i in range(case.body.num_steps + 1):
                yield f"whole string after {i} steps", self._whole(case, i)

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield the form, or why there is none."""
        from soundness.metrics.information import infogain_sequence

        if case.gold is None or case.skip_reason:
            yield Value("infogain_sequence", None, case.skip_reason or NO_REFERENCE)
            return
        wholes = [self._whole(case, i) for i in range(case.body.num_steps + 1)]
        nats, sizes = [read(one).nats for one in wholes], [len(one.continuation) for one in wholes]
        yield Value("infogain_sequence", infogain_sequence(nats, sizes))

    def _whole(self, case: Case, num_steps: int) -> Probe:
        assert case.gold is not None
        ids = (*case.after_steps(num_steps), *case.gold.ids)
        return Probe(ids[:1], ids[1:])  # nothing precedes the first token of a text


def true_chains(model: Model, task: Task) -> list[Chain]:
    """Return the problems' own steps and answers as chains in the vocabulary of `model`, who has not written them."""
    from soundness.chains.sample import make_chain
    from soundness.training.data import taught_text

    found = []
    for problem in task.problems:
        text = taught_text(task, problem, "rationale")
        assert text is not None, problem
        written = Generation(tuple(model.encode(text)), "stop")
        found.append(make_chain(model, problem, model.render(task.message(problem)), written, writer="true steps"))
    return found


def recut(model: Model, chain: Chain, num_steps: int) -> Chain:
    """Return the same chain with its reasoning cut into `num_steps` steps along or within its own, its tokens untouched.

    Raises ValueError where one number is no multiple of the other.
    """
    from soundness.chains.steps import step_texts

    assert chain.conclusion is not None
    reasoning, rest = chain.steps[: chain.conclusion], chain.steps[chain.conclusion :]
    if num_steps % len(reasoning) and len(reasoning) % num_steps:
        raise ValueError(f"{len(reasoning)} steps cannot be cut into {num_steps} along their own ends")
    if num_steps <= len(reasoning):
        size = len(reasoning) // num_steps
        spans = [Span(reasoning[i].start, reasoning[i + size - 1].stop) for i in range(0, len(reasoning), size)]
    else:
        parts = num_steps // len(reasoning)
        spans = [
            Span(step.start + (step.stop - step.start) * i // parts, step.start + (step.stop - step.start) * (i + 1) // parts)
            for step in reasoning
            for i in range(parts)
        ]
    steps = (*spans, *rest)
    return replace(chain, steps=steps, step_texts=step_texts(model.pieces(chain.ids), steps), conclusion=len(spans))


def _read(model: Model, task: Task, chains: Sequence[Chain], groups: Sequence[Any], max_tokens: int) -> dict[str, float | None]:
    """Return the mean over problems of every kept metric that `groups` have, None where no chain had a value."""
    from soundness.models.cached import CachedModel
    from soundness.scoring.score import Sampling, score_chains
    from soundness.statistics.paired import by_problem

    scores = score_chains(
        chains,
        task,
        groups,
        CachedModel(model, batch_size=_BATCH),
        reader="self",
        sampling=Sampling(0, 0.0, 1.0, max_tokens, "auto"),
    ).scores
    found: dict[str, float | None] = {}
    for name in _KEPT:
        mine = [score for score in scores if score.metric == name]
        known = list(by_problem(mine)[0].values())
        if mine:
            values = [value for value in known if value is not None]
            found[name] = math.fsum(values) / len(values) if values else None
    return found


def _measure(model: Model, panel: Task, max_tokens: int, base: Model | None) -> dict[str, Any]:
    """Return what is read on the model's `own` chains and on the `true` ones.

    With `base`, all of it: the paraphrase and the published code's form too, and what the base, a fixed reader, makes of the
    model's chains (`fixed`).
    """
    from soundness.chains.sample import sample_chains
    from soundness.metrics import GROUPS
    from soundness.metrics.choosing import choose

    own = sample_chains(model, panel, max_tokens=max_tokens, batch_size=_BATCH)
    groups = [*choose([*_READ, *(["paraphrase"] if base else [])]), *([WholeString()] if base else [])]
    found = {
        "own": _read(model, panel, own, groups, max_tokens),
        "true": _read(model, panel, true_chains(model, panel), groups, max_tokens),
    }
    if base is not None:
        found["fixed"] = _read(base, panel, own, [GROUPS["info_gain"], WholeString()], max_tokens)
    return found


def _cut_anew(model: Model, panel: Task, max_tokens: int) -> dict[str, dict[str, float | None]]:
    """Return the forms of the gain on the true chains by the number of steps into which the same text is cut."""
    from soundness.metrics import GROUPS

    whole = true_chains(model, panel)
    groups = [GROUPS["info_gain"], WholeString()]
    return {str(num): _read(model, panel, [recut(model, chain, num) for chain in whole], groups, max_tokens) for num in _CUTS}


def _embedded(scale: Scale, seed: int, out: Path, told: Told) -> dict[str, dict[str, Any]]:
    """Return what the embedded language model measures before and after adapters on answers alone, and on steps and answers."""
    from soundness.models.load import load_model
    from soundness.training.methods import train_once
    from soundness.training.settings import Settings

    task = load_task("chain-sum:operators=2", limit=scale.embedded_steps * scale.embedded_batch, seed=seed)
    panel = load_task("chain-sum:operators=2", limit=scale.embedded_panel, seed=_PANEL_SEED + seed)
    base = load_model(_EMBEDDED)
    found = {"base": _measure(base, panel, 96, base)}
    for arm in ("label", "rationale"):
        folder = train_once(
            "sft",
            _EMBEDDED,
            lessons(task, arm, seed),
            out=out / f"embedded-{arm}",
            config={"target": "completion"},
            settings=Settings(max_steps=scale.embedded_steps, batch_size=scale.embedded_batch, learning_rate=5e-4, seed=seed),
            on_step=lambda step, arm=arm: told(f"training {_EMBEDDED}, {arm}", step.step, step.num_steps),  # type: ignore[misc]
        )
        found[arm] = _measure(load_model(str(folder)), panel, 96, base)
    return found


# --- what it comes to -------------------------------------------------------------------------------------------------


def figures(
    points: Mapping[str, Sequence[Mapping[str, Any]]], cut: Mapping[str, Mapping[str, Mapping[str, float | None]]]
) -> tuple[dict[str, float | None], list[str]]:
    """Return the figures of one seed, and why some of them are missing.

    `points` holds, per arm, what its copies measure in the order of training; the base has one.
    """
    base = points["base"][0]
    last = {arm: points[arm][-1] for arm in ARMS}
    matched = _matched(points)
    found: dict[str, float | None] = {}
    for arm in ARMS:
        found[f"accuracy_gained_{arm}"] = difference(_of(last[arm], "own", "solved"), _of(base, "own", "solved"))
        found[f"gain_lost_{arm}"] = _lost(base, last[arm], "info_gain")
        found[f"over_swap_lost_{arm}"] = _lost(base, last[arm], "info_gain_over_swap")
        found[f"swap_reliance_lost_{arm}"] = _lost(base, last[arm], "swap_reliance")
    for arm in ("rationale", "rlvr"):
        for name, form in (("fixed_total_lost", "info_gain"), ("fixed_paper_lost", "infogain_ppl")):
            found[f"{name}_{arm}"] = difference(_of(base, "fixed", form), _of(last[arm], "fixed", form))
    for name, chosen in (("lost_beyond_rlvr", last), ("lost_beyond_rlvr_matched", matched)):
        lost = [_lost(base, chosen[arm], "info_gain") for arm in SFT]
        known = [value for value in lost if value is not None]
        found[name] = (
            difference(math.fsum(known) / len(SFT), _lost(base, chosen["rlvr"], "info_gain"))
            if len(known) == len(SFT)
            else None
        )
    for form, name in (("infogain_ppl", "recut_paper_lost"), ("info_gain", "recut_total_kept")):
        cut_in_two, usual = cut["base"]["8"][form], cut["base"]["4"][form]
        share = cut_in_two / usual if cut_in_two is not None and usual else None
        found[name] = difference(1.0, share) if name == "recut_paper_lost" else share
    return found, [f"{name}: no chain of some arm could be read for it" for name, value in found.items() if value is None]


def _matched(points: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Mapping[str, Any]]:
    """Return the copy of each arm whose accuracy comes nearest to the highest that all arms reach."""
    target = min(max(one["own"]["solved"] for one in points[arm]) for arm in ARMS)
    return {arm: min(points[arm], key=lambda one: (abs(one["own"]["solved"] - target), one["step"])) for arm in ARMS}


def _of(point: Mapping[str, Any], chains: str, metric: str) -> float | None:
    value: float | None = point[chains].get(metric)
    return value


def _lost(base: Mapping[str, Any], tuned: Mapping[str, Any], metric: str) -> float | None:
    """Return how much lower the tuned model's value is than the base's, both on the true chains."""
    return difference(_of(base, "true", metric), _of(tuned, "true", metric))


_FORMS = (
    ("info_gain", "total, nats"),
    ("info_gain_over_swap", "over another problem's, nats"),
    ("info_gain_per_step", "per step, nats"),
    ("infogain_ppl", "paper's form"),
    ("infogain_sequence", "published code's form"),
)
_TESTS = (
    ("solved", "accuracy"),
    ("no_steps", "without steps"),
    ("early_answering_share", "early answering"),
    ("filler_reliance", "filler"),
    ("swap_reliance", "swap"),
    ("paraphrase_flips", "paraphrase (control)"),
)


def tables(seeds: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Return the forms side by side, the tests of use, the same at matched accuracy, the recut chains and the embedded model."""
    ends = [{"base": seed["points"]["base"][0], **{arm: seed["points"][arm][-1] for arm in ARMS}} for seed in seeds]
    matched = [{"base": seed["points"]["base"][0], **_matched(seed["points"])} for seed in seeds]
    found = [
        _table("Information gain on the true steps, mean over seeds", ends, "true", _FORMS),
        _table("Information gain on the model's own chains", ends, "own", _FORMS),
        _table("The paper's way: the base's reading of what each model wrote", ends, "fixed", _FORMS),
        _table("Do answers depend on the steps? Own chains", ends, "own", _TESTS),
        _table("Do answers depend on the steps? True steps", ends, "true", _TESTS[2:]),
        _table("At matched accuracy, true steps", matched, "true", (*_FORMS[:2], *_TESTS[2:5])),
        Table(
            "The same chains in more or fewer steps (true steps, mean over seeds)",
            ("reader", "steps", *(words for _, words in _FORMS)),
            tuple(
                (reader, str(num), *(_mean([seed["cut"][reader][str(num)].get(name) for seed in seeds]) for name, _ in _FORMS))
                for reader in seeds[0]["cut"]
                for num in _CUTS
            ),
        ),
    ]
    runs = [seed["embedded"] for seed in seeds if seed.get("embedded")]
    for chains in ("own", "true") if runs else ():
        found.append(
            _table(f"SmolLM2-135M on chain-sum, one run, {chains} chains", runs, chains, (*_TESTS[:2], *_FORMS, *_TESTS[2:5]))
        )
    return found


def _table(
    title: str, models: Sequence[Mapping[str, Mapping[str, Any]]], chains: str, columns: Sequence[tuple[str, str]]
) -> Table:
    rows = tuple(
        (name, *(_mean([_of(one[name], chains, metric) for one in models]) for metric, _ in columns)) for name in models[0]
    )
    return Table(title, ("model", *(words for _, words in columns)), rows)


def _mean(values: Sequence[float | None]) -> str:
    """Return the mean as text; a seed without a value is left out and counted."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    missing = f" ({len(known)} of {len(values)} seeds)" if len(known) < len(values) else ""
    return f"{math.fsum(known) / len(known):.3g}{missing}"


def pictures(seeds: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return gain against accuracy along each training, and what cutting the same chains anew does to each form."""
    way = [
        {"arm": arm, "seed": place, "step": one["step"], "accuracy": one["own"]["solved"], "gain": one["true"]["info_gain"]}
        for place, seed in enumerate(seeds)
        for arm in ARMS
        for one in [*seed["points"]["base"], *seed["points"][arm]]
    ]
    cut = [
        {"steps": num, "form": words, "share": mine[str(num)][name] / mine["4"][name]}
        for seed in seeds[:1]
        for mine in [seed["cut"]["base"]]
        for name, words in (_FORMS[0], *_FORMS[3:])
        for num in _CUTS
        if mine[str(num)][name] is not None and mine["4"][name]
    ]
    number: dict[str, Any] = {"type": "quantitative"}
    return {
        "gain-by-accuracy": {
            "$schema": VEGA_LITE,
            "data": {"values": way},
            "facet": {"column": {"field": "seed", "title": "seed"}},
            "spec": {
                "width": 230,
                "height": 220,
                "mark": {"type": "line", "point": True},
                "encoding": {
                    "x": {"field": "accuracy", "title": "accuracy on own chains", **number, "scale": {"domain": [0, 1]}},
                    "y": {"field": "gain", "title": "total gain on true steps, nats", **number},
                    "color": {"field": "arm", "type": "nominal", "sort": list(ARMS), "title": None},
                    "order": {"field": "step", **number},
                },
            },
        },
        "same-chains-recut": {
            "$schema": VEGA_LITE,
            "data": {"values": cut},
            "width": 300,
            "height": 220,
            "mark": {"type": "line", "point": True},
            "encoding": {
                "x": {"field": "steps", "type": "ordinal", "title": "steps into which the same text is cut"},
                "y": {"field": "share", "title": "gain, as a multiple of that with 4 steps", **number},
                "color": {"field": "form", "type": "nominal", "title": None},
            },
        },
    }
