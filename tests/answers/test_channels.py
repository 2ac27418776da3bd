"""What is thinking and what is said: every spelling, opened by whom, closed or not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundness.answers.channels import FORMS, open_form, split_channels

R1 = "<｜User｜>What is 3 + 4?<｜Assistant｜><think>\n"
QWEN = "<|im_start|>user\nWhat is 3 + 4?<|im_end|>\n<|im_start|>assistant\n"
OSS = "<|start|>user<|message|>What is 3 + 4?<|end|><|start|>assistant"
OPEN_OSS = f"{OSS}<|channel|>analysis<|message|>"
NAMES_TAGS = "<|im_start|>user\nThink between <think> and </think>, and begin with <think>.<|im_end|>\n<|im_start|>assistant\n"

# text, prompt, what is thought (None: nothing), what is said, closed, opened by the prompt
CASES = [
    ("<think>\n3 + 4\n</think>\n\nIt is 7.", QWEN, "3 + 4", "It is 7.", True, False),
    ("<THINK>3 + 4</THINK> 7", "", "3 + 4", "7", True, False),
    ("<thinking>3 + 4</thinking>\n7", "", "3 + 4", "7", True, False),
    ("<think>3 + 4</thinking>\n7", "", "3 + 4", "7", True, False),
    ("[THINK]3 + 4[/THINK]7", "<s>[INST]What is 3 + 4?[/INST]", "3 + 4", "7", True, False),
    ("<seed:think>3 + 4</seed:think>7<seed:eos>", "", "3 + 4", "7", True, False),
    ("<thought>\n3 + 4\n</thought>\n\n7", "[|assistant|]", "3 + 4", "7", True, False),
    ("◁think▷3 + 4◁/think▷7", "", "3 + 4", "7", True, False),
    ("<|channel>thought\n3 + 4\n<channel|>7<turn|>", "<|turn>model\n", "3 + 4", "7", True, False),
    ("<|channel>thought\n<channel|>7<turn|>", "<|turn>model\n", None, "7", True, False),
    ("<|START_THINKING|>3 + 4<|END_THINKING|><|START_RESPONSE|>7<|END_RESPONSE|>", "", "3 + 4", "7", True, False),
    ("<|begin_of_thought|>3<|end_of_thought|>\n<|begin_of_solution|>\n7<|end_of_solution|>", "", "3", "7", True, False),
    ("<|begin_of_thought|>3<|end_of_thought|>\n<|begin_of_solution|>It is 7", "", "3", "It is 7", True, False),
    ("<|inner_prefix|>3 + 4<|inner_suffix|>7", "", "3 + 4", "7", True, False),
    ("<reasoning>3 + 4</reasoning>\n<answer>7</answer>", "", "3 + 4", "<answer>7</answer>", True, False),
    ("## Thinking\n\n3 + 4\n\n## Final Response\n\n7", "", "3 + 4", "7", True, False),
    ("Here is my thought process: 3 + 4 Here is my response: 7", "", "3 + 4", "7", True, False),
    # opened by the prompt
    ("3 + 4\n</think>\n\n7", R1, "3 + 4", "7", True, True),
    ("3 + 4\n</think>\n\n7", "", "3 + 4", "7", True, True),
    ("I guess 7. Wait", R1, "I guess 7. Wait", "", False, True),
    ("I guess 7. Wait", "Solve it.\nAssistant: Let me think.\n<think>", "I guess 7. Wait", "", False, True),
    ("a</think>b</think> 7", "", "a</think>b", "7", True, True),
    ("<think>\n3 + 4</think>7", R1, "<think>\n3 + 4", "7", True, True),
    ("It is 7.", f"{QWEN}<think>\n\n</think>\n\n", None, "It is 7.", True, False),
    ("It is 7.", NAMES_TAGS, None, "It is 7.", True, False),
    ("It is 7.", "Think between <think> and </think>.", None, "It is 7.", True, False),
    ("so 7", f"{QWEN}<think>\nOkay, 3 + 4", "so 7", "", False, True),
    # never closed, empty, before
    ("<think>3 + 4 is", QWEN, "3 + 4 is", "", False, False),
    ("[THINK]3 + 4 is", "", "3 + 4 is", "", False, False),
    ("<think>\n\n</think>\n\nIt is 7.", QWEN, None, "It is 7.", True, False),
    ("<think></think>It is 7.", QWEN, None, "It is 7.", True, False),
    ("Sure.\n<think>3 + 4</think>7", QWEN, "3 + 4", "7", True, False),
    ("Just 7.", "", None, "Just 7.", True, False),
    ("", "", None, "", True, False),
    ("Is 3 < 4 and [7] > 2?", "", None, "Is 3 < 4 and [7] > 2?", True, False),
    # several spans
    ("<think>a</think>b<think>c c c</think>d", "", "c c c", "d", True, False),
    ("<think>a</think>b<think>c c c", "", "c c c", "", False, False),
    # gpt-oss
    (
        "<|channel|>analysis<|message|>3 + 4<|end|><|start|>assistant<|channel|>final<|message|>7<|return|>",
        OSS,
        "3 + 4",
        "7",
        True,
        False,
    ),
    ("<|channel|>analysis<|message|>3 + 4 is", OSS, "3 + 4 is", "", False, False),
    ("<|channel|>analysis<|message|>3 + 4 is 7<|end|>", OSS, "3 + 4 is 7", "", True, False),
    ("<|channel|>final<|message|>7", OSS, None, "7", True, False),
    (
        "3 + 4<|end|><|start|>assistant<|channel|>final<|message|>7",
        OPEN_OSS,
        "3 + 4",
        "7",
        True,
        True,
    ),
    ("3 + 4", OPEN_OSS, "3 + 4", "", False, True),
    ("7", f"{OSS}<|channel|>final<|message|>", None, "7", True, False),
    (
        "<|channel|>analysis<|message|>a b c<|end|><|start|>assistant<|channel|>commentary to=functions.sum "
        "<|constrain|>json<|message|>{}<|call|><|start|>assistant<|channel|>analysis<|message|>d<|end|><|start|>assistant<|channel|>final<|message|>7",
        OSS,
        "a b c",
        "7",
        True,
        False,
    ),
    ("analysisWe add 3 + 4.assistantfinal7", "", "We add 3 + 4.", "7", True, False),
    ("analysisWe add 3 + 4", "", "We add 3 + 4", "", False, False),
    ("analysis of 3 + 4: an assistantfinal", "", None, "analysis of 3 + 4: an assistantfinal", True, False),
    # turns
    ("7<|im_end|>\n<|im_start|>user\nMore?", QWEN, None, "7", True, False),
    ("<|start_header_id|>assistant<|end_header_id|>\n\n7<|eot_id|>", "", None, "7", True, False),
    ("<think>3 + 4<|im_end|>\n<|im_start|>user", QWEN, "3 + 4", "", False, False),
    ("7</s><s>[INST] Next", "", None, "7", True, False),
]


@pytest.mark.parametrize(("text", "prompt", "thought", "said", "closed", "by_prompt"), CASES)
def test_what_is_thought_and_said(text: str, prompt: str, thought: str | None, said: str, closed: bool, by_prompt: bool):
    channels = split_channels(text, prompt)
    assert (None if channels.thinking is None else channels.thinking.of(text)) == thought
    assert channels.said.of(text) == said
    assert (channels.closed, channels.opened_by_prompt) == (closed, by_prompt)


@pytest.mark.parametrize("name", [name for name in FORMS if name != "harmony-text"])
def test_every_form_reads_what_it_writes(name: str):
    form = FORMS[name]
    text = f"{form.opening}3 + 4{form.closing}7"
    channels = split_channels(text)
    assert channels.thinking is not None and channels.form is form
    assert (channels.thinking.of(text), channels.opening, channels.transition) == ("3 + 4", form.opening, form.closing)
    assert channels.said.of(text) == "7"


@pytest.mark.parametrize(
    ("text", "prompt", "opening", "transition"),
    [
        ("<think>\na\n</think>\n\n7", "", "<think>\n", "\n</think>\n\n"),
        ("<think>a</think>", "", "<think>", "\n</think>\n\n"),
        ("<think>a", "", "<think>", "\n</think>\n\n"),
        ("a\n</think>\n7", R1, "<think>\n", "\n</think>\n"),
        ("a", R1, "<think>\n", "\n</think>\n\n"),
        ("Hm. <think> a</think> 7", "", "<think> ", "</think> "),
        ("<|channel|>analysis<|message|>a", OSS, "<|channel|>analysis<|message|>", FORMS["harmony"].closing),
        ("<|channel|>analysis<|message|>a<|end|>", OSS, "<|channel|>analysis<|message|>", FORMS["harmony"].closing),
        ("7", "", "", ""),
        ("<think>\n\n</think>\n\n7", "", "", ""),
    ],
)
def test_a_span_is_opened_and_closed_by_exactly_these(text: str, prompt: str, opening: str, transition: str):
    channels = split_channels(text, prompt)
    assert (channels.opening, channels.transition) == (opening, transition)


@pytest.mark.parametrize(
    ("text", "block", "closed"),
    [
        ("<think>a</think>\n<answer>7</answer>", "7", True),
        ("<answer>7", "7", False),
        ("<answer>6</answer> no <answer>7</answer>", "7", True),
        ("I put it in <answer> tags. <answer>\n7\n</answer>", "7", True),
        ("<answer></answer>7", None, True),
        ("<start_working_out>a<end_working_out><SOLUTION>7</SOLUTION>", "7", True),
        ("<think><answer>6</answer></think>7", None, True),
        ("7", None, True),
    ],
)
def test_answer_blocks(text: str, block: str | None, closed: bool):
    channels = split_channels(text)
    assert (None if channels.answer is None else channels.answer.of(text)) == block
    assert channels.answer_closed == closed


def test_what_stands_before_the_thinking_is_said_too():
    text = "Sure, it is 7.\n<think>3 + 4</think>"
    assert split_channels(text).before.of(text) == "Sure, it is 7."
    assert split_channels("7").before.of("7") == ""


def test_a_prompt_opens_what_its_last_turn_leaves_open():
    assert open_form(R1) is FORMS["think"]
    assert open_form(f"{OSS}<|channel|>analysis<|message|>") is FORMS["harmony"]
    assert open_form(f"{QWEN}<think>\n\n</think>\n\n") is None
    assert open_form(NAMES_TAGS) is None


pieces = st.lists(
    st.sampled_from(
        [
            "<think>",
            "</think>",
            "\n",
            "a",
            "7",
            "<answer>",
            "</answer>",
            "<|im_end|>",
            "<|channel|>analysis<|message|>",
            "<|end|>",
        ]
        + [
            "<|start|>assistant<|channel|>final<|message|>",
            "[THINK]",
            "[/THINK]",
            "analysis",
            "assistantfinal",
            "## Thinking\n",
        ]
    ),
    max_size=12,
).map("".join)


@given(pieces | st.text(), pieces | st.text())
def test_stretches_lie_in_the_text_in_order_and_apart(text: str, prompt: str):
    channels = split_channels(text, prompt)
    stretches = [channels.before, *channels.spans, channels.said]
    place = 0
    for stretch in stretches:
        assert place <= stretch.start <= stretch.stop <= channels.end <= len(text)
        place = stretch.stop
    assert all(stretch.of(text).strip() for stretch in channels.spans)
    assert channels.thinking is None or channels.thinking in channels.spans


def test_thousands_of_tags_take_no_time():
    split_channels("<think><answer><thinking></thought>" * 20000)
