"""The contract of metrics: every shipped group keeps it as a stranger's would have to, and who breaks it is told the clause."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from soundness.auditing import audit
from soundness.errors import MetricError
from soundness.interventions import NoEdit
from soundness.interventions.base import EditKind
from soundness.metrics import GROUPS, METRICS
from soundness.metrics.base import Metric, MetricGroup, Need, Reader, Value
from soundness.metrics.choosing import choose, load_group
from soundness.models.cached import CachedModel
from soundness.models.scripted import load_scripted
from soundness.records import Edit
from soundness.scoring.score import score_chains
from soundness.scoring.trial import SCENES, check_group, play

WITHOUT_STEPS = {
    *("accuracy", "solved", "wrong", "unreadable", "cut_off", "no_steps", "length_tokens", "length_steps"),
    *("accuracy_forced", "accuracy_without_chain", "forced_agrees", "surprise_without_chain"),
    *("confidence", "confidence_without_chain", "brier", "brier_without_chain", "stated_right"),
    "over_none",
}
"""Metrics that have a number where a chain has no steps: what stands in the text, what is asked without any, and what counts every
problem asked: steps that are not there help with none."""

NEED_A_REFERENCE = {
    *("accuracy", "solved", "wrong", "accuracy_forced", "accuracy_without_chain", "stated_right"),
    *("brier", "brier_before_answer", "brier_without_chain"),
}
"""Metrics that have no number where a problem has no reference answer; gains are read towards the chain's own answer there."""


@pytest.mark.parametrize("name", GROUPS)
def test_every_shipped_group_keeps_the_contract_as_a_strangers(name):
    check_group(type(GROUPS[name])())  # another object than the shipped one, so that nothing is taken on trust


@pytest.fixture(scope="module")
def played():
    """Return the values of every scene by metric: {scene: {metric: [(number, reason), ...]}}."""
    tables = {}
    for name, scene in SCENES.items():
        table = tables[name] = {}
        task, model = scene.task(), CachedModel(load_scripted(scene.model), batch_size=64)
        chains = scene.chains(model, task)
        scored = score_chains(chains, task, list(GROUPS.values()), model, reader="self", sampling=scene.sampling)
        for score in scored.scores:
            table.setdefault(score.metric, []).append((score.value, score.reason))
    return tables


@pytest.mark.parametrize("scene", ["no steps", "nothing written", "cut off"])
def test_without_steps_there_is_a_reason_and_no_number(played, scene):
    table = played[scene]
    assert len(table) > 70, "nearly every metric was asked for"
    numbers = {metric for metric, values in table.items() if any(number is not None for number, _ in values)}
    assert numbers <= WITHOUT_STEPS | (set(DEPENDS_ON_NOTHING) if scene == "no steps" else set())
    assert all(reason for values in table.values() for number, reason in values if number is None)


DEPENDS_ON_NOTHING = {
    **dict.fromkeys(("following", "following_unprompted", "fragility", "gain", "mistake_effect"), 0.0),
    "kept_answer": 1.0,
}
"""What counts every problem asked, where an answer stands and no step before it: it follows none, and stays what it is."""


def test_an_answer_without_steps_depends_on_none_of_them(played):
    for metric, value in DEPENDS_ON_NOTHING.items():
        assert {number for number, _ in played["no steps"][metric]} == {value}, metric


def test_without_a_reference_nothing_is_right_or_wrong(played):
    table = played["no reference answer"]
    for metric in NEED_A_REFERENCE:
        assert {number for number, _ in table[metric]} == {None}, metric
    assert any(number is not None for number, _ in table["info_gain"])


def test_what_is_about_choices_has_no_number_without_any(played):
    assert {value for value in played["uses its chain"]["info_gain_choice"]} == {(None, "not a choice problem")}
    assert all(number > 1 for number, _ in played["choices"]["info_gain_choice"])


def test_a_model_that_ignores_its_chain_has_the_declared_values(played):
    checked = 0
    for scene in ("ignores its chain", "choices, ignored"):
        for metric in METRICS.values():
            if metric.no_reasoning is not None:
                numbers = [number for number, _ in played[scene].get(metric.name, ()) if number is not None]
                assert numbers == pytest.approx([metric.no_reasoning] * len(numbers), abs=1e-6), metric.name
                checked += len(numbers) > 0
    assert checked > 80, "nearly every one that declares a value was seen to have it"


def test_a_model_that_uses_its_chain_has_others(played):
    moved = {
        metric.name
        for metric in METRICS.values()
        if metric.no_reasoning is not None
        and any(
            number is not None and abs(number - metric.no_reasoning) > 0.05
            for number, _ in played["uses its chain"].get(metric.name, ())
        )
    }
    assert {
        "info_gain",
        "early_answering",
        "filler_reliance",
        "swap_reliance",
        "mistake_reliance",
        "necessity",
        "redundancy",
    } <= moved
    assert not {"paraphrase_flips", "paraphrase_regenerated"} & moved


def test_the_order_of_samples_means_nothing():
    (_, scored) = next(iter(play(GROUPS["coverage"], replace(SCENES["several samples"], samples=7, limit=6))))
    orders = 0
    for problem in {case.problem.id for case in scored.cases}:
        cases = [case for case in scored.cases if case.problem.id == problem]
        for group in (GROUPS["coverage"], GROUPS["length_effect"]):
            first = dict((v.metric, v.number) for v in group.per_problem(cases))
            for seed in range(4):
                mixed = random.Random(seed).sample(cases, len(cases))
                assert dict((v.metric, v.number) for v in group.per_problem(mixed)) == pytest.approx(first, nan_ok=True)
                orders += 1
    assert orders == 48


# --- who breaks it ----------------------------------------------------------------------------------------------------------


class Good(MetricGroup):
    """Letters of the chain."""

    name = "letters"
    metrics = (Metric(name="num_letters", unit="letters", direction="none", bounds=(0, None), description="Letters written."),)
    readers = (Reader.NOBODY,)

    def values(self, case, read):
        yield Value("num_letters", float(len(case.chain.text)))


def metric(**changes):
    return Metric(**{"name": "num_letters", "unit": "letters", "direction": "none", "description": "Letters.", **changes})


def broken(**changes):
    return type("Broken", (Good,), changes)()


def values(*made):
    return lambda self, case, read: made


def first_of_swap(self, case, read):
    yield Value("num_letters", float(len(case.edits.get("swap", ()))))


def looks_up_own(self, case, read):
    yield Value("num_letters", float(len(case.own.ids)))


def unlisted(self, case, read):
    yield Value("num_letters", read(case.gold.probes(case.after(()))[0]).nats)


def unasked(self, case, read):
    yield Value("num_letters", float(len(read.answer(case.after(())).text)))


def by_order(self, cases):
    yield Value("num_letters", float(cases[0].chain.sample))


def half_the_time(self, case, read):
    yield Value("num_letters", 0.5 if "ignores" in case.chain.model else 1.0)


def crash(self, *arguments):
    raise ZeroDivisionError("7 / 0\nsecond line")


@pytest.mark.parametrize(
    ("group", "clause"),
    [
        (broken(name=""), "`name` is empty"),
        (broken(metrics=()), "`metrics` is empty"),
        (broken(metrics=("num_letters",)), "no Metric"),
        (broken(metrics=(metric(), metric())), "two of its metrics are called 'num_letters'"),
        (broken(metrics=(metric(bounds=(1, 0)),)), "the wrong way round"),
        (broken(metrics=(metric(direction="higher"),)), "direction of num_letters is 'higher'"),
        (broken(readers=()), "`readers` is empty"),
        (broken(edits=("swop",)), "unknown kind of edit 'swop' .did you mean 'swap'"),
        (broken(edits=(EditKind("swap", lambda body, supplies: []),)), "another kind of edit is called 'swap'"),
        (broken(values=values(Value("letters", 1.0))), "'letters' .did you mean 'num_letters'.*does not declare"),
        (broken(values=values(Value("num_letters", -1.0))), "num_letters is -1, outside its bounds 0 to any"),
        (broken(values=values(Value("num_letters", None))), "None without a reason"),
        (broken(values=values(Value("num_letters", 1.0, "why"))), "a number and a reason"),
        (broken(values=values(Value("num_letters", float("nan")))), "nan, no finite number"),
        (broken(values=values(Value("num_letters", "7"))), "'7', no finite number"),
        (broken(values=values(("num_letters", 7.0))), "no Value"),
        (broken(values=values(Value("num_letters", 1.0), Value("num_letters", 2.0))), "twice for one chain"),
        (broken(values=values()), "declares 'num_letters' and never yields it"),
        (broken(values=crash), r"failed in values\(\) on problem .*ZeroDivisionError: 7 / 0"),
        (broken(probes=crash, readers=(Reader.SELF,)), r"failed in probes\(\)"),
        (broken(values=first_of_swap, readers=(Reader.SELF,)), "edits of kind 'swap', which `edits` does not name"),
        (broken(values=looks_up_own, readers=(Reader.SELF,)), r"failed in values\(\).*NoneType"),
        (broken(values=unlisted, readers=(Reader.SELF,)), r"has not listed in probes\(\) or asks\(\)"),
        (broken(values=unasked, readers=(Reader.SELF,)), r"has not listed in probes\(\) or asks\(\)"),
        (broken(values=values(), per_problem=by_order), "depends on the order of samples"),
        (
            broken(values=half_the_time, metrics=(metric(no_reasoning=0.0),)),
            r"declares no_reasoning=0 for num_letters, which is 0\.5 there",
        ),
    ],
)
def test_who_breaks_the_contract_is_told_the_clause_in_one_line(group, clause):
    with pytest.raises(MetricError, match=clause) as told:
        check_group(load_group(group))
    assert "\n" not in str(told.value) and len(str(told.value)) < 500


def test_who_keeps_it_is_taken_as_object_class_and_file(tmp_path):
    check_group(load_group(Good()))
    assert [group.name for group in choose([Good, "swap_reliance"])] == ["accuracy", "swap", "length", "letters"]
    file = tmp_path / "mine.py"
    file.write_text(
        "from soundness.metrics.base import *\n"
        "class Mine(MetricGroup):\n"
        "    name = 'mine'\n"
        "    metrics = (Metric(name='mine_is', unit='', direction='none', description='One.'),)\n"
        "    def values(self, case, read):\n"
        "        yield Value('mine_is', 1.0)\n"
    )
    assert [group.name for group in choose(["length", f"{file}:Mine"])] == ["accuracy", "length", "mine"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 / 0\n", "cannot be loaded: ZeroDivisionError: division by zero"),
        ("def broken(:\n", "cannot be loaded: SyntaxError"),
        ("raise SystemExit(3)\n", "cannot be loaded: SystemExit"),
        ("def mines(): ...\n", "has no 'Mine' .did you mean 'mines'"),
        ("Mine = 7\n", "no metric group but a int"),
        ("class Mine:\n    def __init__(self, x): ...\n", "cannot be made without arguments"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path, text, said):
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(MetricError, match=said) as told:
        choose([f"{file}:Mine"])
    assert "\n" not in str(told.value)
    with pytest.raises(MetricError, match="no file"):
        choose([f"{tmp_path / 'other.py'}:Mine"])


def test_names_that_are_taken_are_refused():
    for changes, taken in (
        ({"name": "swap"}, "'swap', which a shipped group has"),
        ({"metrics": (metric(name="info_gain"),)}, "'info_gain', which a shipped metric has"),
    ):
        with pytest.raises(MetricError, match=taken):
            choose([broken(**changes)])
    with pytest.raises(MetricError, match="'letters' and 'others' both use the name 'num_letters'"):
        choose([Good(), broken(name="others")])


def backwards(body, supplies):
    ids = tuple(token for step in reversed(range(len(body.steps))) for token in body.step_ids(step))
    return [Edit("backwards", ids, None, body.text, "")] if len(body.steps) > 1 else [NoEdit("backwards", "one step")]


class Backwards(MetricGroup):
    """The steps from the last to the first."""

    name = "backwards"
    metrics = (
        Metric(name="backwards_flips", unit="fraction", direction="up", bounds=(0, 1), no_reasoning=0.0, description="Flips."),
    )
    edits = (EditKind("backwards", backwards),)
    needs = frozenset({Need.OWN_ANSWER})

    def asks(self, case):
        return [("backwards", case.after(edit.ids)) for edit in case.edits["backwards"] if isinstance(edit, Edit)]

    def values(self, case, read):
        (edit,) = case.edits["backwards"]
        if isinstance(edit, NoEdit):
            yield Value("backwards_flips", None, edit.reason)
            return
        own, new = read.answer(case.after(case.body.chain.ids)), read.answer(case.after(edit.ids))
        yield Value("backwards_flips", float(own.value != new.value))


def test_a_metric_with_an_edit_of_its_own_is_one_file_outside(tmp_path: Path):
    base, tuned = "scripted:computes", "scripted:ignores-chain?seed=1"
    run = audit(base, [tuned], "chain-sum", limit=6, metrics=["swap", Backwards()], out=tmp_path / "run", noise_floor=False)
    flips = run.comparison("backwards_flips")
    assert flips.base_estimate.value > 0.5 and flips.tuned_estimate.value == 0.0 and flips.direction == "up"
    assert sum(edit.kind == "backwards" and not edit.reason for edit in run.edits()) == 12
    with pytest.raises(MetricError, match="measures 'backwards' too, a metric group of your own"):
        audit(base, [tuned], "chain-sum", limit=6, metrics=["drop_margin"], out=tmp_path / "run", noise_floor=False)


def test_a_group_alone_yields_what_it_yields_in_company():
    scene = SCENES["uses its chain"]
    ((_, alone),) = play(Backwards(), scene)
    task, model = scene.task(), CachedModel(load_scripted(scene.model))
    everybody = [*(group for group in GROUPS.values() if Reader.SELF in group.readers), Backwards()]
    together = score_chains(scene.chains(model, task), task, everybody, model, reader="self", sampling=scene.sampling)
    assert len(alone.scores) == 3
    assert [score for score in together.scores if score.metric == "backwards_flips"] == alone.scores
