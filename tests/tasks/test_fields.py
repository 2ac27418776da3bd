from __future__ import annotations

import json
from pathlib import Path

import pytest

from soundness.errors import TaskError
from soundness.tasks.fields import Reader, problem_from_row
from soundness.tasks.load import load_problems

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def write(folder: Path, *rows: object) -> Path:
    path = folder / "task.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    return path


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no data files in {DATA}")
@pytest.mark.parametrize(
    "path", sorted(p for p in DATA.glob("*.jsonl") if p.stem != "verl_rollouts"), ids=lambda path: path.stem
)
def test_data_files_load_whole(path: Path):
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    problems = load_problems(path)
    assert [p.id for p in problems] == [row["id"] for row in rows]
    for problem, row in zip(problems, rows, strict=True):
        assert problem.answer == row.get("answer")
        assert list(problem.choices or ()) == (row["choices"] or [])
        if problem.choices:
            assert problem.answer_text == row.get("answer_text", problem.answer_text)
        assert list(problem.steps or ()) == row.get("steps", [])
        assert set(problem.meta) == set(row) - {"id", "question", "answer", "choices", "rationale", "steps", "facts", "context"}


def test_fields_and_meta(tmp_path: Path):
    row = {
        "question": "Which?",
        "choices": ["oak", "tin"],
        "answer": "B",
        "rationale": "r",
        "steps": ["s"],
        "facts": ["f"],
        "context": "c",
        "hops": 2,
    }
    (problem,) = load_problems(write(tmp_path, "", row))
    assert problem.id == "2"
    assert (problem.rationale, problem.steps, problem.facts, problem.context) == ("r", ("s",), ("f",), ("c",))
    assert problem.meta == {"hops": 2}


@pytest.mark.parametrize(
    ("choices", "answer", "letter"),
    [
        (["oak", "tin"], "B", "B"),
        (["oak", "tin"], "tin", "B"),
        (["oak", "tin"], " Tin ", "B"),
        (["oak", "tin"], "b", "B"),
        (["B", "A"], "A", "A"),
        (["x", "a"], "a", "B"),
        ([3, 4], 4, "B"),
        (["yes", "Yes"], "Yes", "B"),
        (["oak", "tin"], None, None),
    ],
)
def test_answers_to_choices_become_letters(tmp_path: Path, choices: list[object], answer: object, letter: str | None):
    (problem,) = load_problems(write(tmp_path, {"question": "?", "choices": choices, "answer": answer}))
    assert problem.answer == letter


@pytest.mark.parametrize(("answer", "text"), [(18, "18"), (0.5, "0.5"), ("51.0", "51.0"), (None, None)])
def test_open_answers_become_text(tmp_path: Path, answer: object, text: str | None):
    (problem,) = load_problems(write(tmp_path, {"question": "?", "answer": answer}))
    assert problem.answer == text


GOOD = {"id": "a", "question": "?", "answer": "1"}


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("{nope", "malformed JSON"),
        ('{"question": "?", "answer": NaN}', "NaN is not JSON"),
        ("[" * 100_000, "line 2"),
        ("[1, 2]", "a list"),
        ("3", "a number"),
        (GOOD, "field id: 'a' is the id of line 1"),
        ({"answer": "1"}, "field question: it is missing"),
        ({"questions": "?"}, "did you mean 'questions'"),
        ({"question": "  "}, "field question: it is empty"),
        ({"question": 3}, "field question: text was wanted, found a number"),
        ({"question": "?", "answer": {"x": 1}}, "field answer: text or a number was wanted, found an object"),
        ({"question": "?", "choices": ["oak", "tin"], "answer": True}, "'True' is neither a letter"),
        ({"question": "?", "answer": ""}, "field answer: it is empty"),
        (
            {"question": "?", "choices": ["oak", "tin"], "answer": "C"},
            "'C' is neither a letter A to B nor among ['oak', 'tin']",
        ),
        ({"question": "?", "choices": ["oak", "oak"], "answer": "oak"}, "choices A and B"),
        ({"question": "?", "choices": ["oak"], "answer": "A"}, "field choices: 2 to 26 were wanted, found 1"),
        ({"question": "?", "choices": "oak", "answer": "A"}, "field choices: a list of texts was wanted, found text"),
        ({"question": "?", "choices": ["oak", ""], "answer": "A"}, "field choices: one of them is empty"),
        ({"question": "?", "steps": "one"}, "field steps: a list of texts was wanted, found text"),
        ({"question": "?", "facts": [1]}, "field facts"),
        ({"question": "?", "rationale": 1}, "field rationale: text was wanted"),
        ({"id": 1.5, "question": "?"}, "field id"),
        ({"id": " ", "question": "?"}, "field id: it is empty"),
        ('{"question": "\\ud800"}', "surrogate"),
    ],
)
def test_bad_rows_name_file_line_and_field(tmp_path: Path, row: object, told: str):
    path = write(tmp_path, GOOD, row)
    with pytest.raises(TaskError) as error:
        load_problems(path)
    message = str(error.value)
    assert message.startswith(f"{path} line 2")
    assert told in message
    assert "\n" not in message


def test_bad_files(tmp_path: Path):
    with pytest.raises(TaskError, match="has no rows"):
        load_problems(write(tmp_path, "", "  "))
    with pytest.raises(TaskError, match=r"did you mean 'task\.jsonl'"):
        load_problems(tmp_path / "tsk.jsonl")
    with pytest.raises(TaskError, match="does not exist either"):
        load_problems(tmp_path / "none" / "task.jsonl")
    with pytest.raises(TaskError, match="is a folder"):
        load_problems(tmp_path)
    (tmp_path / "latin.jsonl").write_bytes(b'{"question": "caf\xe9"}\n')
    with pytest.raises(TaskError, match=r"line 1: not UTF-8 .* byte 17"):
        load_problems(tmp_path / "latin.jsonl")


def test_byte_order_mark_and_line_separators_inside_strings(tmp_path: Path):
    path = tmp_path / "marked.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"question": "a\xe2\x80\xa8b"}\r\n')
    assert load_problems(path)[0].question == "a\u2028b"


def test_limit_stops_reading(tmp_path: Path):
    assert len(load_problems(write(tmp_path, GOOD, "{broken"), limit=1)) == 1


# --- rows as well-known data sets publish them ----------------------------------------------------------------------------

FOUR = ["oak", "tin", "salt", "wool"]
METAL = "Which is a metal?"

CHOICE_ROWS = {
    "MMLU": {"question": METAL, "subject": "chemistry", "choices": FOUR, "answer": 1},
    "MMLU-Pro": {"question": METAL, "options": FOUR, "answer": "B", "answer_index": 1, "cot_content": ""},
    "ARC": {"id": "a", "question": METAL, "choices": {"text": FOUR, "label": list("ABCD")}, "answerKey": "B"},
    "ARC with numbers": {"question": METAL, "choices": {"text": FOUR, "label": list("1234")}, "answerKey": "2"},
    "ARC as published": {
        "id": "a",
        "question": {"stem": METAL, "choices": [{"text": text, "label": "ABCD"[i]} for i, text in enumerate(FOUR)]},
        "answerKey": "B",
    },
    "MedQA": {
        "question": METAL,
        "answer": "tin",
        "options": dict(zip("ABCD", FOUR, strict=True)),
        "meta_info": "1",
        "answer_idx": "B",
    },
    "MedMCQA": {"question": METAL, "opa": "oak", "opb": "tin", "opc": "salt", "opd": "wool", "cop": 1, "exp": "Tin is one."},
    "C-Eval": {"question": METAL, "A": "oak", "B": "tin", "C": "salt", "D": "wool", "answer": "B"},
    "small letters": {"question": METAL, "a": "oak", "b": "tin", "answer": "b"},
    "HellaSwag": {"ctx": "x", "question": METAL, "endings": FOUR, "label": "1"},
    "AQuA-RAT": {"question": METAL, "options": ["A)oak", "B)tin", "C)salt"], "correct": "B", "rationale": "Tin is one."},
    "MathQA": {"Problem": METAL, "options": "a ) oak , b ) tin , c ) salt", "correct": "b", "Rationale": "r"},
    "RACE": {"article": "Tin.", "question": METAL, "options": FOUR, "answer": "B"},
    "OpenBookQA": {"question_stem": METAL, "choices": {"text": FOUR, "label": list("ABCD")}, "answerKey": "B"},
    "option1": {"question": METAL, "option1": "oak", "option2": "tin", "answer": "2"},
    "choice_a": {"question": METAL, "choice_a": "oak", "choice_b": "tin", "choice_c": None, "answer": "(B)"},
    "SocialIQA": {"question": METAL, "context": "c", "answerA": "oak", "answerB": "tin", "answerC": "salt", "label": "B"},
    "numbered": {"question": METAL, "ending0": "oak", "ending1": "tin", "label": 1},
    "letter and text": {"question": METAL, "choices": FOUR, "answer": "B. tin"},
    "list of one": {"question": METAL, "choices": FOUR, "answer": ["B"]},
    "bracketed": {"question": METAL, "choices": FOUR, "answer": "(B)"},
    "flags": {"question": METAL, "choices": [{"text": "oak", "is_correct": False}, {"text": "tin", "is_correct": True}]},
    "yes or no": {"question": "Is tin a metal?", "choices": ["no", "yes"], "answer": True},
    "float index": {"question": METAL, "choices": FOUR, "answer": 1.0},
}


@pytest.mark.parametrize("name", CHOICE_ROWS)
def test_options_and_answers_of_published_rows(name: str):
    row = CHOICE_ROWS[name]
    before = json.dumps(row)
    problem = problem_from_row(row, place="x", default_id="1")
    assert problem.answer == "B"
    assert problem.choices is not None and problem.answer_text in ("tin", "yes")
    assert not {"options", "opa", "A", "option1", "choice_a", "sol1", "endings", "answerKey", "cop"} & set(problem.meta)
    assert json.dumps(row) == before, "the row itself is left alone"


@pytest.mark.parametrize("turn", range(3))
def test_a_right_answer_among_wrong_ones_stands_anywhere(turn: int):
    """GPQA, SciQ and TruthfulQA put the right option first in every row."""
    places = set()
    for number in range(40):
        right, wrong = f"right {number}", [f"wrong {number} {i}" for i in range(3)]
        row = [
            {"Question": "?", "Correct Answer": right, **{f"Incorrect Answer {i + 1}": text for i, text in enumerate(wrong)}},
            {
                "question": "?",
                "correct_answer": right,
                **{f"distractor{i + 1}": text for i, text in enumerate(wrong)},
                "support": "s",
            },
            {"question": "?", "mc1_targets": {"choices": [right, *wrong], "labels": [1, 0, 0, 0]}},
        ][turn]
        problem = problem_from_row(row, place="x", default_id="1")
        assert problem.answer_text == right and len(problem.choices or ()) == 4
        assert problem == problem_from_row(row, place="x", default_id="1")
        places.add(problem.answer)
    assert places == set("ABCD")


OPEN_ROWS = {
    "GSM8K": ({"question": "?", "answer": "3*2 = <<3*2=6>>6\nSo 6.\n#### 6"}, "6", ("3*2 = 6", "So 6.")),
    "GSM8K with commas": ({"question": "?", "answer": "Much.\n#### 1,200"}, "1,200", ("Much.",)),
    "MATH": (
        {"problem": "?", "level": "Level 1", "type": "Algebra", "solution": "Half it.\nSo $\\boxed{\\frac{1}{2}}$."},
        "\\frac{1}{2}",
        ("Half it.", "So $\\boxed{\\frac{1}{2}}$."),
    ),
    "MATH-500": ({"problem": "?", "solution": "So $\\boxed{7}$.", "answer": "7", "unique_id": "a/b"}, "7", None),
    "MATH without braces": ({"problem": "?", "solution": "So $\\boxed 7$."}, "7", ("So $\\boxed 7$.",)),
    "two boxes": ({"problem": "?", "solution": "\\boxed{1} is wrong. It is \\boxed{2}."}, "2", None),
    "boxed answer": ({"question": "?", "answer": "$\\boxed{12}$"}, "12", None),
    "SVAMP": ({"ID": "chal-1", "Body": "Ann has 3.", "Question": "How many?", "Equation": "( 3.0 )", "Answer": 3.0}, "3", None),
    "AIME": ({"Problem": "?", "Answer": 33, "ID": "2024-I-1"}, "33", None),
    "TriviaQA": ({"question": "?", "answer": {"value": "Paris", "aliases": ["Paris", "City of Light"]}}, "Paris", None),
    "SQuAD": ({"question": "?", "context": "c", "answers": {"text": ["tin", "a tin"], "answer_start": [1, 2]}}, "tin", None),
    "DROP": ({"passage": "p", "question": "?", "answers_spans": {"spans": ["7"], "types": ["number"]}}, "7", None),
    "DROP as published": ({"question": "?", "answer": {"number": "7", "date": {"day": ""}, "spans": []}}, "7", None),
    "DROP spans": ({"question": "?", "answer": {"number": "", "date": {}, "spans": ["Ann", "Bo"]}}, "Ann, Bo", None),
    "DROP date": (
        {"question": "?", "answer": {"number": "", "date": {"day": "3", "month": "May"}, "spans": []}},
        "3 May",
        None,
    ),
    "NQ": ({"question": "?", "answer": ["tin", "the tin"]}, "tin", None),
    "verl": (
        {
            "prompt": [{"role": "user", "content": "What?"}],
            "reward_model": {"style": "rule", "ground_truth": "72"},
            "data_source": "d",
        },
        "72",
        None,
    ),
    "BIG-bench": ({"inputs": "What?", "targets": ["tin"]}, "tin", None),
    "custom": ({"query": "What?", "gold": "tin"}, "tin", None),
    "prompt": ({"prompt": "What?", "answer": "tin"}, "tin", None),
    "instruction": ({"instruction": "Add.", "input": "1 and 2", "answer": "3"}, "3", None),
    "big number": ({"question": "?", "answer": 10**20}, str(10**20), None),
    "small float": ({"question": "?", "answer": 0.1}, "0.1", None),
    "missing in a frame": ({"question": "?", "answer": float("nan")}, None, None),
}


@pytest.mark.parametrize("name", OPEN_ROWS)
def test_open_answers_of_published_rows(name: str):
    row, answer, steps = OPEN_ROWS[name]
    problem = problem_from_row(row, place="x", default_id="1")
    assert (problem.answer, problem.choices) == (answer, None)
    if steps is not None:
        assert problem.steps == steps and problem.rationale


def test_what_else_published_rows_hold():
    def read(row):
        return problem_from_row(row, place="x", default_id="1")

    boolq = read({"question": "is tin a metal", "title": "Tin", "answer": True, "passage": "Tin is a metal."})
    assert (boolq.choices, boolq.answer, boolq.context) == (("yes", "no"), "A", ("Tin is a metal.",))
    trivia = read(OPEN_ROWS["TriviaQA"][0])
    assert trivia.accepted == ("Paris", "City of Light") and trivia.meta["aliases"] == ["City of Light"]
    assert read(OPEN_ROWS["SVAMP"][0]).question == "Ann has 3. How many?"
    assert read(OPEN_ROWS["instruction"][0]).question == "Add.\n\n1 and 2"
    assert read(OPEN_ROWS["MATH-500"][0]).rationale == "So $\\boxed{7}$."
    assert read(OPEN_ROWS["MATH-500"][0]).id == "a/b"
    pubmed = {
        "question": "?",
        "context": {"contexts": ["a", "b"], "labels": ["x", "y"]},
        "long_answer": "why",
        "final_decision": "yes",
    }
    assert (read(pubmed).context, read(pubmed).rationale, read(pubmed).answer) == (("a", "b"), "why", "yes")
    reader, talk = Reader(), [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What?"}]
    told = reader.problem({"prompt": talk, "answer": "x", "system": "linux"}, place="x", default_id="1")
    assert (told.question, reader.systems, told.meta) == ("What?", ["Be brief."], {"system": "linux"})


REFUSED = {
    "HumanEval": (
        {"task_id": "H/0", "prompt": "def f():", "canonical_solution": "x", "test": "t", "entry_point": "f"},
        "programs",
    ),
    "MBPP": ({"text": "Write.", "question": "Write.", "code": "x", "test_list": ["assert"]}, "programs"),
    "Alpaca": ({"instruction": "Say.", "input": "", "output": "Said."}, "rows for training"),
    "a conversation": (
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        "rows for training",
    ),
    "ShareGPT": ({"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}, "rows for training"),
    "verl's rollouts": (
        {"input": "a", "output": "b", "gts": None, "score": 1.0, "step": 1},
        "import it with soundness import verl",
    ),
    "misspelt answer": ({"question": "?", "anwser": "x"}, "'anwser' looks like the answer"),
    "misspelt choices": ({"question": "?", "chioces": ["a", "b"], "answer": "A"}, "'chioces' looks like the options"),
    "unknown answer": ({"question": "?", "my_gold_label": "x"}, "'my_gold_label' looks like the answer"),
    "unknown options": ({"question": "?", "list_of_options": ["a", "b"], "answer": "A"}, "looks like the options"),
    "two answers": ({"question": "?", "target": "x", "label": "y"}, "target, label may all be the answer"),
    "index without options": ({"question": "?", "label": 1}, "seems to be the index of an option"),
    "answers that disagree": (
        {"question": "?", "options": ["a", "b"], "answer": "A", "answer_index": 1},
        "says that A is right and",
    ),
    "several right": ({"question": "?", "choices": ["a", "b", "c"], "answer": ["A", "C"]}, "A, C are right"),
    "counted from 1": ({"question": "?", "choices": ["a", "b"], "answer": 2}, "answer_number=answer"),
    "index beyond": ({"question": "?", "choices": ["a", "b"], "answer": 7}, "neither a letter"),
    "SocialIQA": ({"question": "?", "answerA": "a", "answerB": "b", "answerC": "c", "label": "1"}, "from 0 or from 1"),
    "PIQA": (
        {"goal": "g", "question": "?", "sol1": "a", "sol2": "b", "label": 1},
        "the number of one option and the index of another",
    ),
    "number or index": (
        {"question": "?", "choices": [1, 2, 3], "answer": 1},
        "option A by its text and option B counted from 0",
    ),
    "solution without answer": ({"problem": "?", "solution": "It is half."}, "neither \\boxed"),
    "object for an answer": ({"question": "?", "answer": {"a": 1}}, "field answer"),
    "nothing asked": ({"answer": "x"}, "field question: it is missing"),
    "empty message": ({"prompt": [{"role": "user", "content": " "}], "answer": "x"}, "empty"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_rows_that_are_asked_about_or_refused_say_why(name: str):
    row, told = REFUSED[name]
    with pytest.raises(TaskError) as error:
        problem_from_row(row, place="f line 1", default_id="1")
    assert told in str(error.value) and str(error.value).startswith("f line 1")
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


@pytest.mark.parametrize(
    "row",
    [
        {"question": "?", "answer": "x", "label": "hard", "target": "adults"},
        {"question": "?", "answer": None, "label": "hard"},
        {"question": "?", "answer": "x", "choice_type": "single", "num_options": 4},
        {"question": "?", "answer": "x", "choices": None, "options": None},
        {"question": "?", "answer": "x", "final_answer_correct": True, "a": "one letter alone"},
        {"question": "?", "answer": "x", "A": "first", "C": "third"},
        {"question": "?", "final_answer_correct": False},
    ],
)
def test_columns_that_only_look_like_ours_are_left_alone(row):
    problem = problem_from_row(row, place="x", default_id="1")
    assert (problem.answer, problem.choices) == (row.get("answer"), None)


@pytest.mark.parametrize(
    ("choices", "answer", "typed", "letter"),
    [
        (["1", "2", "3", "4"], 2, True, "C"),
        (["0", "4", "2", "6"], 1, True, "B"),
        (["10", "20"], 1, True, "B"),
        (["1", "2", "3", "4"], "2", True, "B"),
        ([3, 4], 4, True, "B"),
        ([0, 1, 2], 1, True, "B"),
        (["3", "4"], "4", False, "B"),
        (["oak", "tin"], "1", False, "B"),
        (["4.5", "5"], 0, True, "A"),
        (["1", "2", "3", "4"], "2", False, None),
        ([1, 2, 3, 4], 2, True, None),
        (["10", "20"], 20, True, None),
        (["7", "7"], "7", False, None),
    ],
)
def test_a_number_among_numbers_is_an_index_or_asked_about(choices, answer, typed, letter):
    row = {"question": "?", "choices": choices, "answer": answer}
    if letter is None:
        with pytest.raises(TaskError):
            problem_from_row(row, place="x", default_id="1", typed=typed)
    else:
        assert problem_from_row(row, place="x", default_id="1", typed=typed).answer == letter


def test_columns_decide():
    row = {"question": "?", "choices": ["1", "2", "3", "4"], "answer": "2", "label": "x"}

    def read(changes=None, **columns):
        return problem_from_row({**row, **(changes or {})}, place="x", default_id="1", columns=columns)

    assert read(answer_index="answer").answer == "C"
    assert read(answer_number="answer").answer == "B"
    assert read(answer_text="answer").answer == "B"
    assert read({"answer": 2}, answer_text="answer").answer == "B"
    assert read({"label": "D"}, answer="label", ignore="answer").answer == "D"
    columns = {"question": "ask", "choices": "x, y", "answer": "right", "id": "number", "context": "text", "rationale": "why"}
    made = problem_from_row(
        {"ask": "Q?", "x": "oak", "y": "tin", "right": "tin", "number": 7, "text": "T.", "why": "W."},
        place="x",
        default_id="1",
        columns=columns,
    )
    assert (made.id, made.question, made.choices, made.answer, made.context, made.rationale, made.meta) == (
        *("7", "Q?", ("oak", "tin"), "B", ("T.",), "W."),
        {},
    )
    piqa = {"goal": "Melt tin.", "sol1": "a", "sol2": "b", "label": 1}
    assert (
        problem_from_row(piqa, place="x", default_id="1", columns={"question": "goal", "answer_index": "label"}).answer == "B"
    )
    ignored = problem_from_row(
        {"question": "?", "label": 3, "other": 1}, place="x", default_id="1", columns={"ignore": "label"}
    )
    assert ignored.answer is None
    code = {"prompt": "def f():", "canonical_solution": "x", "test": "t"}
    assert (
        problem_from_row(code, place="x", default_id="1", columns={"question": "prompt", "answer": "canonical_solution"}).answer
        == "x"
    )
    for columns, told in (
        ({"anser": "x"}, "did you mean 'answer'"),
        ({"answer": "anser"}, "no column 'anser'"),
        ({"ignore": "q"}, "'q'"),
    ):
        with pytest.raises(TaskError, match=told):
            problem_from_row(row, place="x", default_id="1", columns=columns)
    with pytest.raises(TaskError, match="give one of answer"):
        problem_from_row(row, place="x", default_id="1", columns={"answer": "answer", "answer_text": "answer"})
