"""Reading answers: the reader, math-verify alone, and the two answer filters of lm-evaluation-harness for GSM8K, kind by kind.

The texts are those of `tests/answers/tables.py` and, where it lies beside the checkout, of `../shared/cases`. A tool is right on a text
when it says "right" exactly where that is expected; texts on which two verdicts are fine are left out. The other tools know no
options, so their figures are over texts without any. `python -m benchmarks --only answers` writes the table into docs/reading.md.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from soundness.answers import grade
from soundness.records import Problem

ROOT = Path(__file__).resolve().parents[1]
CASES = ROOT.parent / "shared" / "cases"
DATA = ROOT.parent / "shared" / "data"
DOCUMENT = ROOT / "docs" / "reading.md"
BEGIN, END = "<!-- written by: python -m benchmarks --only answers -->", "<!-- end -->"
ROUNDS = 3


class Text(NamedTuple):
    """One text with what its grade must be."""

    kind: str
    text: str
    finish: str
    problem: Problem
    prompt: str
    right: bool | None
    """Whether it must be right; None where both verdicts are fine."""
    expected: frozenset[str]


def tables() -> dict[str, Any]:
    """Return the tables of the tests, which are no package."""
    spec = importlib.util.spec_from_file_location("answer_tables", ROOT / "tests" / "answers" / "tables.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    kinds: dict[str, Any] = module.KINDS
    return kinds


def own_texts() -> Iterator[Text]:
    """Yield the texts of the tests."""
    names = {"R": "right", "W": "wrong", "U": "unreadable", "C": "cut_off"}
    for kind, rows in tables().items():
        for row in rows:
            expected = frozenset(names[letter] for letter in row.grades.replace("N", "WU"))
            right = None if len(expected) > 1 and "right" in expected else "right" in expected
            yield Text(
                kind, row.text, row.finish, Problem("1", "?", row.reference, choices=row.choices), row.prompt, right, expected
            )


def handed_texts() -> Iterator[Text]:
    """Yield the texts that were handed out, where they are there."""
    for path in sorted(CASES.glob("grading_*.jsonl")) if CASES.is_dir() else ():
        for line in path.read_text(encoding="utf-8").splitlines():
            case = json.loads(line)
            choices = tuple(case["choices"]) if case["choices"] else None
            expected = frozenset(case["expected"])
            right = None if len(expected) > 1 and "right" in expected else "right" in expected
            problem = Problem("1", "?", case["answer"], choices=choices)
            yield Text(
                f"handed out: {path.stem.removeprefix('grading_')}", case["text"], case["finish"], problem, "", right, expected
            )


def filters() -> dict[str, Callable[[str, str], bool]]:
    """Return lm-eval's `strict-match` and `flexible-extract` with its own comparison; empty where it is not installed.

    Their regular expressions are taken from the installed package, without importing it: that takes seconds.
    """
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or spec.origin is None:
        return {}
    document = (Path(spec.origin).parent / "tasks" / "gsm8k" / "gsm8k.yaml").read_text(encoding="utf-8")
    ignored = [json.loads(one) for one in re.findall(r'^\s+- ("(?:[^"\\]|\\.)*")$', document, re.MULTILINE)[:4]]
    patterns = [json.loads(one) for one in re.findall(r'regex_pattern: ("(?:[^"\\]|\\.)*")', document)]
    places = {"strict-match": 0, "flexible-extract": -1}

    def plain(text: str) -> str:
        for pattern in ignored:
            text = re.sub(pattern, "", text)
        return text.casefold()

    def of(pattern: str, place: int) -> Callable[[str, str], bool]:
        def right(text: str, reference: str) -> bool:
            found = re.findall(pattern, text)
            if not found:
                return False
            one = found[place]
            one = next((group for group in one if group), "") if isinstance(one, tuple) else one
            return plain(one.strip()) == plain(reference)

        return right

    return {name: of(pattern, places[name]) for name, pattern in zip(places, patterns, strict=True)}


def math_verify_alone(text: str, reference: str) -> bool:
    """Return what math-verify says of a text by itself."""
    import math_verify

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    return bool(math_verify.verify(math_verify.parse(reference), math_verify.parse(text)))


def measure() -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Return one row per kind (texts, and how many each tool judges as it must), and answers a second by sort of text."""
    others: dict[str, Callable[[str, str], bool]] = {"math-verify": math_verify_alone, **filters()}
    rows: dict[str, dict[str, Any]] = {}
    for one in (*own_texts(), *handed_texts()):
        row = rows.setdefault(one.kind, {"kind": one.kind, "texts": 0, "soundness": 0, "open": 0, **dict.fromkeys(others, 0)})
        graded = grade(one.text, one.finish, one.problem, one.prompt)  # type: ignore[arg-type]
        row["texts"] += 1
        row["soundness"] += graded.outcome in one.expected
        if one.right is None or one.problem.choices is not None:
            continue
        row["open"] += 1
        for name, tool in others.items():
            row[name] += tool(one.text, str(one.problem.answer)) == one.right
    return list(rows.values()), speed()


def speed() -> dict[str, float]:
    """Return answers a second on one core: numbers, words and options that are stated, formulas, and texts that state nothing."""
    steps = "She sells 16 - 3 - 4 = {0} eggs a day.\nShe makes {0} * 2 = ${1} at the farmers' market.\n"
    forms: dict[str, Callable[[int], tuple[str, Problem]]] = {
        "numbers": lambda i: (steps.format(i, 2 * i) + f"Answer: {2 * i}", Problem("1", "?", "18")),
        "words": lambda i: (f"It lies on river {i}.\nThe answer is **Town {i}**, the capital.", Problem("1", "?", "Town 7")),
        "options": lambda i: (
            f"It is number {i}.\nAnswer: {'ABCD'[i % 4]}",
            Problem("1", "?", "B", choices=("cat", "cow", "dog", "hen")),
        ),
        "nothing stated": lambda i: (steps.format(i, 2 * i), Problem("1", "?", "18")),
        "formulas": lambda i: (f"so $y = {i}x + 1$, hence \\boxed{{{i}x + 1}}", Problem("1", "?", "1 + 7x")),
    }
    rates = {}
    for name, form in forms.items():
        best = 0.0
        for round_ in range(ROUNDS):
            texts = [form(i + 10_000 * round_) for i in range(300)]  # never the same text twice: comparisons are cached
            start = time.process_time()
            for text, problem in texts:
                grade(text, "stop", problem)
            best = max(best, len(texts) / (time.process_time() - start))
        rates[name] = best
    return rates


def data_rows() -> list[str]:
    """Return the rows on other people's data: texts that nobody wrote for the reader, and what the reader and flexible-extract make of them."""
    loose = filters().get("flexible-extract")
    lines = []
    for name, what in (("gsm8k_test", "GSM8K's own solutions, no mark"), ("gsm8k_train", "GSM8K's own solutions, no mark")):
        path = DATA / f"{name}.jsonl"
        if path.is_file():
            found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            texts = [("\n".join(row["steps"]), str(row["answer"])) for row in found]
            grades = [grade(text, "stop", Problem("1", "?", answer)) for text, answer in texts]
            read, right = sum(g.answer is not None for g in grades), sum(g.outcome == "right" for g in grades)
            theirs = "not run" if loose is None else f"{sum(loose(text, answer) for text, answer in texts)}"
            lines.append(f"| `{name}` | {what}: the last number | {len(texts)} | {read} | {right} | {theirs} |")
    path = DATA / "medqa_chains_gpt35_gpt4.jsonl"
    if path.is_file():
        found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        given = [
            (
                row["predicted"],
                grade(row["trace"], "stop", Problem("1", "?", row["answer"], choices=tuple(row["choices"]))).answer,
            )
            for row in found
            if row.get("predicted")
        ]
        read, same = sum(answer is not None for _, answer in given), sum(answer == wanted for wanted, answer in given)
        what = "free rationales, most of which never say which option they mean; agreement with what the source read"
        lines.append(f"| `medqa_chains_gpt35_gpt4` | {what} | {len(given)} | {read} | {same} | - |")
    return lines


def markdown() -> str:
    """Return the table of kinds, the one on other people's data, and the speed."""
    rows, rates = measure()
    names = [name for name in rows[0] if name not in ("kind", "texts", "open", "soundness")]
    lines = [f"| kind | texts | soundness | without options | {' | '.join(names)} |", "|---|---|---|---|" + "---|" * len(names)]
    total = dict.fromkeys(("texts", "soundness", "open", *names), 0)
    for row in rows:
        others = " | ".join(str(row[name]) if row["open"] else "-" for name in names)
        lines.append(f"| {row['kind']} | {row['texts']} | {row['soundness']} | {row['open'] or '-'} | {others} |")
        for name in total:
            total[name] += row[name]
    others = " | ".join(f"**{total[name]}**" for name in names)
    lines.append(f"| **all** | **{total['texts']}** | **{total['soundness']}** | **{total['open']}** | {others} |")
    said = ", ".join(f"{name} {rate:,.0f}" for name, rate in rates.items())
    if data := data_rows():
        head = ["On other people's data, where no text was written for the reader:", ""]
        columns = ["| data | what | texts | read | right | flexible-extract |", "|---|---|---|---|---|---|"]
        lines += ["", *head, *columns, *data]
    return "\n".join([*lines, "", f"Answers a second on one core, best of {ROUNDS} rounds: {said}."])


def write(table: str) -> None:
    """Put the table into docs/reading.md."""
    text = DOCUMENT.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    DOCUMENT.write_text(f"{head}{BEGIN}\n\n{table}\n\n{END}{tail}", encoding="utf-8")
