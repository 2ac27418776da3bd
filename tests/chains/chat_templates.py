"""Chat templates of model families, as small as they can be, with how each family writes its thinking.

Written from what the published templates render: marks, white space and what the generation prompt leaves open are theirs, words
are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jinja2.sandbox import ImmutableSandboxedEnvironment

from soundness.models.scripted import Behaviour, ScriptedModel
from soundness.records import Prompt


@dataclass(frozen=True)
class MetricGroup:
    """How the models of one family are asked and how they think."""

    name: str
    template: str
    opening: str
    """What the model itself writes before its thoughts."""
    closing: str
    """What it writes between its thoughts and what it says; empty where it does not think."""
    specials: tuple[str, ...] = ()
    """Marks that are tokens of their own."""
    opened: bool = False
    """Whether the prompt opens the thinking."""

    @property
    def thinks(self) -> bool:
        return bool(self.closing)

    @property
    def tags(self) -> tuple[str, str]:
        """What opens and what closes a span, without white space, wherever it is written."""
        if self.opened:
            return "<think>", "</think>"
        return self.opening.strip(), self.closing.strip()

    def render(self, message: str, **options: Any) -> str:
        """Return the prompt that puts `message`."""
        template = ImmutableSandboxedEnvironment().from_string(self.template)
        messages = [{"role": "user", "content": message}]
        return template.render(messages=messages, add_generation_prompt=True, bos_token="<s>", **options)

    def write(self, thought: str, said: str) -> str:
        """Return what a model of this family writes after its prompt; a family that does not think says everything."""
        if not self.thinks:
            return f"{thought}\n{said}"
        return f"{self.opening}{thought}{self.closing}{said}"


_CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
_CHATML_MARKS = ("<|im_start|>", "<|im_end|>", "<think>", "</think>")

QWEN3 = MetricGroup(
    "qwen3",
    _CHATML + "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}",
    "<think>\n",
    "\n</think>\n\n",
    _CHATML_MARKS,
)
QWEN3_THINKING = MetricGroup("qwen3-thinking", _CHATML + "<think>\n", "", "\n</think>\n\n", _CHATML_MARKS, opened=True)
R1_DISTILL = MetricGroup(
    "r1-distill",
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}<｜User｜>{{ m.content }}{% else %}<｜Assistant｜>"
    "{{ m.content.split('</think>')[-1] }}<｜end▁of▁sentence｜>{% endif %}{% endfor %}<｜Assistant｜><think>\n",
    "",
    "\n</think>\n\n",
    ("<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>", "<think>", "</think>"),
    opened=True,
)
GPT_OSS = MetricGroup(
    "gpt-oss",
    "<|start|>system<|message|>You are ChatGPT.\nReasoning: medium\n# Valid channels: analysis, commentary, final.<|end|>"
    "{% for m in messages %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endfor %}<|start|>assistant",
    "<|channel|>analysis<|message|>",
    "<|end|><|start|>assistant<|channel|>final<|message|>",
    ("<|start|>", "<|message|>", "<|channel|>", "<|end|>", "<|return|>"),
)
MAGISTRAL = MetricGroup(
    "magistral",
    "{{ bos_token }}[SYSTEM_PROMPT]First draft your thoughts until you have a response. Use this form: [THINK]Your thoughts.[/THINK]"
    "Then write the response.[/SYSTEM_PROMPT]{% for m in messages %}[INST]{{ m.content }}[/INST]{% endfor %}",
    "[THINK]",
    "[/THINK]",
    ("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[INST]", "[/INST]", "[THINK]", "[/THINK]"),
)
SMOLLM3 = MetricGroup(
    "smollm3",
    "<|im_start|>system\n## Metadata\n\nReasoning Mode: {% if enable_thinking is defined and not enable_thinking %}/no_think"
    "{% else %}/think{% endif %}\n\nThink between <think> and </think> first.<|im_end|>\n"
    + _CHATML
    + "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n{% endif %}",
    "<think>\n",
    "\n</think>\n",
    _CHATML_MARKS,
)
GEMMA3 = MetricGroup(
    "gemma3",
    "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ m.content | trim }}<end_of_turn>\n{% endfor %}<start_of_turn>model\n",
    "",
    "",
    ("<start_of_turn>", "<end_of_turn>"),
)
LLAMA3 = MetricGroup(
    "llama3",
    "<|begin_of_text|>{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content | trim }}<|eot_id|>"
    "{% endfor %}<|start_header_id|>assistant<|end_header_id|>\n\n",
    "",
    "",
    ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
)

FAMILIES = {f.name: f for f in (QWEN3, QWEN3_THINKING, R1_DISTILL, GPT_OSS, MAGISTRAL, SMOLLM3, GEMMA3, LLAMA3)}
THINKERS = [family for family in FAMILIES.values() if family.thinks]
PLAIN = [family for family in FAMILIES.values() if not family.thinks]


class ChatModel(ScriptedModel):
    """A scripted model that is asked through the template of a family."""

    def __init__(self, family: MetricGroup, behaviour: Behaviour | None = None, **options: Any) -> None:
        super().__init__(behaviour or (lambda question, written: ""), name=f"chat-{family.name}")
        self.family = family
        self.options = options

    def render(self, message: str) -> Prompt:
        text = self.family.render(message, **self.options)
        return Prompt(text, tuple(self.encode(text)))
