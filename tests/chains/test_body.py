"""What of a chain is reasoning, and in which words its answer is asked for: thinking models of every family, in both directions."""

from __future__ import annotations

import pytest
from chat_templates import (
    FAMILIES,
    GPT_OSS,
    LLAMA3,
    MAGISTRAL,
    PLAIN,
    QWEN3,
    QWEN3_THINKING,
    R1_DISTILL,
    THINKERS,
    ChatModel,
    MetricGroup,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from soundness.answers.channels import split_channels
from soundness.chains.body import Body, body_of, is_trivial
from soundness.chains.sample import make_chain
from soundness.errors import SettingError
from soundness.models.scripted import load_scripted
from soundness.records import Chain, Generation, Outcome, Problem

PROBLEM = Problem("p", "Tom has 3 apples and buys 4. He eats 2. How many are left?", "5")
CUE = "\nAnswer:"
THOUGHT = "3 + 4 = 7\n7 - 2 = 5"
EMPTY = "<think>\n\n</think>\n\n"
STEPS = "3 + 4 = 7\n7 - 2 = 5\nAnswer: 5"


def chain_of(family: MetricGroup, text: str, finish="stop", problem: Problem = PROBLEM) -> Chain:
    model = ChatModel(family)
    prompt = model.render(problem.question)
    return make_chain(model, problem, prompt, Generation(tuple(model.encode(text)), finish), writer="w")


def body(chain: Chain, reader: MetricGroup | None = None, channel="auto", problem: Problem = PROBLEM, **options) -> Body:
    model = ChatModel(reader) if reader is not None else load_scripted("computes")
    prompt = model.render(problem.question) if reader is not None else chain.prompt
    return body_of(chain, problem, model, prompt=prompt, channel=channel, cue=CUE, **options)


def asked(found: Body, num_steps: int | None = None) -> str:
    """Return everything between the prompt and the answer, after the first steps of the body."""
    ids = found.chain.ids if num_steps is None else found.chain.before(num_steps)
    return found.model.decode((*found.around(ids), *found.cue))


def plain(text: str, problem: Problem = PROBLEM, **options) -> Body:
    model = load_scripted("computes")
    chain = make_chain(
        model, problem, model.render(problem.question), Generation(tuple(model.encode(text)), "stop"), writer="m"
    )
    return body_of(chain, problem, model, cue=CUE, **options)


# --- plain chains -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("3 + 4 = 7\nAnswer: 7\n", "3 + 4 = 7\n"),
        ("3 + 4 = 7\nso it is 7\n", "3 + 4 = 7\nso it is 7\n"),
        ("Answer: 7\n", ""),
        ("", ""),
        ("  \n ", ""),
        ("3 + 4 = 7, then 7 - 2 = 5, so the answer is 5.", "3 + 4 = 7, then 7 - 2 = 5"),
        ("3 + 4 = 7. 7 - 2 = 5. \\boxed{5}", "3 + 4 = 7. 7 - 2 = 5."),
        ("3 + 4 = 7. 7 - 2 = \\boxed{5}", "3 + 4 = 7. 7 - 2 = \\boxed{5}"),
        ("Answer: 3 + 4 = 7, 7 - 2 = 5", "Answer: 3 + 4 = 7, 7 - 2 = 5"),
        ("7 - 2 = 5\nSo the answer is 5.\n\n**Answer:** 5", "7 - 2 = 5\n"),
        ("7 - 2 = 5\nAnswer: 5\nI hope this helps!", "7 - 2 = 5\n"),
    ],
)
def test_the_body_ends_where_the_closing_begins(text, kept):
    found = plain(text)
    assert found.chain.text == kept == "".join(found.chain.step_texts) == "".join(found.pieces)
    assert found.num_steps == len(found.chain.steps)
    assert (found.head, found.close, found.channel) == ((), (), "visible")
    assert all(part.strip() for part in found.chain.step_texts)


@pytest.mark.parametrize(
    ("text", "lead_in", "answer", "end"),
    [
        ("7 - 2 = 5\nAnswer: 5\n", "Answer:", " 5", "\n"),
        ("3 + 4 = 7, then 7 - 2 = 5, so the answer is 5.", ", so the answer is", " 5", "."),
        ("7 - 2 = 5. \\boxed{5}", " \\boxed{", "5", "}"),
        ("7 - 2 = 5\n\nThe final answer is: $\\boxed{5}$", "The final answer is: $\\boxed{", "5", "}"),
        ("7 - 2 = 5\n#### 5", "####", " 5", ""),
        ("7 - 2 = 5. **Answer: 5**", " **Answer:", " 5", "*"),
        ("7 - 2 = \\boxed{5}", "", "5", "}"),
        ("Answer: 3 + 4 = 7, 7 - 2 = 5", "", " 5", ""),
    ],
)
def test_a_chain_can_be_asked_in_its_own_words(text, lead_in, answer, end):
    found = plain(text)
    assert (found.stated.lead_in, found.stated.answer, found.stated.end) == (lead_in, answer, end)
    assert found.stated.span.of(text) == "5"
    start, stop = found.stated.tokens
    assert bytes(text.encode())[start:stop].decode() == "5"
    if lead_in:
        assert (
            found.model.decode(found.led(found.chain.ids)) + answer + end
            == text[: len(found.chain.text + lead_in + answer + end)]
        )
    else:
        assert found.led(found.chain.ids) is None


def test_the_closing_words_go_with_any_text_before_them():
    found = plain("3 + 4 = 7, then 7 - 2 = 5, so the answer is 5.")
    led = [
        found.model.decode(found.led(tuple(text.encode()))) for text in ("3 + 4 = 7,", "3 + 4 = 7\n", "", "It is 9.", "It is 9")
    ]
    assert led == [
        "3 + 4 = 7, so the answer is",
        "3 + 4 = 7\nso the answer is",
        "so the answer is",
        "It is 9. so the answer is",
        "It is 9, so the answer is",
    ]


def test_what_states_nothing_outright_has_no_words_of_its_own():
    found = plain("3 + 4 = 7\n7 - 2 = 5")
    assert found.stated is None
    assert found.led(found.chain.ids) is None
    assert not found.answer_first


@pytest.mark.parametrize(
    ("text", "first", "steps"),
    [
        ("Answer: 5\n3 + 4 = 7\n7 - 2 = 5", True, 3),
        ("The answer is 5.\n3 + 4 = 7\n7 - 2 = 5\nAnswer: 5", True, 3),
        ("Sure! The answer is 5 because 3 + 4 = 7 and 7 - 2 = 5.", True, None),
        ("3 + 4 = 7\n7 - 2 = 5\nAnswer: 5\nCheck: 5 + 2 = 7", False, 2),
        ("The answer is not 4.\n7 - 2 = 5\nAnswer: 5", False, 2),
        ("Answer: 5\nI hope this helps!", False, 0),
        ("The answer is 4.\nNo: 7 - 2 = 5\nAnswer: 5", False, 2),
    ],
)
def test_an_answer_before_the_steps_is_seen(text, first, steps):
    found = plain(text)
    assert found.answer_first is first
    assert steps is None or found.num_steps == steps
    if first:  # cutting the chain finds the answer settled from the first steps on
        assert "5" in "".join(found.chain.step_texts[:2])


def test_choices_close_as_well():
    problem = Problem("p", "Which one moos?", "B", choices=("cat", "cow"))
    found = plain("Cats purr. Cows moo, so the answer is (B).", problem)
    assert found.chain.text == "Cats purr. Cows moo"
    assert (found.stated.lead_in, found.stated.answer, found.stated.end) == (", so the answer is (", "B", ")")


def test_an_answer_block_closes():
    found = plain("3 + 4 = 7\n7 - 2 = 5\n<answer>5</answer>")
    assert found.chain.text == "3 + 4 = 7\n7 - 2 = 5\n"
    assert (found.stated.lead_in, found.stated.answer, found.stated.end) == ("<answer>", "5", "<")


def test_the_body_in_another_vocabulary_keeps_its_steps(tiny):
    other = tiny.load("llama")
    model = load_scripted("computes")
    text = "naïve 3 + 4 = 7, so\nso √49 🙂, which means the answer is 7.\n"
    problem = Problem("p", "q", "7")
    chain = make_chain(model, problem, model.render("q"), Generation(tuple(model.encode(text)), "stop"), writer="m")
    own, read = body_of(chain, problem, model), body_of(chain, problem, other, own_ids=False)
    assert read.chain.step_texts == own.chain.step_texts
    assert other.decode(read.chain.ids) == own.chain.text == "naïve 3 + 4 = 7, so\nso √49 🙂"
    assert read.chain.ids != own.chain.ids
    assert read.stated.lead_in == own.stated.lead_in == ", which means the answer is"
    assert read.stated.tokens is None


def test_tokens_across_an_edge_are_encoded_up_to_it():
    class Wide(ChatModel):
        def pieces(self, ids):
            return {1: ["7 - 2 = 5,"], 2: ["so the"]}.get(ids[0], super().pieces(ids)) if len(ids) == 1 else self.pairs(ids)

        def pairs(self, ids):
            return [self.words[token] if token < len(self.words) else chr(token) for token in ids]

        words = ("", "7 - 2 = 5, so", " the answer", " is", " 5.\n\nBye")

    model = Wide(LLAMA3)
    chain = make_chain(model, PROBLEM, model.render("q"), Generation((1, 2, 3, 4), "stop"), writer="m")
    assert chain.text == "7 - 2 = 5, so the answer is 5.\n\nBye"
    found = body_of(chain, PROBLEM, model)
    assert found.chain.text == "7 - 2 = 5"
    assert found.chain.ids == tuple(b"7 - 2 = 5")
    assert found.stated.tokens == (3, 4)


# --- thinking models ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", THINKERS, ids=lambda family: family.name)
def test_a_thought_is_measured_inside_its_span(family):
    text = family.write(THOUGHT, "He has 5 apples left.\n\nAnswer: 5")
    found = body(chain_of(family, text), family)
    assert found.channel == "thinking"
    assert found.chain.step_texts == ("3 + 4 = 7\n", "7 - 2 = 5")
    closed = family.closing + ("Answer:" if family.closing.endswith("\n") else "\nAnswer:")
    assert asked(found) == f"{family.opening}{THOUGHT}{closed}", "the summary stands behind the thought and is never shown"
    assert asked(found, 1) == f"{family.opening}3 + 4 = 7{closed}"
    assert asked(found, 0) == f"{family.opening}{closed}"
    assert found.model.decode(found.led(found.chain.ids)) == f"{family.opening}{THOUGHT}{family.closing}Answer:"


@pytest.mark.parametrize("reader", FAMILIES.values(), ids=lambda family: family.name)
@pytest.mark.parametrize("writer", FAMILIES.values(), ids=lambda family: family.name)
@pytest.mark.parametrize("own_ids", [True, False])
def test_whoever_reads_a_chain_each_span_is_opened_once_and_closed_once(writer, reader, own_ids):
    """The reader's prompt decides: what it has opened is not opened again, and what it has not is not closed."""
    found = body(chain_of(writer, writer.write(THOUGHT, "Answer: 5")), reader, own_ids=own_ids)
    prompt = reader.render(PROBLEM.question)
    for steps in range(found.num_steps + 1):
        text = asked(found, steps)
        channels = split_channels(text, prompt)
        assert channels.closed
        assert channels.said.of(text) == ("Answer:" if reader.opened or writer.thinks else text.strip())
        inside = "3 + 4 = 7\n7 - 2 = 5"[: (0, 9, 19)[steps]].strip()
        assert ("" if channels.thinking is None else channels.thinking.of(text)) == (
            inside if reader.opened or writer.thinks else ""
        )
        assert "\n\n\n" not in text
        opens, closes = (reader if reader.opened else writer).tags
        if writer.thinks or reader.opened:
            assert (text.count(opens), text.count(closes)) == (int(not reader.opened), 1)


@pytest.mark.parametrize(
    "block", [EMPTY, "<think>\nOkay.\n</think>\n\n", "<think>\nOkay, let me solve the problem.\n</think>\n\n"]
)
def test_a_block_without_reasoning_leaves_the_reasoning_to_what_is_said(block):
    chain = chain_of(QWEN3, block + STEPS)
    found = body(chain, QWEN3)
    assert found.channel == "visible"
    assert found.chain.step_texts == ("3 + 4 = 7\n", "7 - 2 = 5\n")
    assert asked(found) == f"{block}3 + 4 = 7\n7 - 2 = 5\n\nAnswer:"
    base = body(chain, LLAMA3)
    assert asked(base) == "3 + 4 = 7\n7 - 2 = 5\n\nAnswer:", "an empty block means nothing to a model without one"
    thinking = body(chain, QWEN3_THINKING)
    assert asked(thinking) == "3 + 4 = 7\n7 - 2 = 5\n</think>\n\nAnswer:", "a model that always thinks reasons in its span"


def test_an_empty_block_that_the_template_writes_is_none_either():
    model = ChatModel(QWEN3, enable_thinking=False)
    prompt = model.render(PROBLEM.question)
    assert prompt.text.endswith(EMPTY)
    chain = make_chain(model, PROBLEM, prompt, Generation(tuple(model.encode(STEPS)), "stop"), writer="w")
    found = body_of(chain, PROBLEM, model, cue=CUE)
    assert (found.channel, found.num_steps, asked(found)) == ("visible", 2, "3 + 4 = 7\n7 - 2 = 5\n\nAnswer:")


def test_a_thought_that_the_limit_cut_is_cut_off_and_no_answer():
    for family in (R1_DISTILL, QWEN3_THINKING):
        chain = chain_of(family, "First, 3 + 4 = 7. I guess the answer is 5. Wait", finish="length")
        assert (chain.outcome, chain.answer) == (Outcome.CUT_OFF, None)
    for family in (QWEN3, GPT_OSS, MAGISTRAL):
        chain = chain_of(family, f"{family.opening}3 + 4 = 7, so the answer is 5. Wait", finish="length")
        assert (chain.outcome, chain.answer) == (Outcome.CUT_OFF, None)
    closed = chain_of(R1_DISTILL, f"{THOUGHT}\n</think>\n\nAnswer: 5\n", finish="length")
    assert closed.outcome is Outcome.RIGHT


def test_an_answer_inside_a_thought_that_was_never_closed_is_no_step():
    for family in (QWEN3, R1_DISTILL):
        chain = chain_of(family, f"{family.opening}{STEPS}\n")
        found = body(chain, family)
        assert (chain.answer, chain.outcome) == ("5", Outcome.RIGHT)
        assert found.chain.step_texts == ("3 + 4 = 7\n", "7 - 2 = 5\n")
        assert asked(found) == f"{family.opening}3 + 4 = 7\n7 - 2 = 5\n</think>\n\nAnswer:"
        assert found.model.decode(found.led(found.chain.ids)) == f"{family.opening}3 + 4 = 7\n7 - 2 = 5\nAnswer:"


def test_a_thought_may_close_with_its_answer_and_be_thought_through_again():
    closed = body(chain_of(QWEN3, f"<think>\n{THOUGHT}\nSo the answer is 5.\n</think>\n\nAnswer: 5"), QWEN3)
    assert closed.chain.step_texts == ("3 + 4 = 7\n", "7 - 2 = 5\n")
    again = body(chain_of(QWEN3, f"<think>\n{THOUGHT}\nSo the answer is 5.\nCheck: 5 + 2 = 7\n</think>\n\nAnswer: 5"), QWEN3)
    assert again.num_steps == 4


def test_text_before_the_block_stays_before_it():
    chain = chain_of(QWEN3, f"Sure.\n<think>\n{THOUGHT}\n</think>\n\nAnswer: 5")
    found = body(chain, QWEN3)
    assert found.chain.step_texts == ("3 + 4 = 7\n", "7 - 2 = 5")
    assert asked(found) == f"Sure.\n<think>\n{THOUGHT}\n</think>\n\nAnswer:"
    assert asked(body(chain, QWEN3_THINKING)) == f"{THOUGHT}\n</think>\n\nAnswer:"


def test_messages_of_gpt_oss_are_thought_and_said():
    chain = chain_of(GPT_OSS, GPT_OSS.write(THOUGHT, "**5** apples are left.\n\nAnswer: 5"))
    found = body(chain, GPT_OSS)
    assert asked(found) == f"{GPT_OSS.opening}{THOUGHT}{GPT_OSS.closing}\nAnswer:"
    said = body(chain, GPT_OSS, "visible")
    assert said.chain.text == "**5** apples are left.\n\n"
    assert said.model.decode(said.head) == f"{GPT_OSS.opening}{THOUGHT}{GPT_OSS.closing}"
    assert said.close == ()


def test_calls_of_tools_between_thought_and_speech_are_no_closing():
    call = '<|end|><|start|>assistant<|channel|>commentary to=python <|constrain|>json<|message|>{"a": 1}<|call|>'
    text = f"{GPT_OSS.opening}{THOUGHT}{call}<|start|>assistant<|channel|>final<|message|>Answer: 5"
    found = body(chain_of(GPT_OSS, text), GPT_OSS)
    assert asked(found) == f"{GPT_OSS.opening}{THOUGHT}{GPT_OSS.closing}\nAnswer:"


def test_what_is_measured_can_be_said():
    chain = chain_of(QWEN3, f"<think>\n{THOUGHT}\n</think>\n\nFirst 3 + 4 = 7.\nThen 7 - 2 = 5.\nAnswer: 5")
    steps = {channel: body(chain, QWEN3, channel).chain.step_texts for channel in ("thinking", "visible", "both")}
    assert steps["thinking"] == ("3 + 4 = 7\n", "7 - 2 = 5")
    assert steps["visible"] == ("First 3 + 4 = 7.\n", "Then 7 - 2 = 5.\n")
    assert steps["both"] == ("3 + 4 = 7\n", "7 - 2 = 5\n\n", "First 3 + 4 = 7.\n", "Then 7 - 2 = 5.\n")
    visible = body(chain, QWEN3, "visible")
    assert asked(visible, 1) == f"<think>\n{THOUGHT}\n</think>\n\nFirst 3 + 4 = 7.\n\nAnswer:"
    both = body(chain, QWEN3, "both")
    assert asked(both, 3) == f"<think>\n{THOUGHT}\n\nFirst 3 + 4 = 7.\n</think>\n\nAnswer:"
    assert body(chain_of(QWEN3, STEPS), QWEN3, "both").chain.step_texts == ("3 + 4 = 7\n", "7 - 2 = 5\n")
    assert body(chain_of(QWEN3, STEPS), QWEN3, "thinking").num_steps == 0


def test_what_was_said_is_read_behind_an_empty_thought_where_it_is_asked_for():
    chain = chain_of(LLAMA3, STEPS)
    assert asked(body(chain, R1_DISTILL, "visible"), 1) == "\n</think>\n\n3 + 4 = 7\n\nAnswer:"
    assert asked(body(chain, R1_DISTILL), 1) == "3 + 4 = 7\n</think>\n\nAnswer:"


def test_a_part_that_no_chain_has_is_an_error():
    with pytest.raises(SettingError, match="did you mean 'thinking'"):
        body(chain_of(QWEN3, STEPS), QWEN3, "thinkin")


def test_a_chain_from_elsewhere_is_opened_and_closed_as_its_reader_does():
    """Imported: the text carries tags of its own, and stands beside the prompt of whoever scores it."""
    tagged = f"<think>\n{THOUGHT}\n</think>\n\nAnswer: 5"
    bare = f"{THOUGHT}\n</think>\n\nAnswer: 5"
    for text in (tagged, bare):
        assert asked(body(chain_of(R1_DISTILL, text), R1_DISTILL)) == f"{THOUGHT}\n</think>\n\nAnswer:"
        assert asked(body(chain_of(LLAMA3, text), LLAMA3)) == f"<think>\n{THOUGHT}\n</think>\n\nAnswer:"


def test_a_report_of_a_few_words_states_the_answer():
    found = body(chain_of(QWEN3, f"<think>\n{THOUGHT}\n</think>\n\n**5**"), QWEN3)
    assert (found.stated.lead_in, found.stated.answer) == ("\n</think>\n\n**", "5")


@pytest.mark.parametrize("family", PLAIN, ids=lambda family: family.name)
def test_a_model_that_does_not_think_says_its_steps(family):
    found = body(chain_of(family, STEPS), family)
    assert (found.channel, asked(found), found.close) == ("visible", "3 + 4 = 7\n7 - 2 = 5\n\nAnswer:", ())


@pytest.mark.parametrize(
    ("thought", "trivial"),
    [
        ("", True),
        ("Okay.", True),
        ("Okay, let me think step by step about this question before I answer it.", True),
        ("好的，让我想一想。", True),
        ("Hmm, I need to be careful here and work through the whole thing slowly.", True),
        ("3 + 4 = 7", False),
        ("three plus four makes seven", False),
        ("He buys apples and eats apples", False),
        ("word " * 60, False),
    ],
)
def test_a_thought_is_trivial_where_it_touches_nothing_of_the_question(thought, trivial):
    assert is_trivial(thought, PROBLEM) is trivial


def test_a_thought_on_a_question_without_numbers():
    problem = Problem("p", "Which animal moos?", "B", choices=("a purring cat", "a grazing cow"))
    assert not is_trivial("A grazing animal moos.", problem)
    assert is_trivial("Let me think about which option is right.", problem)


@pytest.mark.parametrize(
    "family", [QWEN3, QWEN3_THINKING, R1_DISTILL, GPT_OSS, MAGISTRAL, LLAMA3], ids=lambda family: family.name
)
def test_real_tokens_read_the_same_as_text(tiny, family):
    """On a transformers model whose tokenizer holds the family's marks and its template."""
    tokenizer = tiny.byte_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": list(family.specials)})
    tokenizer.chat_template = family.template
    from soundness.models.load import load_model

    model = load_model(str(tiny.folder(tokenizer=tokenizer, name=f"chat-{family.name}")), dtype="float32", device="cpu")
    prompt = model.render(PROBLEM.question)
    assert prompt.text.endswith(family.render("x")[-6:])
    text = family.write(THOUGHT, "Answer: 5")
    chain = make_chain(model, PROBLEM, prompt, Generation(tuple(model.encode(text)), "stop"), writer="w")
    assert chain.text == text
    found = body_of(chain, PROBLEM, model, cue=CUE)
    scripted = body(chain_of(family, text), family)
    assert [asked(found, steps) for steps in range(3)] == [asked(scripted, steps) for steps in range(3)]
    for tag in family.tags:
        if tag in family.specials and tag in asked(found):
            assert model.encode(tag)[0] in found.around(found.chain.ids), "a mark is one token"
    assert found.stated.tokens is not None
    assert model.decode(chain.ids[found.stated.tokens.start : found.stated.tokens.stop]) == "5"


fragments = st.sampled_from(
    [
        *"ab7.\n =",
        "3 + 4 = 7",
        "Answer: 5",
        "<think>",
        "</think>",
        "[THINK]",
        "\\boxed{5}",
        "é",
        "🙂",
        "<answer>",
        "the answer is ",
        "\n\n",
    ]
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(fragments, max_size=20).map("".join),
    st.sampled_from(list(FAMILIES.values())),
    st.sampled_from(list(FAMILIES.values())),
)
def test_no_text_breaks_it(text, writer, reader):
    chain = chain_of(writer, text)
    for channel in ("auto", "thinking", "visible", "both"):
        found = body(chain, reader, channel)
        assert "".join(found.chain.step_texts) == found.chain.text
        assert (found.chain.steps[-1].stop if found.chain.steps else 0) == len(found.chain.ids)
        assert all(part.strip() for part in found.chain.step_texts)
        for steps in range(found.num_steps + 1):
            assert asked(found, steps).endswith("Answer:")
        found.led(found.chain.ids)
