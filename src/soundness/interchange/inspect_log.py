"""Inspect logs: traces out of `.eval` files, and runs into files that `inspect view` opens."""

from __future__ import annotations

import math
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from soundness.answers.channels import split_channels, with_thinking
from soundness.errors import MissingPackage, TaskError
from soundness.files import make_folder
from soundness.interchange.traces import Imported, short_digest
from soundness.metrics import METRICS
from soundness.records import LETTERS, Chain, Outcome, Problem, Reader, Score
from soundness.runs.folder import Run
from soundness.statistics.paired import by_problem

__all__ = ["export_inspect", "import_inspect"]

_MOST_BYTES = 2 << 30
"""Most bytes of a log once it is unpacked: its reader holds all of it, and two megabytes can hold gigabytes of zeros."""

_HIDDEN = "samples have reasoning that is not in the log (hidden or redacted by the provider)"

_INSTALL = "'soundness[interchange]'"

_OUTCOME = "outcome"
"""Name of the score that says right, wrong or unreadable."""

_SHOWN = (_OUTCOME, "info_gain", "info_gain_over_swap", "filler_reliance", "swap_reliance", "length_tokens")
"""Scores that the viewer's list has columns for from the start."""


def import_inspect(paths: Sequence[str | Path], *, model: str | None = None) -> Imported:
    """Return the traces of Inspect logs; `model` names their writer, by default the model that the log names.

    Epochs are samples of one problem. Reasoning that the log keeps apart becomes a thinking span before the reply; an agent's turns
    are joined. Raises `TaskError` for a file that is no log or too large, and `MissingPackage` without inspect-ai.
    """
    try:
        from inspect_ai.log import read_eval_log
    except ImportError as error:
        raise MissingPackage("inspect-ai", "reading an Inspect log", _INSTALL) from error
    rows: list[dict[str, Any]] = []
    notes: dict[str, None] = {}
    seen: Counter[str] = Counter()
    problems: dict[str, dict[str, Any]] = {}
    for path in map(Path, paths):
        check_size(path)
        try:
            log = read_eval_log(str(path))
        except Exception as error:  # whatever its reader meets: the file is no log of a version it knows
            reason = (str(error).strip().splitlines() or [""])[0][:200]
            raise TaskError(f"{path} cannot be read as an Inspect log ({type(error).__name__}: {reason})") from error
        writer = model or log.eval.model
        lost: Counter[str] = Counter()
        for sample in log.samples or []:
            written = _written(sample, lost)
            if written is None:
                lost["samples have no output (errors or limits) and were left out"] += 1
                continue
            fields = {"question": _question(sample.input), **_answer(sample, lost)}
            problem = f"{log.eval.task}:{sample.id}"
            if problems.setdefault(problem, fields) != fields:  # the task has changed between two logs
                problem = f"{problem}:{short_digest(fields)}"
                problems.setdefault(problem, fields)
            name = f"{problem}:{sample.epoch}:{writer}"
            seen[name] += 1
            name = name if seen[name] == 1 else f"{name}:{seen[name]}"  # the same epoch of another log
            rows.append({"id": name, "problem": problem, **fields, **written, "model": writer})
        notes.update({f"{path.name}: {_counted(what, count)}": None for what, count in lost.items()})
    return Imported(tuple(rows), tuple(notes))


def check_size(path: Path) -> None:
    """Raise TaskError for a log that is missing, or larger than is read here once it is unpacked."""
    try:
        size = path.stat().st_size
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as packed:
                size = sum(part.file_size for part in packed.infolist())
    except FileNotFoundError:
        raise TaskError(f"{path} does not exist; name a log that inspect eval wrote") from None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise TaskError(f"{path} cannot be read as an Inspect log ({str(error).splitlines()[0][:200]})") from None
    if size > _MOST_BYTES:
        raise TaskError(f"{path} unpacks to {size / 1e9:.1f} GB; at most {_MOST_BYTES >> 30} GiB are read here")


def _counted(what: str, count: int) -> str:
    """Return a count and what it counts, "samples" and "have" by their number."""
    return f"{count} {what}" if count != 1 else f"1 {what}".replace("samples have", "sample has").replace("samples", "sample")


def _written(sample: Any, lost: Counter[str]) -> dict[str, Any] | None:
    """Return what a model wrote for a sample and why it ended, or None where it wrote nothing; `lost` counts what is left out."""
    choice = sample.output.choices[0] if sample.output.choices else None
    turns = [choice.message] if choice is not None else []
    asked = [place for place, message in enumerate(sample.messages) if message.role == "user"]
    later = sample.messages[asked[-1] + 1 :] if asked else sample.messages
    said = [message for message in later if message.role == "assistant"]
    if len(said) > 1 or (said and choice is None):
        turns = said  # an agent's turns between the calls of its tools
        results = sum(message.role == "tool" for message in later)
        if results:
            lost["samples are an agent's: its turns are joined, and what its tools returned is left out"] += 1
    if len(asked) > 1 and any(message.role == "assistant" for message in sample.messages[: asked[-1]]):
        lost["samples are conversations: only what was written after the last user message is read"] += 1
    if not turns:
        return None
    parts = [_trace(turn.content) for turn in turns]
    text = "\n\n".join(text for text, _ in parts if text.strip()) if len(parts) > 1 else parts[0][0]
    usage = sample.output.usage
    if not all(whole for _, whole in parts) or (usage and usage.reasoning_tokens and split_channels(text).thinking is None):
        lost[_HIDDEN] += 1
    reason = choice.stop_reason if choice is not None else "unknown"
    if reason == "content_filter":
        lost["samples were ended by a content filter; they count as cut off"] += 1
    cut = reason in ("max_tokens", "model_length", "content_filter") or sample.limit is not None
    return {"trace": text, "finish": "length" if cut else "stop"}


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
    if isinstance(asked, str):
        return asked
    said = [message.text for message in asked if message.role == "user"]
    return "\n\n".join(said) or "\n\n".join(message.text for message in asked)


def _answer(sample: Any, lost: Counter[str]) -> dict[str, Any]:
    """Return options, answer and further answers of a sample: a target is a letter or an option's text, or any of several answers."""
    targets = [sample.target] if isinstance(sample.target, str) else [one for one in sample.target if isinstance(one, str)]
    targets = list(dict.fromkeys(one.strip() for one in targets if one.strip()))
    if not sample.choices:
        return {"answer": targets[0], **({"aliases": targets[1:]} if targets[1:] else {})} if targets else {}
    choices = [str(choice) for choice in sample.choices]
    if not 2 <= len(choices) <= len(LETTERS) or not all(choice.strip() for choice in choices):
        lost["samples have options that cannot be read; they are asked without them and without a reference answer"] += 1
        return {}
    letters = {letter for target in targets if (letter := _letter(target, choices)) is not None}
    row: dict[str, Any] = {"choices": choices}
    if len(letters) == 1:
        row["answer"] = letters.pop()
    elif targets:
        several = "several right options, and a problem has one" if letters else "a target that is none of their options"
        lost[f"samples have {several}; they are kept without a reference answer"] += 1
    return row


def _letter(target: str, choices: Sequence[str]) -> str | None:
    letters = LETTERS[: len(choices)]
    if len(target) == 1 and target in letters:
        return target
    same = [letter for letter, choice in zip(letters, choices, strict=True) if choice.strip().casefold() == target.casefold()]
    if len(same) == 1:
        return same[0]
    return target.upper() if len(target) == 1 and target.upper() in letters else None


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
            # A clock that was set back in between would give a run of negative length.
            stats=EvalStats(started_at=created, completed_at=max(created, str(run.document.get("finished") or created))),
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
