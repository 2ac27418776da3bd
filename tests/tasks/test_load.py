from __future__ import annotations

import copy
import json
import logging
import random
from pathlib import Path
from typing import Any

import pytest

from soundness.errors import SettingError, SoundnessError, TaskError
from soundness.tasks import load_task
from soundness.tasks.load import Selection
from soundness.tasks.prompts import Prompting

ROWS = [{"question": f"{i} + 1?", "answer": i + 1, "steps": [f"{i} + 1 = {i + 1}"]} for i in range(20)]


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    path = tmp_path / "sums.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def numbers(task) -> list[int]:
    return [int(problem.question.split()[0]) for problem in task.problems]


def test_rows_are_selected_in_one_order(sums: Path):
    assert numbers(load_task(str(sums), skip=3, limit=2)) == [3, 4]
    assert numbers(load_task(str(sums), select="5:8")) == [5, 6, 7]
    assert numbers(load_task(str(sums), select="18:")) == [18, 19]
    assert numbers(load_task(sums, select=":2")) == [0, 1]
    assert numbers(load_task(str(sums), skip=2, select="5:8", limit=2)) == [7, 8]
    mixed = load_task(str(sums), shuffle=True)
    assert sorted(numbers(mixed)) == list(range(20)) != numbers(mixed)
    assert numbers(load_task(str(sums), shuffle=1)) not in (numbers(mixed), list(range(20)))
    assert numbers(load_task(str(sums), shuffle=True, limit=3)) == numbers(mixed)[:3]
    assert [problem.id for problem in load_task(str(sums), skip=3, limit=1).problems] == ["4"], "the line, whatever is taken"


def test_what_is_shuffled_does_not_depend_on_rows_added_later(sums: Path):
    before = numbers(load_task(str(sums), shuffle=7))
    sums.write_text(sums.read_text() + json.dumps({"question": "99 + 1?", "answer": 100}) + "\n")
    assert [number for number in numbers(load_task(str(sums), shuffle=7)) if number != 99] == before


def test_splits(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    rows = [{**row, "split": "train" if i % 2 else "test"} for i, row in enumerate(ROWS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert numbers(load_task(str(path), split="test", limit=3)) == [0, 2, 4]
    with pytest.raises(TaskError, match=r"no row of the split 'tst' \(did you mean 'test'\?\).*test, train"):
        load_task(str(path), split="tst")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"limit": 0}, "limit must be at least 1"),
        ({"limit": True}, "limit"),
        ({"skip": -1}, "skip must be"),
        ({"select": "8:5"}, "START:STOP"),
        ({"select": "5"}, "START:STOP"),
        ({"select": "-3:"}, "START:STOP"),
        ({"select": "9" * 5000 + ":"}, "START:STOP"),
        ({"shuffle": "yes"}, "shuffle must be"),
        ({"skip": 20}, "no rows that were selected"),
        ({"select": "20:30"}, "no rows that were selected"),
    ],
)
def test_selections_that_make_no_sense(sums: Path, options: dict[str, Any], told: str):
    with pytest.raises((SettingError, TaskError), match=told):
        load_task(str(sums), **options)


def test_a_toml_beside_the_file_says_the_rest(sums: Path):
    sums.with_suffix(".toml").write_text(
        'name = "little sums"\n[columns]\nanswer_text = "answer"\n[rows]\nskip = 2\nlimit = 5\n'
        '[prompt]\nsystem = "Be brief."\nfew_shot = 2\nfew_shot_from = "train.jsonl"\nanswer_format = "boxed"\n'
    )
    train = sums.with_name("train.jsonl")
    train.write_text(
        "".join(json.dumps({"question": f"{i} + 5?", "answer": i + 5, "rationale": "Add."}) + "\n" for i in range(5))
    )
    task = load_task(str(sums))
    assert (task.name, numbers(task)) == ("little sums", [2, 3, 4, 5, 6])
    turns = task.turns(task.problems[0])
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert turns[2].content == "Add.\nAnswer: \\boxed{5}"
    assert load_task(str(sums.with_suffix(".toml"))).fingerprint == task.fingerprint
    over = load_task(str(sums), limit=1, prompt={"system": "Be exact.", "few_shot": 0})
    assert (numbers(over), over.prompting.system, over.cue) == ([2], "Be exact.", task.cue)
    assert load_task(str(sums), prompt=Prompting(system="Be exact.")).prompting.few_shot == 2


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ("[promt]\n", "unknown key 'promt' (did you mean 'prompt'?)"),
        ("prompt = 3\n", "prompt has to be a table"),
        ("[prompt]\nsytem = 'x'\n", "[prompt]: there is no 'sytem' (did you mean 'system'?)"),
        ("[rows]\nskp = 2\n", "[rows] has no 'skp' (did you mean 'skip'"),
        ("[rows]\nlimit = 0\n", "limit must be at least 1"),
        ("[columns]\nanswer = 3\n", "[columns] maps our field names"),
        ("[columns]\nanswers = 'x'\n", "no field 'answers'"),
        ("[prompt\n", "TOML"),
    ],
)
def test_what_is_wrong_in_a_toml_is_said_in_one_line(sums: Path, toml: str, told: str):
    sums.with_suffix(".toml").write_text(toml)
    with pytest.raises(SoundnessError) as error:
        load_task(str(sums))
    assert told in str(error.value) and "\n" not in str(error.value)


def test_a_toml_may_name_its_file_and_one_of_another_file_is_left_alone(sums: Path):
    (sums.parent / "boxed.toml").write_text('file = "sums.jsonl"\n[prompt]\nanswer_format = "boxed"\n')
    assert load_task(str(sums.parent / "boxed.toml")).prompting.answer_format == "boxed"
    assert load_task(str(sums)).prompting == Prompting()
    (sums.parent / "lost.toml").write_text("")
    with pytest.raises(TaskError, match="there is none beside it"):
        load_task(str(sums.parent / "lost.toml"))


def test_a_file_may_bring_its_own_prompt(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"prompt": {"instruction": "Add."}}) + "\n" + json.dumps(ROWS[0]) + "\n")
    task = load_task(str(path))
    assert task.message(task.problems[0]) == "0 + 1?\nAdd."


def test_system_messages_of_the_rows_become_the_tasks(tmp_path: Path):
    def row(system):
        turns = [{"role": "system", "content": system}] if system else []
        return {"prompt": [*turns, {"role": "user", "content": f"Why {system}?"}], "answer": "x"}

    assert load_task([row("Be brief."), row("Be brief.")]).prompting.system == "Be brief."
    for mixed in ([row("a"), row("b")], [row("a"), row(None)]):
        with pytest.raises(TaskError, match="different system messages"):
            load_task(mixed)
        assert (
            load_task(mixed, prompt={"system": ""}).turns(load_task(mixed, prompt={"system": ""}).problems[0])[0].role == "user"
        )


def test_worked_examples_come_from_a_file_a_split_or_a_file_beside(tmp_path: Path, sums: Path):
    split = tmp_path / "apart" / "both.jsonl"
    split.parent.mkdir()
    rows = [{**row, "split": "train" if i > 9 else "test"} for i, row in enumerate(ROWS)]
    split.write_text("".join(json.dumps(row) + "\n" for row in rows))
    train = tmp_path / "train.csv"
    train.write_text("question,answer,rationale\n7 + 7?,14,Twice seven.\n")
    for path, where, first in ((split, "train", "10 + 1?"), (sums, str(sums), "3 + 1?"), (sums, "train", "7 + 7?")):
        task = load_task(str(path), limit=3, prompt={"few_shot_from": where, "few_shot": 1})
        assert task.turns(task.problems[0])[0].content.startswith(first), where
    with pytest.raises(TaskError, match="few_shot is 2, and 1 worked examples are read"):
        load_task(str(sums), prompt={"few_shot_from": "train", "few_shot": 2})
    with pytest.raises(TaskError, match="no row of the split 'nowhere'"):
        load_task(str(sums), prompt={"few_shot_from": "nowhere"})
    bare = tmp_path / "bare.jsonl"
    bare.write_text(json.dumps({"question": "a?", "answer": "b"}) + "\n")
    with pytest.raises(TaskError, match="no row with answer and steps"):
        load_task(str(sums), prompt={"few_shot_from": str(bare)})


def test_a_world_makes_worked_examples_of_its_own_kind():
    task = load_task("chain-sum:operators=2,n=5", prompt={"few_shot": 3})
    examples = task.turns(task.problems[0])[:-1]
    assert len(examples) == 6
    asked = {problem.question for problem in task.problems}
    assert all(example.question not in asked and len(example.steps or ()) == 2 for example in task.examples)
    assert load_task("chain-sum", limit=3).fingerprint == load_task("chain-sum:n=3").fingerprint
    assert load_task("organism:domain", limit=3).examples == ()


def test_rows_that_a_program_holds():
    import datasets
    import pandas

    made = [load_task(ROWS), load_task(pandas.DataFrame(ROWS)), load_task(datasets.Dataset.from_list(ROWS), name="problems")]
    assert made[0].problems == made[1].problems == made[2].problems
    assert (made[0].name, made[0].problems[3].id, made[0].problems[3].answer) == ("problems", "3", "4")
    assert load_task(ROWS, name="mine", limit=2).name == "mine"
    with pytest.raises(TaskError, match="splits train"):
        load_task(datasets.DatasetDict({"train": datasets.Dataset.from_list(ROWS)}))
    with pytest.raises(TaskError, match="row 1, field question"):
        load_task([ROWS[0], {"answer": 1}])
    with pytest.raises(TaskError, match="no rows"):
        load_task([])
    with pytest.raises(SettingError, match="with_prompting"):
        load_task(made[0])


def test_ids_that_another_data_set_does_not_mean_to_be_unique(tmp_path: Path):
    rows = [{"question": f"{i}?", "query_id": "same", "answer": i} for i in range(3)]
    assert [problem.id for problem in load_task(rows).problems] == ["same", "same:1", "same:2"]
    with pytest.raises(TaskError, match="row 1, field id: 'a' is the id of row 0 too"):
        load_task([{"id": "a", "question": "?"}, {"id": "a", "question": "!"}])


def test_answers_that_count_from_1_are_seen_behind_the_limit_too(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    rows = [{"question": f"{i}?", "choices": ["a", "b", "c", "d"], "answer": 1 + i % 4} for i in range(8)]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{broken\n")
    with pytest.raises(TaskError, match="line 4.*answer_number"):
        load_task(str(path), limit=2)
    assert load_task(str(path), limit=4, columns={"answer_number": "answer"}).problems[3].answer == "D"
    suspicious = [{**row, "answer": 1 + i % 3} for i, row in enumerate(rows * 4)]
    with caplog.at_level(logging.WARNING, "soundness"):
        notes = load_task(suspicious).notes
    assert "may count the options from 1" in notes[0] and notes[0] in caplog.text
    fair = [{**row, "answer": i % 4} for i, row in enumerate(rows * 4)]
    assert load_task(fair).notes == ()


def test_no_answers_at_all_are_said_at_once(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING, "soundness"):
        load_task([{"question": "?"}])
    assert "no problem has a reference answer" in caplog.text
    caplog.clear()
    load_task([{"question": "?", "answer": 1}, {"question": "!"}])
    assert caplog.text == ""


@pytest.mark.parametrize(
    "spec", ["x" * 300 + ".jsonl", "a\0b.jsonl", "/" + "y" * 300, "z" * 5000, "~nobody/x.jsonl", "hub:a:b:c:d"]
)
def test_names_that_no_file_system_takes_are_one_short_line(spec: str):
    with pytest.raises(TaskError) as error:
        load_task(spec)
    assert "\n" not in str(error.value) and len(str(error.value)) < 700


def test_selection_over_a_table_keeps_what_was_given():
    assert Selection(limit=3).over({"limit": 9, "skip": 1}, "x") == Selection(limit=3, skip=1)


# --- thousands of broken rows ---------------------------------------------------------------------------------------------

SEEDS: list[dict[str, Any]] = [
    {"id": "1", "question": "2 + 2?", "answer": "4", "steps": ["2 + 2 = 4"], "context": "c", "facts": ["f"], "rationale": "r"},
    {"question": "A metal?", "choices": ["oak", "tin", "salt"], "answer": 1},
    {"question": "A metal?", "choices": {"text": ["oak", "tin"], "label": ["1", "2"]}, "answerKey": "2"},
    {"question": {"stem": "?", "choices": [{"text": "oak", "label": "A"}, {"text": "tin", "label": "B"}]}, "answerKey": "B"},
    {"question": "?", "A": "oak", "B": "tin", "answer": "B", "answer_idx": 1},
    {"question": "?", "answer": {"value": "Paris", "aliases": ["Paris"]}},
    {"question": "?", "answers_spans": {"spans": ["7"], "types": ["number"]}, "passage": "p"},
    {"problem": "?", "solution": "So \\boxed{7}."},
    {"Body": "Ann has 3.", "Question": "How many?", "Answer": 3.0},
    {"prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "?"}], "reward_model": {"ground_truth": "7"}},
    {"Question": "?", "Correct Answer": "a", "Incorrect Answer 1": "b", "Incorrect Answer 2": "c"},
    {"question": "?", "mc1_targets": {"choices": ["a", "b"], "labels": [1, 0]}},
    {"question": "?", "options": "A) x B) y", "answer": "B"},
]

JUNK: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2,
        3,
        10**20,
        1.5,
        -0.0,
        1e300,
        float("nan"),
        float("inf"),
        "",
        " ",
        "A",
        "B",
        "b",
        "2",
        "tin",
    ),
    *(
        "\ud800",
        "\0",
        "x" * 2000,
        "####",
        "#### ",
        "\\boxed{",
        "\\boxed{}",
        "\\boxed 3",
        "[",
        "['a', 'b']",
        "{'a': 1}",
        "A. B. C.",
        "{",
    ),
    *(
        [],
        [[]],
        [None],
        {},
        {"text": None},
        {"text": [], "label": []},
        {"text": ["a"], "label": [1, 0]},
        {"value": None},
        {"spans": []},
    ),
    *(
        [{}],
        [{"label": "A"}],
        [{"text": "a", "label": None}, {"text": "b"}],
        [{"role": "user"}],
        [{"role": 3, "content": [1]}],
        b"\xff",
    ),
    *(
        {"number": "", "spans": None, "date": 3},
        {"choices": ["a"], "labels": [1, 1]},
        {"A": {"x": 1}},
        ["a", 1, None],
        {"stem": "x"},
    ),
]

NAMES = [
    *("question", "answer", "choices", "options", "label", "answerKey", "answer_idx", "A", "B", "C", "opa", "sol1", "context"),
    *(
        "steps",
        "facts",
        "rationale",
        "solution",
        "id",
        "messages",
        "prompt",
        "input",
        "output",
        "instruction",
        "score",
        "x",
        "\ud800",
    ),
    *(
        "correct_answer",
        "distractor1",
        "target",
        "targets",
        "Body",
        "split",
        "passage",
        "n" * 300,
        "",
        "reward_model",
        "columns",
    ),
]


def mutated(rng: random.Random) -> dict[Any, Any]:
    """Return a row of a known form with a few of its fields replaced, renamed, dropped or added."""
    row: dict[Any, Any] = copy.deepcopy(rng.choice(SEEDS))
    for _ in range(rng.randint(1, 4)):
        name = rng.choice(list(row) or ["question"])
        match rng.randrange(6):
            case 0:
                row[name] = rng.choice(JUNK)
            case 1:
                row.pop(name, None)
            case 2:
                row[rng.choice(NAMES)] = row.pop(name, None)
            case 3:
                row[rng.choice(NAMES)] = rng.choice(JUNK)
            case 4:
                row[name] = [row.get(name), rng.choice(JUNK)]
            case 5:
                row[name] = {rng.choice(NAMES): row.get(name)}
    return row


def test_thousands_of_broken_rows_raise_nothing_but_task_errors():
    rng = random.Random("broken rows")
    read = refused = 0
    for _ in range(6000):
        row = mutated(rng)
        columns = (
            {rng.choice(["answer", "question", "choices", "ignore", "answer_index"]): rng.choice(NAMES)}
            if rng.random() < 0.1
            else None
        )
        try:
            task = load_task([row], columns=columns)
        except TaskError as error:
            refused += 1
            assert "\n" not in str(error) and len(str(error)) < 1000, error
            continue
        read += 1
        problem = task.problems[0]
        assert task.fingerprint and task.message(problem)
        assert problem.choices is None or problem.answer is None or problem.answer_text in problem.choices
    assert read > 500 and refused > 500


def test_broken_bytes_of_files_raise_nothing_but_task_errors(tmp_path: Path):
    rng = random.Random("broken bytes")
    text = "\n".join(json.dumps(row) for row in SEEDS[:6])
    whole = {
        "a.jsonl": text.encode(),
        "a.json": json.dumps(SEEDS[:6]).encode(),
        "a.csv": b'question,A,B,answer\n"x, y",oak,tin,B\nz,1,2,A\n',
        "a.toml": b'[prompt]\nsystem = "x"\n[rows]\nlimit = 1\n',
    }
    (tmp_path / "b.jsonl").write_text(json.dumps(SEEDS[0]))
    for _ in range(400):
        name = rng.choice(list(whole))
        content = bytearray(whole[name])
        for _ in range(rng.randint(1, 6)):
            place = rng.randrange(len(content))
            content[place : place + rng.randrange(3)] = bytes(rng.randrange(256) for _ in range(rng.randrange(3)))
            if not content:
                break
        path = tmp_path / (name if name != "a.toml" else "b.toml")
        path.write_bytes(content)
        try:
            load_task(str(path if name != "a.toml" else tmp_path / "b.jsonl"))
        except TaskError as error:
            assert "\n" not in str(error)
        except SettingError as error:
            assert name == "a.toml" and "\n" not in str(error)


def test_a_grader_that_came_with_a_task_is_run_with_leave_alone(sums: Path):
    (sums.parent / "mine.py").write_text("raise SystemExit\n")
    sums.with_suffix(".toml").write_text('grader = "mine.py:grade"\n')
    with pytest.raises(TaskError, match="a program that came with it"):
        load_task(str(sums))
    assert load_task(str(sums), grader=lambda text, finish, problem, prompt="": None).grader is not None
    (sums.parent / "theirs.py").write_text("def grade(text, problem):\n    return 'yes' in text\n")
    sums.with_suffix(".toml").write_text('grader = "theirs.py:grade"\n')
    task = load_task(str(sums), trust_grader=True)
    assert task.grader is not None and task.grader("yes", "stop", task.problems[0]).outcome == "right"
    assert task.fingerprint != load_task(ROWS).fingerprint
