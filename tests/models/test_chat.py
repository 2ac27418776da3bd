from __future__ import annotations

import logging

import pytest

from soundness.errors import ModelError, SettingError
from soundness.models import chat
from soundness.models.chat import closing_id, fill_template, render_prompt, turn_end
from soundness.records import Problem, Stop, Turn
from soundness.tasks.base import Task
from soundness.tasks.prompts import Prompting, parse_prompting

QUESTION = "What is 2 + 2?\nThink step by step."

# Templates in the manner of well-known families, written from what they are known to do.
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
THINKING = CHATML[: -len("{% endif %}")] + (
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
OPENS_THINKING = CHATML[: -len("{% endif %}")] + "<think>\n{% endif %}"
DATED = (
    "{% if date_string is not defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "<|im_start|>system\nToday: {{ date_string }}<|im_end|>\n" + CHATML
)
DATED_IN_A_MACRO = (
    '{% macro head() %}{{ "Current date: " + strftime_now("%Y-%m-%d") + "\n" }}{% endmacro %}{{ head() }}' + CHATML
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML
DROPS_SYSTEM = CHATML.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}")
WANTS_SYSTEM = "{% if messages[0].role != 'system' %}{{ raise_exception('A system message is required') }}{% endif %}" + CHATML
PARTS = CHATML.replace("{{ m.content }}", "{% for part in m.content %}{{ part.text }}{% endfor %}")
TRIMS = CHATML.replace("{{ m.content }}", "{{ m.content | trim }}")
DROPS_QUESTION = "{% for m in messages %}<|im_start|>{{ m.role }}<|im_end|>{% endfor %}"
DROPS_ALL_BUT_THE_LAST = "<|im_start|>user\n{{ messages[-1].content }}<|im_end|>\n<|im_start|>assistant\n"
BROKEN = "{% for m in messages %}{{ m.content }}"
NO_SPECIAL = (
    "{% for m in messages %}{% if m.role == 'user' %}USER: {{ m.content }}\n{% else %}ASSISTANT: {{ m.content }}\n{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


@pytest.fixture
def tokenizer(tiny):
    made = tiny.byte_tokenizer()
    made.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    return made


def rendered(tokenizer, own, message=QUESTION, **options):
    tokenizer.chat_template = own
    return render_prompt(tokenizer, message, Prompting(**options))


@pytest.mark.parametrize(
    "template", [CHATML, THINKING, OPENS_THINKING, DATED, DATED_IN_A_MACRO, NO_SYSTEM, PARTS, TRIMS, NO_SPECIAL]
)
def test_the_question_stands_in_the_prompt_of_every_template(tokenizer, template):
    prompt = rendered(tokenizer, template)
    assert QUESTION in prompt.text
    assert tokenizer.decode(prompt.ids) == prompt.text


def test_a_template_that_opens_the_thinking_keeps_it_open(tokenizer):
    assert rendered(tokenizer, OPENS_THINKING).text.endswith("<|im_start|>assistant\n<think>\n")


def test_variables_reach_the_template(tokenizer):
    assert rendered(tokenizer, THINKING).text.endswith("assistant\n")
    assert rendered(tokenizer, THINKING, chat_template_kwargs={"enable_thinking": False}).text.endswith("</think>\n\n")


def test_a_variable_with_a_slip_is_refused_and_one_that_the_other_model_reads_is_told(tokenizer, caplog):
    chat._said.clear()
    with pytest.raises(SettingError, match="'enable_thinkin'.*did you mean 'enable_thinking'"):
        rendered(tokenizer, THINKING, chat_template_kwargs={"enable_thinkin": False})
    with caplog.at_level(logging.WARNING, "soundness"):
        rendered(tokenizer, CHATML, chat_template_kwargs={"enable_thinking": False})
        rendered(tokenizer, CHATML, chat_template_kwargs={"enable_thinking": False})
    assert [one.getMessage() for one in caplog.records if "no effect" in one.getMessage()].__len__() == 1


@pytest.mark.parametrize("template", [DATED, DATED_IN_A_MACRO])
def test_the_day_is_the_same_tomorrow(tokenizer, template, monkeypatch):
    import transformers.utils.chat_template_utils as utils

    class Tomorrow(utils.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2031, 12, 24)

    before = rendered(tokenizer, template).text
    monkeypatch.setattr(utils, "datetime", Tomorrow)
    assert rendered(tokenizer, template).text == before
    assert "2031" not in before and "2025" in before
    assert "2029" in rendered(tokenizer, template, date="2029-02-03").text


@pytest.mark.parametrize("template", [NO_SYSTEM, DROPS_SYSTEM])
def test_a_system_message_that_the_template_refuses_or_drops_stands_before_the_users_words(tokenizer, template):
    tokenizer.chat_template = template
    text = render_prompt(tokenizer, [Turn("system", "Be brief."), Turn("user", QUESTION)]).text
    assert f"user\nBe brief.\n\n{QUESTION}" in text
    tokenizer.chat_template = CHATML
    assert "system\nBe brief.<|im_end|>" in render_prompt(tokenizer, [Turn("system", "Be brief."), Turn("user", QUESTION)]).text


@pytest.mark.parametrize(
    ("template", "told"),
    [
        (WANTS_SYSTEM, "raises: A system message is required"),
        (BROKEN, "raises: "),
        ("{{ messages[7].content }}", "raises: "),
        (DROPS_QUESTION, "leaves out what it is asked"),
        ("[INST] {{ message }} [/INST]", "leaves out what it is asked"),
    ],
)
def test_a_template_that_cannot_ask_is_refused_in_one_line(tokenizer, template, told):
    with pytest.raises(ModelError) as error:
        rendered(tokenizer, template)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_template_that_wants_a_system_message_gets_one(tokenizer):
    tokenizer.chat_template = WANTS_SYSTEM
    assert QUESTION in render_prompt(tokenizer, [Turn("system", "Be brief."), Turn("user", QUESTION)]).text


def test_worked_examples_that_a_template_drops_are_refused(tokenizer):
    tokenizer.chat_template = DROPS_ALL_BUT_THE_LAST
    turns = [Turn("user", "1 + 1?"), Turn("assistant", "Answer: 2"), Turn("user", QUESTION)]
    with pytest.raises(ModelError, match="leaves out"):
        render_prompt(tokenizer, turns)
    assert QUESTION in render_prompt(tokenizer, turns[-1:]).text


def test_template_none_is_plain_text_and_another_template_replaces_the_tokenizers(tokenizer, tmp_path):
    assert rendered(tokenizer, CHATML, template="none").text == f"{QUESTION}\n"
    path = tmp_path / "mine.jinja"
    path.write_text("<<{{ messages[0].content }}>>")
    tokenizer.chat_template = CHATML
    assert render_prompt(tokenizer, QUESTION, parse_prompting({"chat_template": path})).text == f"<<{QUESTION}>>"


def test_one_beginning_of_text_and_no_end(tiny):
    for chat_template in (None, "{{ bos_token }}" + NO_SPECIAL):
        tokenizer = tiny.byte_tokenizer()
        tokenizer.chat_template = chat_template
        ids = render_prompt(tokenizer, "Hi").ids
        assert ids.count(tokenizer.bos_token_id) == 1
        assert ids[-1] != tokenizer.eos_token_id


def test_the_turn_end_is_the_templates_own(tokenizer):
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    for template in (CHATML, THINKING, DATED, NO_SYSTEM, PARTS):
        tokenizer.chat_template = template
        assert turn_end(tokenizer) == ((end,), ())
        assert closing_id(tokenizer) == end
    tokenizer.chat_template = NO_SPECIAL
    assert turn_end(tokenizer) == ((), ("USER:",))
    assert closing_id(tokenizer) == tokenizer.eos_token_id
    tokenizer.chat_template = None
    assert turn_end(tokenizer) == ((), ())
    for template in (WANTS_SYSTEM, BROKEN, "{% for m in messages %}- {{ m.content }}\n{% endfor %}"):
        tokenizer.chat_template = template
        assert turn_end(tokenizer) == ((), ())


def test_a_turn_end_that_the_model_was_not_loaded_with_stops_by_the_prompt(tokenizer):
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert rendered(tokenizer, CHATML).stop is None  # the model's own, known since it was loaded
    assert rendered(tokenizer, None, chat_template=CHATML).stop == Stop(ids=(end,))
    assert rendered(tokenizer, NO_SPECIAL).stop == Stop(("USER:",))
    task = Task("t", (Problem("1", "2 + 2?", "4"),)).with_prompting(Prompting(stop=("###", 7)))

    class Model:
        def render(self, message, prompting=None):
            return render_prompt(tokenizer, message, prompting)

    tokenizer.chat_template = NO_SPECIAL
    assert task.prompt(Model(), task.problems[0]).stop == Stop(("###", "USER:"), (7,))


def test_a_stale_end_of_text_does_not_let_a_turn_run_on(tiny, tokenizer):
    from soundness.models.load import load_model

    tokenizer.chat_template = CHATML
    folder = tiny.folder("llama", tokenizer=tokenizer, name="chatml-with-a-stale-end")
    model = load_model(str(folder), dtype="float32", device="cpu")
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert model.stops == [1, end]
    assert model.instructed


def test_a_conversation_with_parts_for_content_keeps_its_assistants_words(tokenizer):
    tokenizer.chat_template = PARTS
    turns = [Turn("user", "1 + 1?"), Turn("assistant", "Answer: 2"), Turn("user", QUESTION)]
    assert "assistant\nAnswer: 2<|im_end|>" in fill_template(tokenizer, turns)
