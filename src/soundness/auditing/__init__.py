"""The audit: base against tuned on the same problems, from sampling to verdict.

problems -> chains (each model writes) -> readings (each model reads its own chains, the base reads all, all read the base's)
         -> scores (one per chain and metric) -> comparisons (paired by problem) -> verdicts
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from soundness.auditing.results import compare_models, estimate_writers
from soundness.auditing.rounds import OnScored, Rounds
from soundness.auditing.setup import prepare_audit, prepare_score, sort_options
from soundness.models.base import Model
from soundness.models.options import LoadOptions
from soundness.progress import Progress, silent
from soundness.runs.folder import Run
from soundness.runs.settings import GROWING
from soundness.scoring.options import Measuring, SamplingOptions

__all__ = ["OnScored", "audit", "score"]


def audit(
    base: str | Model,
    tuned: Sequence[str | Model] | str | Model,
    task: Any,
    *,
    out: str | Path,
    limit: int | None = None,
    sampling: SamplingOptions | None = None,
    measuring: Measuring | None = None,
    loading: LoadOptions | None = None,
    vary: str | None = None,
    on_progress: Progress | None = None,
    on_scored: OnScored | None = None,
    **options: Any,
) -> Run:
    """Return the run that compares each of `tuned` with `base` on `task`; everything is kept in the folder `out`.

    Models are specifications, models of ours, or transformers modules with their tokenizer as `(module, tokenizer)`; a task is a
    specification, a file, rows, or a `Task`. Options are fields of `SamplingOptions`, `Measuring`, `Prompting` and `LoadOptions`,
    given by name (`max_tokens=1024, profile="quick", dtype="bfloat16"`) or as these objects. `vary` names a variable of the chat
    template and its values, as `enable_thinking=true,false`: base and tuned, which may be one model, are asked with one each.

    A folder that holds a run with the same settings is resumed: what is stored is not computed again, and samples, problems,
    metrics and tuned models may grow. Raises a `SoundnessError` for whatever the user can mend.
    """
    groups = sort_options(options, sampling=sampling, measuring=measuring, loading=loading)
    setup = prepare_audit(base, tuned, task, groups, limit=limit, vary=vary)
    growing = (*GROWING, "readers")
    with Run.create_or_resume(out, setup.settings, growing=growing, first_problems=setup.first_problems) as run:
        if run.finished and not setup.has_own_metrics:  # the results are there, of these settings and this code
            return run
        rounds = Rounds(setup.grown(run), run, on_progress or silent, on_scored)
        rounds.write_chains()
        rounds.read_chains()
        rounds.measure_noise_floor()
        rounds.ask_beyond()
        compare_models(rounds)
    return run


def score(
    traces: str | Path,
    *,
    scorer: str | Model,
    out: str | Path,
    limit: int | None = None,
    sampling: SamplingOptions | None = None,
    measuring: Measuring | None = None,
    loading: LoadOptions | None = None,
    on_progress: Progress | None = None,
    **options: Any,
) -> Run:
    """Return the run in which `scorer` reads the chains that other models wrote, from the JSON Lines file `traces`.

    Every writer in the file gets its estimates (`run.estimates`); the scorer is a fixed yardstick, so reliance is the scorer's
    reliance on the chain, and no verdict is given. A chain of a problem without reference answer is read towards its own. Options are
    those of `audit`.
    """
    groups = sort_options(options, sampling=sampling, measuring=measuring, loading=loading)
    setup, imported = prepare_score(traces, scorer, groups, limit=limit)
    with Run.create_or_resume(out, setup.settings, first_problems=setup.first_problems) as run:
        if run.finished and not setup.has_own_metrics:
            return run
        rounds = Rounds(setup.grown(run), run, on_progress or silent, None)
        rounds.read_imported(imported)
        estimate_writers(rounds)
    return run
