"""Inspect logs: traces out of `.eval` files, and runs into files that `inspect view` opens."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from soundness.answers.channels import split_channels, with_thinking
from soundness.errors import MissingPackage, TaskError
from soundness.files import make_folder
from soundness.interchange.traces import Imported, unique
from soundness.metrics import METRICS
from soundness.records import LETTERS, Chain, Outcome, Problem, Reader, Score
from soundness.runs.folder import Run
from soundness.statistics.paired import by_problem

__all__ = ["export_inspect", "import_inspect"]

_INSTALL = "'soundness[interchange]'"

_OUTCOME = "outcome"
"""Name of the score that says right, wrong or unreadable."""

_SHOWN = (_OUTCOME, "info_gain", "info_gain_over_swap", "filler_reliance", "swap_reliance", "length_tokens")
"""Scores that the viewer's list has columns for from the start."""


def import_inspect(paths: Sequence[str | Path], *, model: str | None = None) -> Imported:
    """Return the traces of Inspect logs; `model` names their writer, by default the model that the log names.

    Reasoning that the log keeps apart becomes a thinking span before the reply. Raises `TaskError` for a file that is no log, and
    `MissingPackage` without inspect-ai.
    """
    try:
        from inspect_ai.log import read_eval_log
    except ImportError as error:
        raise MissingPackage("inspect-ai", "reading an Inspect log", _INSTALL) from error
    rows: list[dict[str, Any]] = []
    notes: dict[str, None] = {}
    for path in map(Path, paths):
        if not path.is_file():
            raise TaskError(f"{path} does not exist; name a log that inspect eval wrote")
        try:
            log = read_eval_log(str(path))
        except Exception as error:  # whatever its reader meets: the file is no log of a version it knows
            raise TaskError(f"{path} cannot be read as an Inspect log ({type(error).__name__}: {error})") from error
        writer = model or log.eval.model
        hidden = failed = 0
        for sample in log.samples or []:
            message = sample.output.choices[0].message if sample.output.choices else None
            if message is None:
                failed += 1
                continue
            trace, kept = _trace(message.content)
            usage = sample.output.usage
            hidden += not kept or bool(usage and usage.reasoning_tokens and split_channels(trace).thinking is None)
            rows.append(
                {
                    "id": f"{log.eval.task}:{sample.id}:{sample.epoch}:{writer}",
                    "question": _question(sample.input),
                    **_answer(sample.target, sample.choices),
                    "trace": trace,
                    "model": writer,
                    "finish": "length" if sample.output.choices[0].stop_reason in ("max_tokens", "model_length") else "stop",
                }
            )
        if hidden:
            notes[f"{path.name}: the reasoning of {hidden} samples is not in the log (hidden or redacted by the provider)"] = (
                None
            )
        if failed:
            notes[f"{path.name}: {failed} samples have no output (errors or limits) and were left out"] = None
    return Imported(unique(rows), tuple(notes))


def _trace(content: Any) -> tuple[str, bool]:
    """Return the text of a reply, its reasoning in a thinking span first, and whether all of the reasoning is there."""
    if isinstance(content, str):
        return content, True
    thought = [part for part in content if part.type == "reasoning"]
    text = "".join(part.text for part in content if part.type == "text")
    readable = [part.reasoning for part in thought if part.reasoning and not part.redacted]
    whole = len(readable) == len(thought)
    return with_thinking("".join(readable), text), whole


def _question(asked: Any) -> str:
    return asked if isinstance(asked, str) else "\n\n".join(message.text for message in asked if message.role == "user")


def _answer(target: Any, choices: Sequence[str] | None) -> dict[str, Any]:
    wanted = target if isinstance(target, str) else (target[0] if len(target) == 1 else None)
    row: dict[str, Any] = {} if not wanted else {"answer": wanted}
    if choices and wanted and wanted in LETTERS[: len(choices)]:
        row["choices"] = list(choices)
    return row


def export_inspect(run: Run, out: str | Path) -> list[Path]:
    """Write one Inspect log per model of `run` to the folder `out` and return their paths.

    Each chain is a sample (further chains of a problem are epochs) with its outcome and its scores; steps lie in the metadata.
    The log's results are means over problems. It asks the viewer to show texts as they are: as Markdown, `2*3*4` would lose its
    stars. Raises `MissingPackage` without inspect-ai.
    """
    try:
        from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalSample, EvalSpec, EvalStats, write_eval_log
        from inspect_ai.model import ChatMessageUser, ModelOutput
        from inspect_ai.scorer import Score as InspectScore
    except ImportError as error:
        raise MissingPackage("inspect-ai", "writing an Inspect log", _INSTALL) from error
    folder = make_folder(out)
    problems = {problem.id: problem for problem in run.problems()}
    scores: dict[str, list[Score]] = defaultdict(list)
    for score in run.scores():
        if score.reader in ("self", "-"):
            scores[score.writer].append(score)
    chains: dict[str, list[Chain]] = defaultdict(list)
    for chain in run.chains():
        chains[chain.model].append(chain)
    created = str(run.document["created"])
    paths = []
    for place, (model, written) in enumerate(chains.items()):
        of_chain: dict[tuple[str, int], dict[str, float]] = defaultdict(dict)
        for score in scores[model]:
            if score.value is not None:
                of_chain[score.problem_id, score.sample][score.metric] = score.value
        samples = []
        for chain in written:
            problem = problems[chain.problem_id]
            reply = ModelOutput.from_content(model, chain.text, "stop" if chain.finish == "stop" else "max_tokens")
            outcome = InspectScore(value=_value(chain.outcome), answer=chain.answer, explanation=_words(chain, problem))
            measured = of_chain[problem.id, chain.sample]
            samples.append(
                EvalSample(
                    id=problem.id,
                    epoch=chain.sample + 1,
                    input=problem.question,
                    choices=list(problem.choices) if problem.choices else None,
                    target=problem.answer or "",
                    messages=[ChatMessageUser(content=chain.prompt.text), reply.choices[0].message],
                    output=reply,
                    scores={
                        _OUTCOME: outcome,
                        **{name: InspectScore(value=value, explanation=_unit(name)) for name, value in measured.items()},
                    },
                    metadata={"steps": list(chain.step_texts), "finish": chain.finish},
                )
            )
        epochs = max(chain.sample for chain in written) + 1
        task = str(run.settings.get("task", "soundness"))
        spec = EvalSpec(
            created=created,
            run_id=_id(created, task),
            task=task,
            task_id=_id(created, task, model),
            dataset=EvalDataset(name=task, samples=len({chain.problem_id for chain in written})),
            model=model,
            config=EvalConfig(epochs=epochs),
            viewer=_viewer(dict.fromkeys(name for measured in of_chain.values() for name in measured), epochs),
        )
        log = EvalLog(
            eval=spec,
            status="success",
            stats=EvalStats(started_at=created, completed_at=str(run.document.get("finished") or created)),
            results=_results(written, scores[model]),
            samples=samples,
        )
        safe = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in model)[:100]
        path = folder / f"{place}_{safe}.eval"
        write_eval_log(log, str(path))
        paths.append(path)
    return paths


def _results(written: Sequence[Chain], scores: Sequence[Score]) -> Any:
    """Return the share of problems solved first, then each measure's mean over the problems that have one."""
    from inspect_ai.log import EvalMetric, EvalResults, EvalScore

    kept: dict[str, list[Score]] = defaultdict(list)
    for chain in written:
        if chain.outcome is not None:
            value = float(chain.outcome is Outcome.RIGHT)
            kept[_OUTCOME].append(Score(_OUTCOME, chain.problem_id, chain.sample, chain.model, Reader.NOBODY, value))
    for score in scores:
        kept[score.metric].append(score)
    found = []
    for name, ones in kept.items():
        known = [value for value in by_problem(ones)[0].values() if value is not None]
        if not known:
            continue
        metric = "accuracy" if name == _OUTCOME else "mean"
        num_scored = sum(one.value is not None for one in ones)
        found.append(
            EvalScore(
                name=name,
                scorer=name,
                scored_samples=num_scored,
                unscored_samples=len(written) - num_scored,
                metrics={metric: EvalMetric(name=metric, value=math.fsum(known) / len(known))},
            )
        )
    return EvalResults(total_samples=len(written), completed_samples=len(written), scores=found)


def _id(*parts: str) -> str:
    return blake2b("\n".join(parts).encode(), digest_size=11).hexdigest()


def _unit(metric: str) -> str | None:
    return METRICS[metric].unit if metric in METRICS else None


def _viewer(measures: Iterable[str], epochs: int) -> Any:
    """Return how `inspect view` lists the samples: a few of the measures first, the others one click away."""
    from inspect_ai.viewer import SampleScoreView, TaskSamplesColumn, TaskSamplesView, ViewerConfig

    shown = ["sampleId", *(["epoch"] if epochs > 1 else []), "input", "target", "answer"]
    columns = [TaskSamplesColumn(id=name) for name in shown]
    scores = (_OUTCOME, *sorted(measures, key=lambda name: name not in _SHOWN))
    columns += [TaskSamplesColumn.score(name, visible=name in _SHOWN) for name in scores]
    view = TaskSamplesView(
        name="soundness", columns=columns, multiline=False, score_labels={name: name.replace("_", " ") for name in scores}
    )
    return ViewerConfig(trust_content=False, sample_score_view=SampleScoreView(default="grid"), task_samples_view=view)


def _value(outcome: Outcome | None) -> str:
    """Return an outcome in Inspect's letters: correct, incorrect, no answer."""
    return {Outcome.RIGHT: "C", Outcome.WRONG: "I"}.get(outcome, "N") if outcome is not None else "N"


def _words(chain: Chain, problem: Problem) -> str:
    outcome = chain.outcome.value.replace("_", " ") if chain.outcome else "not graded"
    return f"{outcome}; reference {problem.answer_text}" if problem.answer is not None else outcome
