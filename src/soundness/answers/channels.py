r"""What of a text is thinking and what is said.

Models mark their thinking in a dozen spellings; every one of them stands in this file and nowhere else. A thinking span may be opened
by the prompt's template, may be left unclosed where the token limit cut it, and is none where it is empty.

>>> channels = split_channels("<think>\n3 + 4 = 7\n</think>\n\nAnswer: 7")
>>> channels.thinking, channels.said, channels.closed, channels.opening, channels.transition
(Stretch(start=8, stop=17), Stretch(start=28, stop=37), True, '<think>\n', '\n</think>\n\n')
>>> split_channels("3 + 4 = 7, so", prompt="<|im_start|>assistant\n<think>\n").closed
False
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import NamedTuple

__all__ = ["FORMS", "Channels", "Form", "Stretch", "open_form", "split_channels", "with_thinking"]


class Stretch(NamedTuple):
    """A half-open stretch of characters of a text."""

    start: int
    """First character."""
    stop: int
    """Character after the last."""

    def of(self, text: str) -> str:
        """Return what stands there in `text`."""
        return text[self.start : self.stop]


@dataclass(frozen=True, slots=True)
class Form:
    """One way of marking thinking, as the templates of its models write it, white space included."""

    name: str
    """Short name, such as `think` or `harmony`."""
    opening: str
    """What opens a thinking span."""
    closing: str
    """What closes it and leads to what is said."""


_WORDS = (
    "think",  # DeepSeek R1, Qwen3, QwQ, GLM, Phi-4-reasoning, MiniMax, SmolLM3, Nemotron
    "thinking",
    "thought",  # EXAONE Deep
    "thoughts",
    "seed:think",  # Seed-OSS
    "longcat_think",
    "reasoning",
    "scratchpad",
    "analysis",
    "rationale",
    "inner_monologue",
)
_PAIRS = (
    Form("mistral", "[THINK]", "[/THINK]"),  # Magistral, Ministral 3
    # Sky-T1, OpenThinker
    Form("thought-token", "<|begin_of_thought|>\n\n", "\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\n"),
    Form("gemma", "<|channel>thought\n", "\n<channel|>"),  # Gemma 4
    Form("kimi", "◁think▷", "◁/think▷"),  # Kimi-VL-Thinking
    Form("cohere", "<|START_THINKING|>", "<|END_THINKING|><|START_RESPONSE|>"),  # Command A Reasoning
    Form("apertus", "<|inner_prefix|>", "<|inner_suffix|>"),
    Form("working-out", "<start_working_out>", "<end_working_out>"),  # Unsloth's GRPO notebooks
)
_HARMONY = Form("harmony", "<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>")
_BARE_HARMONY = Form("harmony-text", "analysis", "assistantfinal")  # gpt-oss decoded without its special tokens
_HEADED = (
    Form("headings", "## Thinking\n\n", "\n\n## Final Response\n\n"),  # HuatuoGPT-o1
    Form("granite", "Here is my thought process:\n", "\nHere is my response:\n"),  # Granite 3.2
)

FORMS: dict[str, Form] = {
    form.name: form
    for form in (
        *(Form(word, f"<{word}>\n", f"\n</{word}>\n\n") for word in _WORDS),
        *_PAIRS,
        _HARMONY,
        _BARE_HARMONY,
        *_HEADED,
    )
}
"""Name -> form."""


def _tag(transition: str) -> str:
    """Return the first tag of a transition: '<|end_of_thought|>' of one that opens the solution too."""
    tag = re.match(r"\s*(<\|channel>thought|<[^<>]*>|\[[^\[\]]*\]|◁[^◁▷]*▷)", transition)
    assert tag is not None
    return tag[1].casefold()


_TAGGED = [form for form in FORMS.values() if form not in (_HARMONY, _BARE_HARMONY, *_HEADED)]
_OPENS = {_tag(form.opening): form for form in _TAGGED}
_CLOSES = {_tag(form.closing): form for form in _TAGGED}

_TURN = (
    # What ends a turn or opens another one, left in the text where special tokens are kept: everything behind it is not the answer.
    r"<\|(?:im_end|im_start|eot_id|eot|eom_id|eom|endoftext|end_of_text|begin_of_text"
    r"|start_header_id|header_start|end|return|end_of_turn"
    r"|user|assistant|system|observation|END_OF_TURN_TOKEN|START_OF_TURN_TOKEN|endofassistant|assistant_end|user_start|EOT|start)\|>"
    r"|<\|turn>|<turn\|>|<start_of_turn>|<end_of_turn>|</?s>|<eos>|<seed:eos>|<seed:bos>|<[｜|](?:end▁of▁sentence|User|Assistant)[｜|]>"
    r"|\[/?INST\]|\[\|(?:endofturn|user|assistant|system)\|\]"
)
_EVENT = re.compile(
    rf"(?P<open>{'|'.join(map(re.escape, _OPENS))})|(?P<close>{'|'.join(map(re.escape, _CLOSES))})|(?P<turn>{_TURN})",
    re.IGNORECASE,
)
_MARKED = re.compile(r"[<\[◁]|^\s*(?:analysis|##|Here)")
"""What a text must hold to have any channel or turn marked at all."""
_TAGS_ALONE = re.compile(r"(?:\s|</?[a-zA-Z_:]{1,20}>|<\|[^<>|]{1,30}\|>)*")
_HEADER = re.compile(
    # The header of the model's own turn, which some tools leave in front of what it wrote; at most a few of its marks in a row.
    r"(?:\s*(?:<s>|<\|begin_of_text\|>|(?:<\|im_start\|>|<\|turn>|<start_of_turn>)(?:assistant"
    r"|model)|<\|assistant\|>|<[｜|]Assistant[｜|]>"
    r"|<\|(?:start_header_id|header_start)\|>assistant<\|(?:end_header_id|header_end)\|>|\[\|assistant\|\]|\[/INST\])){1,3}\s*"
)
_MESSAGE = re.compile(
    # One message of the harmony format, role and recipient optional:
    # <|start|>role<|channel|>name to=tool <|constrain|>json<|message|>.
    r"(?:<\|start\|>[a-z]{0,16}[^<]{0,80})?<\|channel\|>\s{0,4}(?P<name>[a-z]{1,16})(?P<more>[^<]{0,80}(?:<\|constrain\|>[^<]{0,40})?)<\|message\|>"
)
_MESSAGE_END = re.compile(r"<\|(?:end|return|call|start|channel)\|>")
_BARE_START = re.compile(r"analysis(?=[^\s\w]|[A-Z0-9])")
_BARE_NEXT = re.compile(r"assistant(?:final|(?:commentary|analysis)(?=[^\sa-z]|\s*to=))")
_HEADINGS = {
    "headings": (re.compile(r"\s*##[ \t]*Thinking[ \t]*\n"), re.compile(r"^##[ \t]*Final Response[ \t]*$", re.MULTILINE)),
    "granite": (
        re.compile(r"\s*Here(?: is|'s) my thought process:", re.IGNORECASE),
        re.compile(r"Here(?: is|'s) my response:", re.IGNORECASE),
    ),
}
_SAID = re.compile(
    # Special tokens around what is said, where a form marks that too: they lead from thinking to speech, and are no part of either.
    r"\s*(?:<\|begin_of_solution\|>|<\|START_(?:RESPONSE|TEXT)\|>)\s*",
    re.IGNORECASE,
)
_SAID_END = re.compile(r"<\|end_of_solution\|>|<\|END_(?:RESPONSE|TEXT)\|>", re.IGNORECASE)
_BLOCK = re.compile(r"<(?P<word>answer|final_?answer|final|solution|output|response)>", re.IGNORECASE)
"""Blocks that hold what is answered: <answer>, Unsloth's <SOLUTION>, Ernie's <response> and the like."""


@dataclass(frozen=True, slots=True)
class Channels:
    """A text taken apart: characters that are thinking and characters that are said."""

    spans: tuple[Stretch, ...]
    """What is thought, in order, tags and surrounding white space left out; an empty span is no span."""
    thinking: Stretch | None
    """The longest of `spans`, or None where nothing is thought."""
    said: Stretch
    """What is said after the last thinking, up to the end of the turn; empty where thinking was left unclosed."""
    before: Stretch
    """What is said in front of the first thinking tag; empty where there is none."""
    answer: Stretch | None
    """What the last answer block (`<answer>...</answer>`) of `said` holds, or None where there is no such block."""
    answer_closed: bool
    """Whether that block is closed."""
    form: Form | None
    """How thinking is marked, empty blocks included; None where it is not."""
    opened_by_prompt: bool
    """Whether the thinking was opened before the text begins."""
    closed: bool
    """Whether the last thinking span is closed; True where there is none."""
    opening: str
    """What opens `thinking` exactly, white space included, as it stands in the text or (`opened_by_prompt`) at the prompt's end."""
    transition: str
    """What leads from `thinking` to what follows it exactly, closing tag and white space included; the form's own where the text
    has none."""
    end: int
    """Where the turn ends: what stands behind this character (another turn) was not asked for."""


def with_thinking(thought: str, said: str) -> str:
    r"""Return one text of what a tool keeps as two, reasoning and reply; the reply alone where nothing was thought.

    >>> with_thinking("3 + 4", "7"), with_thinking("  ", "7")
    ('<think>\n3 + 4\n</think>\n\n7', '7')
    """
    form = FORMS["think"]
    return f"{form.opening}{thought.strip()}{form.closing}{said}" if thought.strip() else said


def open_form(prompt: str) -> Form | None:
    r"""Return the form of the thinking span that `prompt` leaves open, or None where it opens none.

    >>> open_form("<|im_start|>assistant\n<think>\n").name, open_form("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    ('think', None)
    """
    return _left_open(prompt)[0]


def _left_open(prompt: str) -> tuple[Form | None, str]:
    """Return the form that `prompt` leaves open and its opening exactly, white space included."""
    message = next(iter(list(_MESSAGE.finditer(prompt))[-1:]), None)
    if message is not None and not _MESSAGE_END.search(prompt, message.end()):
        is_open = message["name"] == "analysis"
        return (_HARMONY, prompt[message.start("name") - len("<|channel|>") :]) if is_open else (None, "")
    # Only the model's own turn counts: an instruction may well name the tags. Without turn marks the tag must be the last word.
    turns = [event for event in _EVENT.finditer(prompt) if event["turn"]]
    tail = turns[-1].end() if turns else len(prompt)
    last = None
    for event in _EVENT.finditer(prompt, tail):
        last = event if event["open"] else None
    if last is None:
        stripped = prompt.rstrip()
        tag = max((tag for tag in _OPENS if stripped.casefold().endswith(tag)), key=len, default=None)
        return (_OPENS[tag], prompt[len(stripped) - len(tag) :]) if tag is not None else (None, "")
    form = _OPENS[last[0].casefold()]
    opening = prompt[last.start() :]
    return form, opening if not opening[len(last[0]) :].strip() else prompt[last.start() : last.end()]


def split_channels(text: str, prompt: str = "") -> Channels:
    r"""Return what of `text` is thinking and what is said; `prompt` is what the model was shown, as rendered.

    Without the prompt a closing tag that nothing opened is taken for one that the prompt did. Never raises.

    >>> split_channels("<think>\n\n</think>\n\n7").thinking is None
    True
    >>> text = "<|channel|>analysis<|message|>3 + 4<|end|><|start|>assistant<|channel|>final<|message|>7<|return|>"
    >>> split_channels(text).said.of(text)
    '7'
    """
    form, opening = _left_open(prompt) if prompt else (None, "")
    if form is None and not _MARKED.search(text):
        said = _trimmed(text, 0, len(text))
        return Channels((), None, said, Stretch(0, 0), None, True, None, False, True, "", "", len(text))
    if form is _HARMONY or _MESSAGE.search(text):
        return _split_messages(text, form, opening)
    begin = header.end() if (header := _HEADER.match(text)) else 0
    if form is None:
        bare = _BARE_START.match(text, begin)
        if bare is not None:
            return _split_bare(text, bare.end())
        for name, (first, second) in _HEADINGS.items():
            heading = first.match(text, begin)
            if heading is not None:
                return _split_headed(text, FORMS[name], begin, heading, second)
    return _split_tags(text, begin, form, opening)


class _Cut(NamedTuple):
    """A raw thinking span: where its opening starts and ends, where its closing starts and ends; nothing trimmed."""

    opening: int
    start: int
    stop: int
    resume: int
    closed: bool


def _split_tags(text: str, begin: int, form: Form | None, prompt_opening: str) -> Channels:
    cuts: list[_Cut] = []
    opened = _Cut(begin, begin, begin, begin, False) if form is not None else None
    by_prompt = form is not None
    current = form
    end = len(text)
    events = list(_EVENT.finditer(text, begin))
    last_close = {_CLOSES[event["close"].casefold()].name: index for index, event in enumerate(events) if event["close"]}
    for index, event in enumerate(events):
        if event["open"]:
            if opened is None:
                current = _OPENS[event["open"].casefold()]
                form = form or current
                opened = _Cut(event.start(), event.end(), event.end(), event.end(), False)
        elif event["close"]:
            closes = _CLOSES[event["close"].casefold()]
            if opened is not None:
                # Its own tag closes a span; another one only where the own tag never comes (<think> ... </thinking>).
                if closes is current or (current is not None and last_close.get(current.name, -1) < index):
                    cuts.append(_Cut(opened.opening, opened.start, event.start(), event.end(), True))
                    opened = None
            elif cuts and _TAGS_ALONE.fullmatch(text, event.end()) is None:
                # A second closing tag: all up to here was still thinking. One with nothing behind it is a stray.
                cuts[-1] = cuts[-1]._replace(stop=event.start(), resume=event.end())
            elif not cuts:
                form = form or closes
                by_prompt = True
                cuts.append(_Cut(begin, begin, event.start(), event.end(), True))
        elif event["turn"] and text[begin : event.start()].strip():
            end = event.start()
            break
    if opened is not None:
        cuts.append(_Cut(opened.opening, opened.start, end, end, False))
    return _channels(text, begin, end, cuts, form, by_prompt, prompt_opening)


def _split_messages(text: str, form: Form | None, prompt_opening: str) -> Channels:
    """Take apart the messages of gpt-oss: analysis is thinking, the last final message is what is said."""
    cuts: list[_Cut] = []
    said: tuple[int, int] | None = None
    by_prompt = form is not None
    heads = [(0, 0, "analysis", "")] if by_prompt else []
    heads += [(head.start(), head.end(), head["name"], head["more"]) for head in _MESSAGE.finditer(text)]
    for index, (opening, start, name, more) in enumerate(heads):
        following = heads[index + 1][0] if index + 1 < len(heads) else len(text)
        mark = _MESSAGE_END.search(text, start, following)
        stop = mark.start() if mark is not None else following
        closed = mark is not None or following < len(text)
        if name == "final":
            said = (start, stop)
        elif name == "analysis" or "to=" in more:
            cuts.append(_Cut(opening, start, stop, mark.end() if mark is not None else following, closed))
    end = said[1] if said is not None else len(text)
    if cuts and said is not None:
        # All that stands between the last thinking and the final message is one transition.
        cuts = [cut for cut in cuts if cut.start < said[0]]
        cuts[-1:] = [cut._replace(resume=said[0]) for cut in cuts[-1:]]
    channels = _channels(text, 0, end, cuts, _HARMONY, by_prompt, prompt_opening)
    spoken, answer, answer_closed = _spoken(text, _trimmed(text, *(said if said is not None else (end, end))))
    return replace(channels, said=spoken, answer=answer, answer_closed=answer_closed)


def _split_bare(text: str, start: int) -> Channels:
    """Take apart what gpt-oss wrote where its special tokens were dropped: analysisWe need ... assistantfinal7."""
    cuts: list[_Cut] = []
    opening = 0
    said: tuple[int, int] | None = None
    for mark in _BARE_NEXT.finditer(text, start):
        if said is None:
            cuts.append(_Cut(opening, start, mark.start(), mark.end(), True))
        opening, start = mark.span()
        said = (mark.end(), len(text)) if mark[0].endswith("final") else None
    if said is None:
        cuts.append(_Cut(opening, start, len(text), len(text), False))
    return _channels(text, 0, len(text), cuts, _BARE_HARMONY, False, "")


def _split_headed(text: str, form: Form, begin: int, heading: re.Match[str], second: re.Pattern[str]) -> Channels:
    closing = second.search(text, heading.end())
    stop, resume = closing.span() if closing is not None else (len(text), len(text))
    cut = _Cut(heading.start(), heading.end(), stop, resume, closing is not None)
    turn = next((event.start() for event in _EVENT.finditer(text, resume) if event["turn"]), len(text))
    return _channels(text, begin, turn, [cut], form, False, "")


def _trimmed(text: str, start: int, stop: int) -> Stretch:
    """Return the stretch without the white space at its ends."""
    inside = text[start:stop]
    left = len(inside) - len(inside.lstrip())
    return Stretch(start + left, max(start + left, start + len(inside.rstrip())))


def _channels(
    text: str, begin: int, end: int, cuts: list[_Cut], form: Form | None, by_prompt: bool, prompt_opening: str
) -> Channels:
    trimmed = [_trimmed(text, cut.start, cut.stop) for cut in cuts]
    filled = [index for index, stretch in enumerate(trimmed) if stretch.stop > stretch.start]
    longest = max(filled, key=lambda index: trimmed[index].stop - trimmed[index].start, default=None)
    opening, transition = "", ""
    if longest is not None and form is not None:
        cut, stretch = cuts[longest], trimmed[longest]
        opening = prompt_opening if by_prompt and longest == 0 else text[cut.opening : stretch.start]
        resume = _trimmed(text, cut.resume, end).start if cut.closed else end
        resume = mark.end() if (mark := _SAID.match(text, resume, end)) else resume
        # White space behind the closing tag belongs to it only where something follows.
        transition = text[stretch.stop : resume] if cut.closed and resume < end else form.closing
    first, last = (cuts[0], cuts[-1]) if cuts else (None, None)
    said = _trimmed(text, last.resume if last is not None and last.closed else end if last is not None else begin, end)
    said, answer, answer_closed = _spoken(text, said)
    return Channels(
        spans=tuple(trimmed[index] for index in filled),
        thinking=None if longest is None else trimmed[longest],
        said=said,
        before=_trimmed(text, begin, first.opening) if first is not None else Stretch(begin, begin),
        answer=answer,
        answer_closed=answer_closed,
        form=form,
        opened_by_prompt=by_prompt,
        closed=last is None or last.closed,
        opening=opening,
        transition=transition,
        end=end,
    )


def _spoken(text: str, said: Stretch) -> tuple[Stretch, Stretch | None, bool]:
    """Return what is said, the marks of the form around it left out, and the answer block in it."""
    mark = _SAID.match(text, said.start, said.stop)
    if mark is not None:
        close = _SAID_END.search(text, mark.end(), said.stop)
        said = _trimmed(text, mark.end(), close.start() if close is not None else said.stop)
    return said, *_answer_block(text, said)


def _answer_block(text: str, said: Stretch) -> tuple[Stretch | None, bool]:
    """Return what the last answer block holds, and whether it is closed; a block left open counts where it runs to the end."""
    blocks: list[tuple[Stretch, bool]] = []
    never_closed: set[str] = set()
    for tag in _BLOCK.finditer(text, said.start, said.stop):
        closing = f"</{tag['word']}>"
        if closing.casefold() in never_closed:
            continue  # a search to the end for each of a thousand open tags would take for ever
        found = re.compile(re.escape(closing), re.IGNORECASE).search(text, tag.end(), said.stop)
        if found is None:
            never_closed.add(closing.casefold())
        stretch = _trimmed(text, tag.end(), found.start() if found is not None else said.stop)
        if stretch.stop > stretch.start:
            blocks.append((stretch, found is not None))
    whole = [block for block in blocks if block[1]] or blocks
    return whole[-1] if whole else (None, True)
