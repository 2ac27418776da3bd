"""The audit on planted truth, and on folders: killed, resumed, extended, refused, shared."""

from __future__ import annotations

import json
import math
import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest

from soundness.auditing import audit, score
from soundness.errors import MetricError, RunError, SettingError
from soundness.models.scripted import ScriptedModel, load_scripted
from soundness.records import Problem, Word
from soundness.runs.folder import open_run
from soundness.tasks.base import Task, load_task

RELIANCE = (
    "early_answering",
    "stable_fraction",
    "changes_without_chain",
    "filler_reliance",
    "swap_reliance",
    "mistake_reliance",
    "mistake_regenerated",
)
GROUPS = ["accuracy", "info_gain", "early_answering", "filler", "swap", "mistake", "mistake_regenerated", "length"]


def run_on(tmp_path, base="scripted:computes", tuned=("scripted:ignores-chain",), task="chain-sum", **options):
    settings = {"limit": 12, "metrics": GROUPS, "profile": "quick", "noise_floor": False, **options}
    return audit(base, list(tuned), task, out=tmp_path / "run", **settings)


def value(run, metric, tuned=None):
    """Return the estimate of a tuned model, or of the base where `tuned` is None."""
    found = run.comparison(metric, tuned)
    return (found.base_estimate if tuned is None else found.tuned_estimate).value


# --- planted truth ----------------------------------------------------------------------------------------------------

DIALS = ["scripted:dial:0.25", "scripted:dial:0.5", "scripted:dial:0.75", "scripted:ignores-chain"]


@pytest.fixture(scope="module")
def dialled(tmp_path_factory):
    metrics = ["info_gain", "early_answering", "filler", "swap", "mistake", "mistake_regenerated"]
    return run_on(tmp_path_factory.mktemp("dial"), tuned=DIALS, limit=200, metrics=metrics, seed=1)


@pytest.mark.parametrize("metric", RELIANCE)
def test_reliance_reads_the_dial(dialled, metric):
    steps = [value(dialled, metric), *(value(dialled, metric, name) for name in DIALS)]
    assert all(above - below > 0.1 for above, below in zip(steps, steps[1:], strict=False)), steps
    num_steps = 4
    most = 1 - 1 / (2 * num_steps) if metric == "early_answering" else 1.0
    assert steps[0] == pytest.approx(most, abs=0.02)
    assert steps[-1] == pytest.approx(0.0, abs=0.02)
    for strength, found in zip((0.25, 0.5, 0.75), steps[1:], strict=False):
        assert found == pytest.approx(most * (1 - strength), abs=0.1)
    for name in DIALS:
        assert dialled.comparison(metric, name).difference.n_missing == 0


def test_information_gain_falls_with_the_dial(dialled):
    for metric in ("info_gain", "info_gain_over_swap"):
        steps = [value(dialled, metric), *(value(dialled, metric, name) for name in DIALS)]
        assert all(above - below > 0.5 for above, below in zip(steps, steps[1:], strict=False)), (metric, steps)
        assert steps[-1] == pytest.approx(0.0, abs=1e-9)
    # " 7" and a newline: before the steps the digit is missed, and the newline behind it is one of 257 equally likely tokens.
    assert value(dialled, "info_gain") == pytest.approx(2 * math.log(0.99) - math.log(0.01 / 256) + math.log(257), abs=1e-9)


def test_the_ends_of_the_dial_are_the_planted_models():
    """At 0 it computes, at 1 it ignores: the order above covers h = 0, .25, .5, .75, 1."""
    task = load_task("chain-sum", limit=20)
    for strength, name in (("0", "computes"), ("1", "ignores-chain")):
        dial, plain = load_scripted(f"dial:{strength}"), load_scripted(name)
        for problem in task.problems:
            prompt = dial.render(task.message(problem)).ids
            for text in ("", "3 + 4 = 7\n", "nonsense", "\nAnswer:", "1 + 1 = 2\n\nAnswer:"):
                asked = [[*prompt, *dial.encode(text)]]
                assert dial.generate(asked, max_tokens=200) == plain.generate(asked, max_tokens=200)


def test_swapping_base_and_tuned_turns_the_signs(tmp_path):
    there = run_on(tmp_path / "a", "scripted:computes", ["scripted:dial:0.5"])
    back = run_on(tmp_path / "b", "scripted:dial:0.5", ["scripted:computes"])
    assert value(there, "swap_reliance") == value(back, "swap_reliance", "scripted:computes") == 1.0
    for one in there.comparisons:
        if one.reader == "base":
            continue  # another base reads
        other = back.comparison(one.metric, reader=one.reader)
        if one.difference.value is None:
            assert other.difference.value is None
            continue
        assert other.difference.value == -one.difference.value
        assert other.p == one.p


def test_a_model_against_itself_differs_in_nothing(tmp_path):
    run = run_on(tmp_path, tuned=["scripted:computes"])
    assert run.comparisons[0].tuned == "scripted:computes #2"
    assert {one.difference.value for one in run.comparisons} <= {0.0, None}


def test_a_copier_of_the_last_number_gains_all_in_its_last_step(tmp_path):
    run = run_on(tmp_path, "scripted:copies-last-number", ["scripted:computes"], limit=30)
    assert value(run, "info_gain") > 8
    assert value(run, "info_gain_before_answer") == pytest.approx(0.0, abs=1e-9)
    assert value(run, "early_answering") == pytest.approx(1 - 1 / 8, abs=1e-9)
    assert value(run, "mistake_reliance") == 0.0, "the kept tail still states the old answer"
    assert value(run, "mistake_reliance", "scripted:computes") == 1.0


def test_random_answers_are_never_sound(tmp_path):
    names = [f"scripted:random?seed={seed}" for seed in range(3)]
    run = run_on(tmp_path, "scripted:random?seed=9", names, limit=60)
    for verdict in run.verdicts:
        assert verdict.word is not Word.SOUND
    for name in names:
        assert value(run, "early_answering", name) > 0.7, "random answers flip under every edit"
        gain = run.comparison("info_gain_over_swap", name).tuned_estimate
        assert gain.low < 0 < gain.high


def test_a_model_that_computes_is_sound_and_one_that_ignores_its_chain_is_hollowed(tmp_path):
    tuned = ["scripted:computes?slip=0.05&seed=1", "scripted:ignores-chain?slip=0.05&seed=1"]
    run = run_on(tmp_path, "scripted:computes?slip=0.2", tuned, limit=60)
    assert [verdict.word for verdict in run.verdicts] == [Word.SOUND, Word.HOLLOWED]


def test_few_problems_are_insufficient_evidence(tmp_path):
    assert run_on(tmp_path, limit=8).verdicts[0].word is Word.INSUFFICIENT


def test_a_loss_of_accuracy_is_called_so(tmp_path):
    run = run_on(tmp_path, tuned=["scripted:computes?slip=0.9"], limit=40)
    assert run.verdicts[0].word is Word.LOST


@pytest.mark.parametrize("world", ["lookup", "lookup:choices=4"])
def test_planted_truth_in_a_world_without_numbers(tmp_path, world):
    run = run_on(tmp_path, task=world, limit=40)
    ignores = "scripted:ignores-chain"
    for metric in ("stable_fraction", "changes_without_chain", "swap_reliance", "mistake_reliance"):
        # A value that is not on offer is answered by some letter, which is now and then the right one.
        assert value(run, metric) >= (0.98 if world == "lookup" else 0.6), metric
        assert value(run, metric, ignores) == pytest.approx(0.0, abs=0.02)
        assert run.comparison(metric).difference.n >= 30
    assert value(run, "info_gain_over_swap") > 1
    assert value(run, "info_gain_over_swap", ignores) == pytest.approx(0.0, abs=1e-9)


# --- odd chains -------------------------------------------------------------------------------------------------------


def thinks(question, written):
    """Think out loud, then answer: what follows the thinking span reports what was thought."""
    answer = " 7\n" if "it is 7" in written else " 3\n"
    whole = "<think>\nfirst I look.\nso it is 7\n</think>\n\nAnswer: 7\n"
    if written.endswith("\nAnswer:"):
        return answer
    return whole[len(written) :] if whole.startswith(written) else answer


def rambles(question, written):
    return "and so on\n" * 50


def two_problems():
    return Task("two", (Problem("a", "How many?", "7"), Problem("b", "How many more?", "7"), Problem("c", "Others?", "8")))


def test_thinking_is_the_reasoning_and_its_report_is_not(tmp_path):
    model = ScriptedModel(thinks, name="thinks")
    run = run_on(
        tmp_path, model, [ScriptedModel(thinks, name="thinks too")], two_problems(), metrics=["info_gain", "early_answering"]
    )
    assert value(run, "length_steps") == 2
    assert value(run, "changes_without_chain") == 1.0
    assert value(run, "stable_fraction") == 1.0
    assert value(run, "accuracy") == pytest.approx(2 / 3)
    first = next(row for row in run.readings() if row.problem_id == "a" and row.role == "after 2 steps")
    prompt = len(model.render(two_problems().message(two_problems().problems[0])).ids)
    thought = "<think>\nfirst I look.\nso it is 7"
    assert first.prefix_length >= prompt + len(thought) + len("</think>") + len("\nAnswer:"), (
        "the span is closed before the cue"
    )


def test_cut_chains_are_counted_and_not_scored(tmp_path):
    both = [ScriptedModel(rambles, name="rambles"), load_scripted("computes")]
    run = run_on(tmp_path, both[1], [both[0]], "chain-sum", metrics=["info_gain", "early_answering"], max_tokens=60)
    found = run.comparison("info_gain")
    assert found.difference.n == 0
    assert found.missing == {"tuned: cut off at the token limit": 12}
    assert value(run, "cut_off", "rambles") == 1.0
    assert value(run, "cut_off") == 0.0
    assert run.comparison("accuracy").missing == {"tuned: cut off at the token limit": 12}
    assert run.verdicts[0].word is Word.INSUFFICIENT


def test_nothing_scored_is_an_error_and_the_chains_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["soundness.auditing.rounds"], "score_chains", nothing_scored)
    with pytest.raises(MetricError, match=r"nothing could be scored \(no way\); look at chains\.parquet"):
        run_on(tmp_path, limit=3)
    assert len(open_run(tmp_path / "run").chains()) == 6


def nothing_scored(chains, *arguments, reader, **options):
    from soundness.records import Score
    from soundness.scoring.score import ScoredChains

    return ScoredChains([Score("info_gain", c.problem_id, c.sample, c.model, reader, None, "no way") for c in chains], [], [])


def test_shared_template_shows_all_models_the_bases_prompts(tmp_path, tiny):
    from soundness.models.load import load_model

    folder = tiny.folder("llama", tokenizer=tiny.byte_tokenizer(chat=True), name="chatty")
    chatty = load_model(str(folder), dtype="float32", device="cpu")
    plain = tiny.load("llama")
    seen = {}
    for template in ("own", "shared"):
        run = run_on(
            tmp_path / template, plain, [chatty], two_problems(), metrics=["info_gain"], template=template, max_tokens=8
        )
        seen[template] = {(chain.model == chatty.name, chain.prompt.text.startswith("[user]")) for chain in run.chains()}
    assert seen == {"own": {(False, False), (True, True)}, "shared": {(False, False), (True, False)}}


def test_models_with_different_tokenizers_are_compared_through_text(tmp_path, tiny):
    """The base reads the tuned model's text in its own tokens, steps kept, and information gain stays the text's."""
    model = load_scripted("computes")
    shifted = Shifted(load_scripted("computes?seed=1"))
    run = run_on(tmp_path, model, [shifted], limit=10)
    assert shifted.vocabulary != model.vocabulary
    for metric in ("info_gain", "info_gain_over_swap"):
        found = run.comparison(metric, reader="base")
        assert found.difference.value == pytest.approx(0.0, abs=1e-9)
        assert found.difference.n == 10
    assert value(run, "swap_reliance", shifted.name) == 1.0


class Shifted:
    """A scripted model whose ids are all another model's plus one."""

    module = None

    def __init__(self, inner):
        self.inner = inner
        self.name, self.fingerprint, self.vocabulary = "shifted", "shifted", "shifted"

    def encode(self, text):
        return [token + 1 for token in self.inner.encode(text)]

    def decode(self, ids):
        return self.inner.decode([token - 1 for token in ids])

    def pieces(self, ids):
        return self.inner.pieces([token - 1 for token in ids])

    def render(self, message):
        from soundness.records import Prompt

        return Prompt(self.inner.render(message).text, tuple(token + 1 for token in self.inner.render(message).ids))

    def generate(self, prefixes, **options):
        from dataclasses import replace

        made = self.inner.generate([[token - 1 for token in prefix] for prefix in prefixes], **options)
        return [replace(one, ids=tuple(token + 1 for token in one.ids)) for one in made]

    def read(self, probes):
        from soundness.records import Probe

        return self.inner.read([Probe(tuple(t - 1 for t in p.prefix), tuple(t - 1 for t in p.continuation)) for p in probes])


# --- folders ----------------------------------------------------------------------------------------------------------


class Counting:
    """A model that remembers what it was asked."""

    def __init__(self, inner):
        self.inner = inner
        self.written: list[tuple[int, ...]] = []
        self.probes: list[object] = []

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def generate(self, prefixes, **options):
        self.written += [(*prefix, *str(options.get("keys")).encode()) for prefix in prefixes]
        return self.inner.generate(prefixes, **options)

    def read(self, probes):
        self.probes += probes
        return self.inner.read(probes)

    def reset(self):
        asked = len(self.written), len(self.probes)
        self.written, self.probes = [], []
        return asked


def counting():
    return [Counting(load_scripted("computes?slip=0.3")), Counting(load_scripted("dial:0.5"))]


def test_a_repeated_audit_asks_nothing_and_writes_the_same_bytes(tmp_path):
    models = counting()
    first = run_on(tmp_path, models[0], models[1:])
    before = (first.path / "comparisons.json").read_bytes()
    assert all(sum(model.reset()) for model in models)
    run_on(tmp_path, models[0], models[1:])
    assert [model.reset() for model in models] == [(0, 0), (0, 0)]
    assert (first.path / "comparisons.json").read_bytes() == before
    other = run_on(tmp_path / "elsewhere", load_scripted("computes?slip=0.3"), [load_scripted("dial:0.5")])
    assert (other.path / "comparisons.json").read_bytes() == before


def test_a_metric_added_later_reads_only_what_is_missing(tmp_path):
    models = counting()
    run_on(tmp_path, models[0], models[1:], metrics=["info_gain"])
    early = [set(model.probes) for model in models]
    assert all(model.reset()[1] for model in models)
    run = run_on(tmp_path, models[0], models[1:], metrics=["filler"])
    for model, known in zip(models, early, strict=True):
        assert model.probes, "answers after filler are new"
        assert not known & set(model.probes)
        assert len(set(model.probes)) == len(model.probes)
    known = {one.metric for one in run.comparisons}
    assert {"info_gain", "filler_reliance"} <= known, "what was measured before stays measured"
    whole = run_on(
        tmp_path / "whole", load_scripted("computes?slip=0.3"), [load_scripted("dial:0.5")], metrics=["info_gain", "filler"]
    )
    assert (whole.path / "comparisons.json").read_bytes() == (run.path / "comparisons.json").read_bytes()


def test_more_samples_extend_a_run(tmp_path):
    models = counting()
    options = {"temperature": 0.8, "metrics": ["info_gain"]}
    two = run_on(tmp_path, models[0], models[1:], samples=2, **options)
    first = {(c.model, c.problem_id, c.sample): c for c in two.chains()}
    [model.reset() for model in models]
    four = run_on(tmp_path, models[0], models[1:], samples=4, **options)
    unkeyed = tuple(b"None")  # answers that were asked for are greedy; the draws of chains have keys
    drawn = [[entry for entry in model.written if entry[-4:] != unkeyed] for model in models]
    assert list(map(len, drawn)) == [24, 24], "two new samples for each of twelve problems"
    again = {(c.model, c.problem_id, c.sample): c for c in four.chains()}
    assert len(again) == 2 * len(first)
    assert all(again[key] == chain for key, chain in first.items())
    fewer = run_on(tmp_path, models[0], models[1:], samples=2, **options)
    assert len(fewer.chains()) == len(again), "a run never shrinks"


@pytest.mark.parametrize(
    "changed", [{"seed": 1}, {"max_tokens": 99}, {"limit": 11}, {"tuned": ["scripted:dial:0.5"]}, {"temperature": 0.5}]
)
def test_other_settings_are_refused_by_name(tmp_path, changed):
    run_on(tmp_path, metrics=["info_gain"])
    before = (tmp_path / "run" / "run.json").read_bytes()
    name = {"limit": "num_problems", "tuned": "models"}.get(*changed, *changed)
    with pytest.raises(RunError, match=f"made with other settings[\\s\\S]*{name}"):
        run_on(tmp_path, metrics=["info_gain"], **changed)
    assert (tmp_path / "run" / "run.json").read_bytes() == before


def _hold(path, held, let_go):
    from soundness.runs.folder import Run

    settings = json.loads((Path(path) / "run.json").read_text())["settings"]
    with Run.create_or_resume(path, settings):
        held.set()
        let_go.wait(60)


def test_a_second_process_on_the_same_folder_is_locked_out(tmp_path):
    run_on(tmp_path, metrics=["info_gain"])
    spawn = multiprocessing.get_context("fork")
    held, let_go = spawn.Event(), spawn.Event()
    other = spawn.Process(target=_hold, args=(tmp_path / "run", held, let_go))
    other.start()
    try:
        assert held.wait(60)
        with pytest.raises(RunError, match="another process|being written"):
            run_on(tmp_path, metrics=["info_gain"])
    finally:
        let_go.set()
        other.join(60)
    run_on(tmp_path, metrics=["info_gain"])


def test_killed_anywhere_and_resumed_it_ends_with_the_same_bytes(tmp_path, tiny):
    """SIGKILL while sampling (base, tuned), asking, reading and before the results are written; real weights, real processes."""
    folders = []
    for seed in (0, 1):
        folder = tiny.folder("llama", seed=seed, name=f"stopping-{seed}")
        config = json.loads((folder / "generation_config.json").read_text())
        config["eos_token_id"] = [1, *range(3, 30)]  # random weights would hardly ever end a chain
        (folder / "generation_config.json").write_text(json.dumps(config))
        folders.append(str(folder))
    script = Path(__file__).with_name("killed_audits.py")
    done = subprocess.run([sys.executable, str(script), *folders, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("never") == 0, done.stderr[-2000:]
    whole = (tmp_path / "whole" / "comparisons.json").read_bytes()
    scored = {row["metric"]: row["difference"]["n"] for row in json.loads(whole)}
    assert scored["info_gain"] >= 4, "the audit has something to say"
    assert scored["early_answering"] >= 2
    assert len(found) == 5
    kept = []
    for number, (place, seen) in enumerate(found.items()):
        assert seen["ended"] == -9, place
        assert seen["unfinished"], place
        assert seen["resumed"] == 0, done.stderr[-2000:]
        assert (tmp_path / f"killed-{number}" / "comparisons.json").read_bytes() == whole, place
        kept.append(sum(seen["kept"].values()))
    # A few chains are asked and read before the next few, so that a place in the middle says little of how much is kept.
    assert 0 < kept[0] < min(kept[1:]) and max(kept[:-1]) < kept[-1]


# --- settings and scoring ---------------------------------------------------------------------------------------------


def test_settings_that_make_no_sense_are_refused_before_any_work(tmp_path):
    for options, words in (
        ({"template": "mine"}, "one of own, shared, none"),
        ({"samples": 2, "temperature": 0.0}, "temperature 0"),
        ({"batch_size": 0}, "batch_size"),
        ({"splitter": "line"}, "did you mean 'lines'"),
    ):
        with pytest.raises(SettingError, match=words):
            run_on(tmp_path, **options)
    with pytest.raises(MetricError, match="did you mean 'info_gain'"):
        run_on(tmp_path, metrics=["info_gian"])
    assert not (tmp_path / "run").exists()


def test_chains_that_others_wrote_are_scored(tmp_path):
    task = load_task("chain-sum", limit=6)
    lines = []
    for number, problem in enumerate(task.problems):
        for writer, last in (("right", problem.answer), ("wrong", str((int(problem.answer) + 1) % 10))):
            steps = list(problem.steps)
            steps[-1] = steps[-1][:-1] + last
            trace = "\n".join([*steps, f"Answer: {last}"])
            row = {
                "id": f"{number}:{writer}",
                "question": problem.question,
                "answer": problem.answer,
                "trace": trace,
                "model": writer,
            }
            lines.append(json.dumps(row))
    path = tmp_path / "traces.jsonl"
    path.write_text("\n".join(lines))
    run = score(path, scorer="scripted:computes", out=tmp_path / "run", metrics=["info_gain", "early_answering"])
    rows = {(row["writer"], row["metric"], row["reader"]): row for row in run.document["estimates"]}
    assert rows["right", "accuracy", "-"]["value"] == 1.0
    assert rows["wrong", "accuracy", "-"]["value"] == 0.0
    assert rows["right", "info_gain", "self"]["value"] > 8
    assert rows["wrong", "info_gain", "self"]["value"] == pytest.approx(0.0, abs=1e-9)
    assert rows["wrong", "early_answering", "self"]["value"] > 0.7, "it follows what it reads, right or wrong"
    assert run.comparisons == [] == run.verdicts


def test_progress_is_told_for_every_kind_of_work(tmp_path):
    told = []
    run_on(tmp_path, limit=4, on_progress=lambda what, done, total: told.append((what, done, total)))
    kinds = {what.split()[0] for what, _, _ in told}
    assert {"sampling", "asking", "rewriting", "reading"} <= kinds
    for what in {what for what, _, _ in told}:
        mine = [(done, total) for name, done, total in told if name == what and total]
        assert mine[-1][0] == mine[-1][1], what
