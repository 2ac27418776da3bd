from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundness.answers.numbers import as_number, find_numbers
from soundness.errors import SettingError
from soundness.interventions import NoEdit
from soundness.interventions.number_mistake import OPERATORS, change_number, eligible_steps, mistake
from soundness.records import Edit, Span

SUM = "3 + 4 = 7\nNow take two.\n7 - 2 = 5\nAnswer: 5"


def edit_of(tools, chain, step, **settings) -> Edit | NoEdit:
    settings = {"seed": 0, "keep_tail": True} | settings
    return mistake(chain, step, tools.pieces(chain.ids), tools.encode, tools.decode, **settings)


def test_the_result_of_a_step_changes_and_nothing_else(tools):
    chain = tools.chain(SUM, answer="5")
    edit = edit_of(tools, chain, 0)
    assert edit.kind == "mistake_splice"
    assert edit.before == "3 + 4 = 7\n"
    assert edit.after.startswith("3 + 4 = ") and edit.after[8] not in "75" and edit.after[9:] == "\n"
    assert tools.decode(edit.ids) == edit.after + SUM[10:]
    assert edit.ids[:8] == chain.ids[:8]
    assert edit.ids[-20:] == chain.ids[-20:]


def test_without_the_tail_the_chain_ends_with_the_mistake(tools):
    chain = tools.chain(SUM, answer="5")
    edit = edit_of(tools, chain, 2, keep_tail=False)
    assert edit.kind == "mistake_regenerate"
    assert tools.decode(edit.ids) == SUM[:24] + edit.after
    assert edit_of(tools, chain, 2).after == edit.after, "both forms make the same mistake"


def test_the_operand_is_the_first_of_several_numbers(tools):
    chain = tools.chain(SUM, answer="5")
    edit = edit_of(tools, chain, 0, operator="operand")
    assert edit.after[0] != "3" and edit.after[1:] == " + 4 = 7\n"
    assert edit_of(tools, chain, 3, operator="operand").reason.startswith("only one number")
    with pytest.raises(SettingError, match="did you mean 'operand'"):
        edit_of(tools, chain, 0, operator="operant")


def test_steps_without_a_number_are_not_edited(tools):
    chain = tools.chain(SUM, answer="5")
    assert edit_of(tools, chain, 1) == NoEdit("mistake_splice", "no number in this step")
    with pytest.raises(SettingError, match="step 4"):
        edit_of(tools, chain, 4)


def test_eligible_steps_have_a_number_and_come_before_the_answer(tools):
    chain = tools.chain(SUM, answer="5")
    assert eligible_steps(chain, tools.pieces(chain.ids)) == (0,)
    unread = tools.chain(SUM)
    assert eligible_steps(unread, tools.pieces(unread.ids)) == (0, 2, 3)
    assert eligible_steps(unread, tools.pieces(unread.ids), "operand") == (0, 2)


numerals = st.one_of(
    st.integers(-99999, 99999).map(str),
    st.integers(0, 10**9).map("{:,}".format),
    st.decimals(0, 9999, places=2).map(str),
    st.sampled_from(["0", "00", "007", ".5", "−4", "0.05", "1,200.50", "-$5"]),
)


@given(numerals, st.integers())
def test_a_changed_number_differs_and_keeps_its_form(text, seed):
    number = find_numbers(text)[0]
    assert number.text == text
    changed = change_number(number, random.Random(seed))
    assert as_number(changed) not in (None, number.value)
    assert [mark if not mark.isdigit() else "d" for mark in changed] == [mark if not mark.isdigit() else "d" for mark in text]
    digits = changed.lstrip("-−$")
    assert digits[0] != "0" or text.lstrip("-−$")[0] == "0" or len(digits.split(".")[0]) == 1


step_strategy = st.tuples(
    st.sampled_from(["", "é ", " so ", "(a) "]), numerals, st.sampled_from([" = ", " and ", ": $"]), numerals
)


@given(st.lists(step_strategy.map("".join), min_size=1, max_size=4), st.data())
def test_mistakes_always_differ_in_one_number_of_one_step(tools, lines, data):
    chain = tools.chain("\n".join(lines), splitter="lines", answer=data.draw(st.none() | numerals))
    step = data.draw(st.integers(0, len(chain.steps) - 1))
    settings = {
        "seed": data.draw(st.integers(0, 5)),
        "keep_tail": data.draw(st.booleans()),
        "operator": data.draw(st.sampled_from(OPERATORS)),
    }
    edit = edit_of(tools, chain, step, **settings)
    assert edit == edit_of(tools, chain, step, **settings)
    if isinstance(edit, NoEdit):
        assert settings["operator"] == "operand" and len(find_numbers(edit.reason)) == 0
        return
    texts = tools.steps(chain)
    assert edit.before == texts[step]
    tail = "".join(texts[step + 1 :]) if settings["keep_tail"] else ""
    assert tools.decode(edit.ids) == "".join(texts[:step]) + edit.after + tail
    assert edit.ids[: chain.steps[step].start] == chain.ids[: chain.steps[step].start]
    if settings["keep_tail"] and tail:
        assert edit.ids[-len(tools.encode(tail)) :] == chain.ids[chain.steps[step].stop :]
    old, new = find_numbers(edit.before), find_numbers(edit.after)
    assert len(old) == len(new)
    place = 0 if settings["operator"] == "operand" else len(old) - 1
    assert [index for index in range(len(old)) if old[index].value != new[index].value] == [place]
    if chain.answer is not None:
        assert new[place].value != as_number(chain.answer)


def test_seeds_problems_and_samples_draw_apart(tools):
    text = "1234567890 = 9876543210\nx"
    chains = [tools.chain(text, problem_id=problem, sample=sample, splitter="lines") for problem in "ab" for sample in range(3)]
    assert len({edit_of(tools, chain, 0, seed=seed).after for chain in chains for seed in range(3)}) > 12


def test_the_chains_own_answer_is_never_written_by_mistake(tools):
    chain = tools.chain("2 + 1 = 3\nx", answer="8")
    written = {edit_of(tools, chain, 0, seed=seed).after for seed in range(200)}
    assert written == {f"2 + 1 = {digit}\n" for digit in "01245679"}


def test_a_token_that_straddles_the_number_is_encoded_anew(tools):
    pieces = ["so ", "a= 3", " end"]
    chain = replace(tools.chain("so a= 3 end"), ids=(900, 901, 902), steps=(Span(0, 3),))

    def decode(ids):
        return "".join(pieces[token - 900] if token >= 900 else chr(token) for token in ids)

    edit = mistake(chain, 0, pieces, lambda text: [ord(mark) for mark in text], decode, seed=0, keep_tail=True)
    assert edit.ids[0] == 900 and not {901, 902} & set(edit.ids)
    assert decode(edit.ids) == edit.after != chain.text


def test_a_number_in_the_middle_of_a_character_split_over_tokens_is_never_cut_there(tools):
    pieces = ["is ", "", "é3"]
    chain = replace(tools.chain("is é3"), ids=(900, 901, 902), steps=(Span(0, 3),))

    def encode(text):
        return [ord(mark) for mark in text]

    def decode(ids):
        return "".join(pieces[token - 900] if token >= 900 else chr(token) for token in ids)

    edit = mistake(chain, 0, pieces, encode, decode, seed=0, keep_tail=True)
    assert edit.ids[0] == 900 and 901 not in edit.ids
    assert decode(edit.ids) == edit.after


def test_a_tokenizer_that_cannot_write_the_change_makes_no_edit(tools):
    chain = tools.chain("a = 3")
    edit = mistake(chain, 0, tools.pieces(chain.ids), lambda text: [0], lambda ids: "?", seed=0, keep_tail=True)
    assert edit == NoEdit("mistake_splice", "the changed text does not survive the tokenizer")
