r"""Displayed formulas, fences, tables, lists and headings: what a step may not be cut out of.

Each case is written with "¦" where a step starts; the character is part of no case.
"""

from __future__ import annotations

import pytest

from soundness.chains.blocks import Kind, row_starts, units
from soundness.chains.steps import SPLITTERS, split_steps, step_texts


def cut(text: str, splitter: str = "auto") -> str:
    pieces = list(text)
    return "¦".join(step_texts(pieces, split_steps(pieces, splitter)))


DISPLAYS = {
    "led to by a word": "We get\n\\[\n2 + 6 = 8\n\\]\n¦Halve it:\n\\[\n8 / 2 = 4\n\\]\n¦So 4.",
    "one behind the other": "$$\n2 + 6 = 8\n$$\n¦$$\n8 / 2 = 4\n$$\n¦Answer: 4",
    "blank lines around it": "The sum is\n\n\\[ 2 + 6 = 8 \\]\n\n¦Half of it is\n\n\\[ 8 / 2 = 4 \\]\n\n¦Answer: 4",
    "goes on behind it": "The area is\n$$A = 3 \\cdot 4 = 12,$$\nwhich we halve.\n¦Answer: 6",
    "rows of one formula": "Then\n\\begin{align*}\nx &= 2 + 6 \\\\\n¦&= 8\n\\end{align*}\n¦Answer: 8",
    "rows on one line": "\\[\\begin{aligned} 2 + 6 &= 8 \\\\ ¦8 / 2 &= 4 \\end{aligned}\\]\n¦So 4.\n¦Done.",
    "rows without marks": "We have\n\\[\n2 + 6 = 8\n¦8 / 2 = 4\n\\]\n¦Answer: 4",
    "a matrix is one thing": "Let\n\\[\n\\begin{pmatrix} a = 1 \\\\ b = 2 \\end{pmatrix}\n\\]\n¦Then b = 2.\n¦Answer: 2",
    "a case distinction is one thing": "\\[ f(x) = \\begin{cases} x = 1 \\\\ x = 2 \\end{cases} \\]\n¦So 2.\n¦Done.",
    "inside a sentence": "Then $$2 + 6 = 8.$$¦ Half of that is $$8 / 2 = 4.$$",
    "a whole sentence leads to none": "So 2 + 6 = 8.\n¦\\[ 8 / 2 = 4 \\]\n¦Answer: 4",
    "never closed": "Here\n¦\\[ 2 + 6 = 8\n¦then 8 / 2 = 4\n¦Answer: 4",
    "money is no formula": "It costs $$5.\n¦She pays $$6.\n\n¦So 11.\n¦Answer: 11",
    "a row's spacing is no opening": "So\n\\begin{gather}\na = 1 \\\\[2pt]\n¦b = 2\n\\end{gather}\n¦Answer: 2",
}
FENCES = {
    "led to": "Run this:\n```python\na = 2 + 6\n\nprint(a / 2)\n```\n¦It prints 4.\n¦Answer: 4",
    "two of them": "Run\n```python\nprint(4)\n```\nwhich gives\n```\n4\n```\n¦That is it.\n¦Answer: 4".replace(
        "which gives", "¦which gives"
    ),
    "program and output": "Run\n```python\nprint(4)\n```\n```text\n4\n```\n¦That is it.\n¦Answer: 4",
    "tildes, and backticks inside": "Text:\n~~~\n```\na\n~~~\n¦Next line.\n¦Answer: 4",
    "sums are steps": "```\n2 + 6 = 8\n¦8 / 2 = 4\n```\n¦Answer: 4",
    "nothing leads to it": "```python\nprint(4)\n```\nIt prints 4.\n¦So it is 4.\n¦Answer: 4",
    "never closed": "Run\n¦```python\nprint(1)\n¦print(4)",
    "in an item": "1. Run\n   ```sh\n   expr 2 + 6\n   ```\n¦2. Halve it.\n¦Answer: 4",
    "a longer fence holds a shorter one": "See\n````\n```\na\n```\nb\n````\n¦So 4.\n¦Answer: 4",
    "inline code is none": "Use `a = 1` first.\n¦Then ``b`` too.\n¦Answer: 4",
}
TABLES = {
    "led to": "The prices are\n| what | price |\n|---|---:|\n| tea | 2 |\n| jam | 6 |\n¦2 + 6 = 8\n¦Answer: 8",
    "nothing leads to it": "| what | price |\n|---|---|\n| tea | 2 |\nIt costs 2.\n¦So 2 + 6 = 8.\n¦Answer: 8",
    "without a separator row": "Prices\n| tea | 2 |\n| jam | 6 |\n¦2 + 6 = 8\n¦Answer: 8",
    "a grid": "Prices\n+-----+---+\n| tea | 2 |\n+-----+---+\n¦2 + 6 = 8\n¦Answer: 8",
    "behind a blank line": "Prices:\n\n| a | b |\n| :- | -: |\n| 1 | 2 |\n\n¦1 + 2 = 3\n¦Answer: 3",
    "absolute values are none": "|x - 1| = 3\n¦|x| = 4\n¦Answer: 4",
    "a bar alone is none": "a | b\n¦c | d\n¦Answer: 4",
}
LISTS = {
    "items": "- 2 + 6 = 8\n¦- 8 / 2 = 4\n¦- done\n¦Answer: 4",
    "an item goes on": "1. We add\n   2 + 6 = 8\n¦2. We halve\n   8 / 2 = 4\n¦Answer: 4",
    "an item with two sums": "1. We add 2 + 6 = 8\n¦   and halve 8 / 2 = 4\n¦2. That is 4.\n¦Answer: 4",
    "led to": "We know:\n- tea is 2\n¦- jam is 6\n¦Both: 2 + 6 = 8\n¦Answer: 8",
    "a marker on a line of its own": "1.\n2 + 6 = 8\n¦2.\n8 / 2 = 4\n¦Answer: 4",
    "items in items": "1. Add:\n   - 2 + 6 = 8\n¦   - 8 + 1 = 9\n¦2. Halve: 8 / 2 = 4\n¦Answer: 4",
    "letters": "(a) 2 + 6 = 8\n¦(b) 8 / 2 = 4\n¦Answer: 4",
    "a minus is no marker": "10\n¦-2\n¦8 is left\n¦Answer: 8",
}
HEADINGS = {
    "marks": "# Solution\n## Add\n2 + 6 = 8\n¦## Halve\n8 / 2 = 4\n¦Answer: 4",
    "bold": "**Step 1: Add them**\n2 + 6 = 8\n¦**Step 2: Halve the sum**\n\n8 / 2 = 4\n¦Answer: 4",
    "a number": "Step 1\n2 + 6 = 8\n¦Step 2\n8 / 2 = 4\n¦Answer: 4",
    "numbered titles": "Step 1: Add them\n2 + 6 = 8\n¦Step 2: Halve the sum\n8 / 2 = 4\n¦Answer: 4",
    "numbered steps are none": "Step 1: Tom has two\n¦Step 2: Ann has six\n¦Step 3: together eight\n¦Answer: 8",
    "a result is none": "## 2 + 6 = 8\n¦## 8 / 2 = 4\n¦Answer: 4",
    "GSM8K's answer is none": "2 + 6 = 8\n¦8 / 2 = 4\n¦#### 4\n¦Question: what next?",
    "GSM8K's marks before words": "#### Add\n2 + 6 = 8\n¦#### 2. Halve\n8 / 2 = 4\n¦#### 4",
    "a bold result is none": "**2 and 6 make 8**\n¦**8 halved makes 4**\n¦Answer: 4",
    "the last word": "2 + 6 = 8\n¦8 / 2 = 4\n¦## Done",
    "rules": "---\n2 + 6 = 8\n***\n¦8 / 2 = 4\n===\n¦Answer: 4",
    "in Chinese": "解：\n2 + 6 = 8\n¦步骤2：\n8 / 2 = 4\n¦答案：4",
    "a colon behind whole sentences": "He has two. She has six. So:\n¦2 + 6 = 8\n¦Answer: 8",
}
CASES = {
    f"{kind}: {name}": case
    for kind, cases in {"display": DISPLAYS, "fence": FENCES, "table": TABLES, "list": LISTS, "heading": HEADINGS}.items()
    for name, case in cases.items()
}


@pytest.mark.parametrize("name", CASES)
def test_blocks_belong_to_a_step(name):
    assert cut(CASES[name].replace("¦", "")) == CASES[name]


def test_lines_are_lines_and_only_markup_goes_with_them():
    text = "Step 1:\n¦```python\na = 1\n¦b = 2\n```\n¦\\[\n2 + 6 = 8\n\\]\n¦| a |\n|---|\n¦| 1 |\n¦## End"
    assert cut(text.replace("¦", ""), "lines") == text


@pytest.mark.parametrize("splitter", SPLITTERS)
def test_no_step_is_markup_alone(splitter):
    text = "a\n\\[\nx = 1\n\\]\n```\nb\n```\n---\n<think>\n$$\ny\n$$\n</think>\n\n\\begin{align}\nc\n\\end{align}\n|---|---|\nd"
    for step in cut(text, splitter).split("¦"):
        assert any(character.isalpha() for character in step.replace("think", "").replace("align", "")), step


def test_units_partition_the_text():
    text = "a\r\n\r\n```\nx\n```\n| a | b |\n|---|---|\n\\[\n1\n\\] so\nb\u2028c\rd"
    found = units(text, 0, len(text))
    assert "".join(unit.of(text) for unit in found) == text
    assert [unit.kind for unit in found] == [
        Kind.TEXT,
        Kind.BLANK,
        Kind.FENCE,
        Kind.TABLE,
        Kind.TEXT,
        Kind.TEXT,
        Kind.TEXT,
        Kind.TEXT,
    ]


def test_rows_need_a_relation_each():
    text = "\\[ 1 + 2 \\\\ + 3 = 6 \\\\ \\text{so} \\]"
    assert list(row_starts(text, 0, len(text))) == []
