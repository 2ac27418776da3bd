r"""Where a text states an answer: markers in a dozen languages, boxes, JSON fields, GSM8K's `####`.

A statement is a place, not yet an answer. What only sounds like one is left out: hypotheticals, negations, wrong answers that are
warned of, answers to single steps, judgements ("the answer is correct"), and questions.

>>> text = "A common wrong answer is 32. The answer is 18. (If she kept none the answer would be 32.)"
>>> [statement.of(text) for statement in find_statements(text)]
['18']
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from soundness.answers.markup import braced, fold

__all__ = ["Statement", "find_statements", "is_correction", "next_question", "sentence_start", "sentence_stop"]

Source = Literal["marker", "label", "boxed", "json", "hashes", "reversed", "judged", "pick"]

MAX_STATED = 600
"""Characters in which an answer must be stated; without a limit, text that repeats itself for ever takes for ever to read."""
MAX_MARKERS = 100
"""Markers at either end of a text that are looked at; a text with more repeats itself."""
MAX_UNCLOSED = 20
"""Boxes without an end that are looked into; a text that opens one after the other never closes any."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One place where an answer is stated."""

    begin: int
    """Where the statement begins: its marker."""
    start: int
    """Where what is stated starts."""
    stop: int
    """Where it stops: the end of its sentence, line, box or field."""
    source: Source
    """How it is marked; `label` is a marker that ends in a colon or stands alone on its line, `judged` is "B is correct"."""
    strong: bool = True
    """Whether it is outright; "Result:" may head a step."""
    runs_on: bool = False
    """Whether another sentence follows on its line."""
    comma: bool = False
    """Whether its language writes decimal commas."""
    value: str | None = None
    """What a JSON field holds, unquoted; None for any other source."""

    def of(self, text: str) -> str:
        """Return what is stated."""
        return self.value if self.value is not None else text[self.start : self.stop]


# --- markers ----------------------------------------------------------------------------------------------------------

_COLON = r"(?:[ \t*_]{0,8}(?:[:=|]|->|→|⇒)|[*_]{0,3}[ \t]-(?=[ \t]))[ \t*_:]{0,12}"
_LINK = (
    rf"(?:{_COLON}|[\s*_\"']{{0,8}}\b(?P<copula>isn't|is not|wasn't|was not|can't be|cannot be"
    rf"|is|was|would be|should be|must be|will be|could"
    rf" be|might be|may be|has to be|ought to be|equals"
    r"|comes to|comes out to be|turns out to be|works out to be|becomes|appears to be|seems to be|are)\b[\s*_:\"]*)"
)
_STAR = r"(?:[ \t]*[*_]{1,3})?"
_NOTE = r"(?:[ \t]*\([^()\n]{1,40}\))?"
_KINDS: dict[str, tuple[tuple[str, ...], re.Pattern[str]]] = {
    # Kind -> words that are looked for (fast), and the marker as it stands from such a word on.
    # "Answer: 18", "The final answer (in dollars) is 18", "answer to the question is"
    "en": (
        ("answer",),
        re.compile(
            rf"answers?(?:[ \t]+(?:choice|option))?\b{_STAR}{_NOTE}(?P<about>[ \t]+(?:to|for|of|in"
            rf"|from)[ \t]+[^.:=\n]{{1,80}}?)?{_LINK}",
            re.IGNORECASE,
        ),
    ),
    "bare": (("answer", "result"), re.compile(r"(?:answer|result)[ \t*_]+(?=[\d$\\(-])", re.IGNORECASE)),  # "final answer 18"
    "ans": (("ans",), re.compile(r"ans\.?(?:[ \t]*[:=]|[ \t]+(?=[\d$(-]))[ \t*_]*", re.IGNORECASE)),
    "result": (
        ("result", "solution", "value", "output"),
        re.compile(
            rf"(?:result|solution|value|output)\b{_STAR}{_NOTE}(?P<about>[ \t]+(?:to|for|of)[ \t]+[^.,:=\d\n]{{1,40}}?)?"
            rf"(?:{_COLON}|[ \t*_]*\b(?:is|equals)\b[ \t*_:]*)",
            re.IGNORECASE,
        ),
    ),
    # "I choose B", "I would go with (C)"
    "pick": (
        (
            "choose",
            "chose",
            "pick",
            "select",
            "go with",
            "going with",
            "went with",
            "opt for",
            "opted for",
            "vote for",
            "settle on",
            "answer with",
        ),
        re.compile(
            r"(?:choose|chose|picked|pick|selected|select|go with|going with|went with|opt for|opted"
            r" for|vote for|settle on|answer with)\b[ \t*_:]*",
            re.IGNORECASE,
        ),
    ),
    # "The correct option is", "my choice:"
    "choice": (
        ("option", "choice", "one", "alternative", "pick", "guess", "statement", "completion", "diagnosis", "letter"),
        re.compile(
            rf"(?:option|choice|letter|one|alternative|pick|guess|statement|completion|diagnosis)\b{_STAR}{_LINK}",
            re.IGNORECASE,
        ),
    ),
    # German and Dutch; French; Spanish, Portuguese and Italian
    "de": (
        ("antwort", "ergebnis", "lösung", "antwoord"),
        re.compile(
            rf"(?:antwort|ergebnis|lösung|antwoord)\b{_STAR}(?P<about>[ \t]+(?:auf|zu|zur|op)[ \t]+[^.:\n]{{1,60}}?)?"
            r"(?:[ \t]*[:=]|[ \t]+(?P<copula>ist|lautet|beträgt|wäre|wird|is|luidt)(?:[ \t]+(?:also"
            r"|daher|somit|dus))?\b[ \t]*:?)[ \t*_]*",
            re.IGNORECASE,
        ),
    ),
    "fr": (
        ("réponse", "résultat"),
        re.compile(
            rf"(?:réponse|résultat)\b(?:[ \t]+(?:finale?|correcte?|exacte?|juste"
            rf"|attendue?))*{_STAR}(?P<about>[ \t]+(?:à|de)[ \t]+[^.:\n]{{1,60}}?)?"
            r"(?:[ \t]*[:=]|[ \t]+(?P<copula>est|serait)(?:[ \t]+donc)?\b[ \t]*:?)[ \t*_]*",
            re.IGNORECASE,
        ),
    ),
    "es": (
        ("respuesta", "resultado", "solución", "resposta", "risposta", "risultato"),
        re.compile(
            rf"(?:respuesta|resultado|solución|resposta|risposta|risultato)\b(?:[ \t]+(?:finale?"
            rf"|correct[ao]|corrett[ao]|certa|exacta|giusta))*{_STAR}"
            r"(?P<about>[ \t]+(?:a|para|de|da|alla)[ \t]+[^.:\n]{1,60}?)?"
            r"(?:[ \t]*[:=]|[ \t]+(?P<copula>es|sería|seria|é|è|sarebbe)(?:[ \t]+(?:por tanto|entonces"
            r"|quindi|portanto))?(?!\w)[ \t]*:?)[ \t*_]*",
            re.IGNORECASE,
        ),
    ),
    "option": (
        ("opción corr", "opção corr", "opzione corr", "option corr", "bonne option", "alternativa corr", "richtig ist"),
        re.compile(
            r"richtig ist[ \t]+|(?:bonne[ \t]+)?(?:opción|opção|opzione|option|alternativa)(?:[ \t]+(?:correcta|correta|corretta"
            r"|correcte))?[ \t]*(?:[:=]|[ \t](?:es|é|è|est)\b)[ \t*_]*",
            re.IGNORECASE,
        ),
    ),
    # Russian, Polish, Turkish, Vietnamese, Indonesian, Swedish, Finnish, Hungarian, Arabic, Hindi
    "label": (
        ("ответ", "отв", "odpowiedź", "cevap", "đáp án", "jawaban", "svar", "vastaus", "válasz", "الجواب", "الإجابة", "उत्तर"),
        re.compile(
            r"(?:ответ|отв|odpowiedź|cevap|đáp án(?: đúng)?|jawaban(?:nya)?|svar|vastaus|válasz|الجواب"
            r"|الإجابة|उत्तर)[ \t*_]*(?:[:=]|[—-][ \t]|là\b|adalah\b|är\b)[ \t*_:]*",
            re.IGNORECASE,
        ),
    ),
    # Chinese, Japanese, Korean
    "zh": (
        ("答案",),
        re.compile(
            r"答案(?:选项|選項)?(?:[】\]][ \t*_]*:?|[ \t*_]*(?:(?:应该|应|應該|應|就|便)?(?:是|为|為|选择|選擇|选|選)|[:=]))[ \t*_:]*"
        ),
    ),
    "zhpick": (
        ("选", "選"),
        re.compile(r"(?:选择|選擇|选|選)(?:项|項)?[ \t]*(?:是|为|為|[:=])?[ \t*_]*"),
    ),
    "zhlabel": (("答", "最终结果", "最終結果"), re.compile(r"(?:答|最终结果|最終結果)[ \t*_]*(?::|是|为|為)[ \t*_:]*")),
    "ja": (("答え", "解答", "回答", "正解", "答"), re.compile(r"(?:答え|解答|回答|正解|答)[ \t*_]*(?:は|[:=])[ \t*_:、,]*")),
    "ko": (("정답", "답", "해답"), re.compile(r"(?:정답|답변|답|해답)[ \t*_]*(?:은|는|[:=])[ \t*_:]*")),
}
_LETTER_BEFORE = re.compile(r"[^\W_]\Z")
_FINAL_BEFORE = re.compile(r"final[ \t*_]+\Z", re.IGNORECASE)
_PICKER_BEFORE = re.compile(
    r"(?:\b(?:I|we)(?:['’]d|['’]ll|['’]m| would| will| have to| must| am| am going to)?["
    r" \t]+(?:therefore[ \t]+|thus[ \t]+|choose to[ \t]+)?|\b(?:so|thus|hence|therefore),?["
    r" \t]+)\Z",
    re.IGNORECASE,
)
_ADJECTIVE_BEFORE = re.compile(
    r"\b(?:correct|right|best|chosen|final|appropriate|suitable|true|likely|my)[ \t*_]+(?:answer[ \t]+)?\Z", re.IGNORECASE
)
_ZH_PICKER_BEFORE = re.compile(
    r"(?:(?:故|因此|所以|因而|综上|于是)[,，]?[ \t]*(?:本题|此题|应该|应|應|我)?[ \t]*"
    r"|本题|此题|应|應|我|正确|(?:^|[\n。，,])[ \t*]*)\Z"
)
_LINE_BEFORE = re.compile(r"(?:^|[\n。])[ \t*_]*\Z")


def _lower(text: str) -> str:
    """Return `text` in lower case, character by character, so that places stay."""
    low = text.lower()
    return (
        low
        if len(low) == len(text)
        else "".join(one if len(one := character.lower()) == 1 else character for character in text)
    )


def _places(low: str, start: int, stop: int) -> list[tuple[int, str]]:
    """Return where a word of a marker stands, and its kind."""
    places = []
    for kind, (words, _) in _KINDS.items():
        for word in words:
            place = low.find(word, start, stop)
            while place >= 0:
                places.append((place, kind))
                place = low.find(word, place + len(word), stop)
    places.sort()
    return places if len(places) <= 2 * MAX_MARKERS else places[:MAX_MARKERS] + places[-MAX_MARKERS:]


_HEADING = re.compile(
    # A line that is nothing but "Final Answer", "### Answer", "**Final result**": what it heads is on the next line.
    r"^[ \t>#*_]*(?:\d{1,2}[.)][ \t*_]*)?(?:(?:the|your|my)[ \t]+)?(?P<word>final answer"
    r"|answer|final result|final solution|result|conclusion|antwort"
    r"|endergebnis|ergebnis|réponse(?: finale)?|respuesta(?: final)?|最终答案|答案|最終的な答え|答え|최종 답|정답)[ \t:*_]*$",
    re.IGNORECASE | re.MULTILINE,
)
_HASHES = re.compile(r"^[ \t]*####[ \t]*(?!#)(?P<content>\S[^\n]{0,199})$", re.MULTILINE)
_BOXED = re.compile(r"\\(?:boxed|fbox|framebox)\s*(?:\{|(?P<bare>[\w.-]+))")
_BETWEEN_BOXES = re.compile(
    r"[\s$.]*(?:,|;|and|or|&|und|et|y|\\(?:quad|text\s*\{\s*(?:and|or|,)\s*\})|\\[,;! ]"
    r"|\$)*[\s$]*",
    re.IGNORECASE,
)
_FIELD = re.compile(
    r"[\"'](?P<key>(?:final|correct|model|predicted|chosen|my)?[_ ]?(?:answer|choice|option"
    r"|label|prediction|result|solution)(?:[_ ]?(?:choice|letter|key|value"
    r"|text))?)[\"']\s*:\s*",
    re.IGNORECASE,
)
_STRING = re.compile(r"\"((?:[^\"\\\n]|\\.){0,2000})\"|'((?:[^'\\\n]|\\.){0,2000})'")
_SCALAR = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|True|False|null|None")
_REVERSED = re.compile(
    # "18 is the answer", "(B) is correct", "option C is the right choice": the answer stands first. From the verb on.
    r" (?:is|was|are|would be|must be|should be)[ \t]+(?:(?:therefore|thus|clearly|indeed|definitely)[ \t]+)?"
    r"(?:(?:the|my|our|your)[ \t]+(?:(?:final|correct|right|best|most likely|required|desired|most appropriate)[ \t]+)*"
    r"(?:answer|choice|option|result|solution|one)\b(?![ \t]+(?:to|for|of)[ \t]+(?:step|part|question))"
    r"|(?P<judged>(?:the[ \t]+)?(?:most[ \t]+likely[ \t]+)?(?:correct|right|best|most appropriate|true one)\b))",
    re.IGNORECASE,
)
_REVERSED_VERBS = (" is ", " was ", " are ", " would be ", " must be ", " should be ")
_SUBJECT = re.compile(r"[^.!?;,\n]{1,90}$")

# --- what does not count ----------------------------------------------------------------------------------------------

_DENIED_WORDS = frozenset(
    # Words right in front of "answer" that make it another one than the text's own.
    "wrong incorrect false naive tempting intuitive initial previous earlier original old"
    " first intermediate partial alternative other another"
    " possible plausible student's students' his her their user's assistant's invalid"
    " erroneous mistaken falsche falschen mauvaise incorrecte"
    " incorrecta errada no not isn't without whose any every each multiple many several two"
    " both these those common commonly typical if when"
    " whether step sub-question suppose supposing assume assuming imagine".split()
)
_SOMEBODY = re.compile(
    # What somebody might think the answer is: "you might think the", "some would say the", "at first glance the".
    r"\b(?:might|may|could|would|some|many|most|people|students?|one|naively|intuition"
    r"|tempt\w*|first glance|at first)\b[^.]*\b(?:think|guess|say|says|assume|believe|expect"
    r"|conclude|suppose|suggests?|that)\b[^.]{0,20}$"
    r"|\bat first(?: glance| sight)?\b",
    re.IGNORECASE,
)
_OTHERWISE = re.compile(
    r"[\s*_\"'-]*(?:alternatively|otherwise|for comparison|by contrast|in contrast|in the"
    r" other case|in that case|on the other hand)\b",
    re.IGNORECASE,
)
_PASSED_OVER = frozenset("final correct right the a an given chosen".split())
_DENIED_CJK = ("错误", "错误的", "错的", "错", "誤った", "틀린", "不正确的", "假答案")
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*'?")
_ABOUT_STEP = re.compile(
    r"\b(?:step|sub-?question|sub-?problem|intermediate|(?:first|second|third|fourth|next"
    r"|previous|last) (?:part|step|question|problem)|part\s+\(?(?:[a-z]|\d+|i+)\)?(?!\w)"
    r"|question\s+\d)\b",
    re.IGNORECASE,
)
_JUDGEMENT = re.compile(
    r"[\s*_\"']*(?:(?:therefore|thus|also|indeed|clearly|then|hence|now|simply|definitely"
    r"|already|not|always|only|still|actually|in fact|of course|obviously)[ \t,]+)*"
    r"(?:correct|right|wrong|incorrect|clear|obvious|simple|straightforward|easy|trivial"
    r"|unique|reasonable|consistent|plausible|valid|verified|confirmed"
    r"|sensible|wanted|needed|required|asked|important|expected|the same\b|given (?:by|in|as"
    r"|above|below)|found (?:by|in|using|with)|obtained|based on|determined (?:by|from|using)"
    r"|calculated (?:by|as follows|using)|computed"
    r"|expressed|written|rounded|shown|as follows|below|above|here\b|what\b|how\b|why\b"
    r"|because|when\b|where\b|whether|if\b|supposed|independent|dependent|derived|reached"
    r"|marked|in the (?:form|format|box|range|options)|in (?:dollars|units|terms)"
    r"|one of the|among|somewhere|not (?:yet|among|in|listed among)|followed by|a (?:number"
    r"|letter|word|single|positive|whole|fraction|multiple)|an integer|correcte?\b|richtig\b"
    r"|falsch\b|korrekt\b|correct[ao]\b)",
    re.IGNORECASE,
)
_NOT = re.compile(r"[\s*_\"']*(?:not\b|n't\b|neither\b|never\b|no longer\b|nicht\b|pas\b|no es\b|不是|ではない)", re.IGNORECASE)
_NOT_KNOWN = re.compile(
    # "Not given" denies nothing: it is an option, or says that there is no answer.
    r"[\s*_\"']*not (?:given|enough|known|stated|listed|determin\w+|sure|certain|applicable"
    r"|available|possible|provided|specified|clear|in the)\b",
    re.IGNORECASE,
)
_DENIALS = ("isn't", "is not", "wasn't", "was not", "can't be", "cannot be")
_BUT = re.compile(
    r"(?:\b(?:but(?: rather)?|rather|instead|it is|it's|sondern|mais|sino)\b|而是)[\s,:]*(?:it"
    r" is\s+|is\s+)?",
    re.IGNORECASE,
)
_IF = re.compile(
    r"\b(?:if|had|were|suppose|supposing|assuming|unless|wenn|falls|si|se|hätte)\b|如果|假如|假设|要是|もし|만약", re.IGNORECASE
)
_CONDITIONAL = re.compile(
    r"\b(?:would|could|might|may|wäre|würde|serait|sería|seria|sarebbe)\b|会是|將是|将是|就会|だろう", re.IGNORECASE
)
_PLACEHOLDER = re.compile(
    # "[your answer]", "<letter>", "...": a form that is quoted, not filled in.
    r"[\s*_$\"'`]*(?:[\[<{(][^\[\]<>{}()\d]{0,40}\b(?:answer|letter|number|option|insert|value"
    r"|result|choice|here|solution|your|text|word)s?\b[^\[\]<>{}()\d]{0,40}[\]>})]"
    r"|[\[<{(]\s*[\]>})]|\.{2,}|…|_{2,}|X|N|n|(?:your |the |final |your final )?answer|(?:the )?letter)[\s*_$\"'`.]*$",
    re.IGNORECASE,
)
_QUOTED_FORM = re.compile(
    r"[\s:]*[\"'`’”](?:[\s,.]*(?:followed|and|then|plus|with|where|in|format|line|at|on|as|is"
    r"|:)\b|[\s.,]*$)",
    re.IGNORECASE,
)
_ABBREVIATIONS = "".join(
    rf"(?<!\b{short}\.)"
    for short in (
        "St",
        "Dr",
        "Mr",
        "Mrs",
        "Ms",
        "Mt",
        "Jr",
        "Sr",
        "vs",
        "No",
        "Prof",
        "approx",
        "ca",
        "e\\.g",
        "i\\.e",
        "al",
        "Fig",
        "Eq",
    )
)
_SENTENCE_END = re.compile(rf"(?<!\.)[.!?](?!\.)(?=[\s*_\"')\]$]|\\|$)(?<!\b[A-Z]\.){_ABBREVIATIONS}|[。！？]")
_NEW_SENTENCE = re.compile(r"[\s*_\"')\]$]*(?:[A-Z][\w']*[ ,][^\n]|[^\x00-\x7f])")
_LINE = re.compile(rf"[^\n]{{0,{MAX_STATED}}}")
_NEXT_LINE = re.compile(
    rf"(?:[ \t]*(?:\n|```[a-z]*[ \t]*\n|\\\[[ \t]*\n|\$\$[ \t]*\n|---+[ \t]*\n)){{1,6}}([^\n]{{0,{MAX_STATED}}})"
)
_PAUSE = re.compile(r"[.!?。！？]\s|\s\(")
_SENTENCE_BREAK = re.compile(r"[.!?][\s*_\"')\]]|[。！？\n]|[:;]\s")

_QUESTION = re.compile(
    # A line that puts a new question or opens another turn; what follows it was not asked.
    r"^[ \t]*(?:[#>*_-]+[ \t]*)*(?:(?:next|new|another|follow-up|similar)[ \t]+)?(?:question|q"
    r"|problem|exercise|task|instruction|input|user|human|prompt|example"
    r"|questions?|问题|题目|問題|问|例题|质问|質問|문제|질문|frage|aufgabe|pregunta|problema|exercice|énoncé"
    r"|pergunta|domanda)[ \t]*(?:no\.?[ \t]*)?#?(?:\d{1,3})?[ \t]*(?:[*_]{1,3})?[ \t]*[:.)]["
    r" \t*_]*(?=\S|\n)"
    r"|^[ \t]*(?:#{2,4}[ \t]*)(?:instruction|question|input|user|human|problem)s?[ \t]*\d{0,3}[ \t]*:?[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_UNLABELLED = re.compile(
    # A paragraph of its own that asks, as a question of a data set does.
    r"\n[ \t]*\n[ \t]*(?=[A-Z])[^?\n]{10,600}?\b(?:how|what|which|when|who|where|find"
    r"|calculate|determine)\b[^?\n]{0,300}\?[ \t]*(?:\n|$)",
    re.IGNORECASE,
)
_CORRECTION = re.compile(
    r"\b(?:wait|actually|hmm|hold on|no,|oops|sorry|mistake|correct(?:ion|ing)|re-?check"
    r"|double-?check|verify|let me|let's check|reconsider|in fact|instead|however|but)\b",
    re.IGNORECASE,
)


def sentence_start(text: str, place: int) -> int:
    """Return where the sentence that holds `place` starts, at most 300 characters before it."""
    low = max(0, place - 300)
    breaks = list(_SENTENCE_BREAK.finditer(text, low, place))
    opening = text.rfind("(", low, place)
    return max(breaks[-1].end() if breaks else low, opening + 1)


def sentence_stop(text: str, start: int, stop: int) -> int:
    """Return where the sentence that holds `start` ends, before its full stop; `stop` where none ends before."""
    end = _SENTENCE_END.search(text, start, stop)
    return stop if end is None else end.start()


def next_question(text: str, start: int) -> int | None:
    r"""Return where a new question or turn begins behind `start`, or None where none does.

    >>> text = "Answer: 18\n\nQuestion: Tom has 3 cars. How many wheels?"
    >>> text[next_question(text, 10):][:9]
    'Question:'
    """
    found = _QUESTION.search(text, start)
    return None if found is None else found.start()


def is_correction(text: str) -> bool:
    """Return whether `text` takes back what was said, or checks it, rather than asks something new."""
    return _CORRECTION.search(text) is not None


def unlabelled_question(text: str, start: int, stop: int) -> int | None:
    """Return where a paragraph that asks a question begins between `start` and `stop`, unless the text corrects itself there."""
    found = _UNLABELLED.search(text, start, stop)
    if found is None or _CORRECTION.search(text, start, stop):
        return None
    return found.start()


def find_statements(text: str, start: int = 0, stop: int | None = None) -> list[Statement]:
    """Return the statements in `text[start:stop]` in order. Never raises; linear in the text's length."""
    folded = fold(text)
    stop = len(text) if stop is None else stop
    found = [*_boxes(folded, start, stop), *_fields(folded, start, stop), *_hashes(folded, start, stop)]
    found += [*_marked(folded, start, stop), *_reversed(folded, start, stop)]
    found += _headings(folded, start, stop)
    return sorted(found, key=lambda statement: (statement.begin, statement.start))


# --- kinds of statements ----------------------------------------------------------------------------------------------

_COMMA_LANGUAGES = ("de", "fr", "es")
_WEAK = (
    "result",
    "value",
    "solution",
    "output",
    "conclusion",
    "ergebnis",
    "résultat",
    "resultado",
    "risultato",
    "lösung",
    "solución",
)


def _marked(text: str, start: int, stop: int) -> Iterator[Statement]:
    taken = start
    for place, kind in _places(_lower(text), start, stop):
        if place < taken or not _stands(text, place, kind):
            continue
        marker = _KINDS[kind][1].match(text, place, stop)
        if marker is None:
            continue
        names = marker.groupdict()
        copula = (names.get("copula") or "").casefold()
        statement = _statement(text, marker, kind, copula, names.get("about") or "", stop)
        if statement is not None:
            taken = marker.end()
            yield statement


def _stands(text: str, place: int, kind: str) -> bool:
    """Return whether what stands in front of a marker's word lets it be one."""
    before = text[max(0, place - 40) : place]
    if kind in ("zh", "zhpick", "zhlabel", "ja", "ko"):
        if kind == "zhpick":
            return _ZH_PICKER_BEFORE.search(before) is not None
        return kind != "zhlabel" or text[place] != "答" or _LINE_BEFORE.search(before) is not None
    if _LETTER_BEFORE.search(before) and not (kind == "de" and before.lower().endswith("end")):
        return False
    if kind == "bare":
        return _FINAL_BEFORE.search(before) is not None
    if kind == "pick":
        return _PICKER_BEFORE.search(before) is not None
    if kind == "choice":
        return _ADJECTIVE_BEFORE.search(before) is not None
    return True


def _statement(text: str, marker: re.Match[str], kind: str, copula: str, about: str, stop: int) -> Statement | None:
    """Return the statement behind a marker, or None where it makes none."""
    word = re.match(r"\w*", marker[0])[0].casefold()  # type: ignore[index]
    label = not copula and (any(mark in marker[0] for mark in ":=|→⇒") or "->" in marker[0] or kind in ("ans", "bare", "label"))
    if _denied(text, marker.start(), about, copula):
        return None
    begin, end, runs_on = _segment(text, marker.end(), stop, label)
    if text[begin - 2 : begin] == "**" and text.count("**", begin, end) % 2:
        begin -= 2  # the marker has swallowed the stars that open what is stated
    content = text[begin:end]
    if not content.strip(" \t*_:$") or _PLACEHOLDER.match(content) or _QUOTED_FORM.match(content):
        return None
    if copula in _DENIALS:
        turn = _BUT.search(text, begin, end)
        if turn is None:
            return None
        begin = turn.end()
    elif not label:
        turned = _after_denial(text, begin, end)
        if turned is None or _JUDGEMENT.match(content) is not None:
            return None
        begin = turned
    pause = _PAUSE.search(text, begin, end)
    sentence = text[sentence_start(text, marker.start()) : end if pause is None else pause.start()]
    if (_IF.search(sentence) and _CONDITIONAL.search(sentence)) or copula in ("could be", "might be", "may be"):
        return None
    if text[end : end + 1] and text[end] in "?？":
        return None
    final = _FINAL_BEFORE.search(text[max(0, marker.start() - 12) : marker.start()]) is not None
    strong = final or not word.startswith(_WEAK)
    source: Source = "label" if label else "pick" if kind in ("pick", "choice", "option", "zhpick") else "marker"
    return Statement(marker.start(), begin, end, source, strong, runs_on, kind in _COMMA_LANGUAGES)


def _denied(text: str, place: int, about: str, copula: str) -> bool:
    """Return whether the words around "answer" make it no statement of the text's own final answer."""
    before = text[max(0, place - 48) : place]
    sentence = before[max(before.rfind(mark) for mark in ".!?:,;\n。，") + 1 :]
    words = [word.casefold() for word in _WORD.findall(sentence)][-4:]
    while words and words[-1] in _PASSED_OVER:
        words.pop()
    if words and (words[-1] in _DENIED_WORDS or (words[-2:-1] and words[-2] in ("common", "commonly", "step", "part"))):
        return True
    if sentence.rstrip().endswith(_DENIED_CJK) or (about and _ABOUT_STEP.search(about)):
        return True
    if _SOMEBODY.search(sentence) or _OTHERWISE.match(text[sentence_start(text, place) : place]):
        return True
    return before[-1:] in ('"', "'") and not copula  # quoted: an instruction, or a JSON field


def _after_denial(text: str, start: int, stop: int) -> int | None:
    """Return where the answer starts: behind "not A but", at `start` where nothing is denied; None where only a denial is said."""
    if _NOT.match(text, start, stop) is None or _NOT_KNOWN.match(text, start, stop):
        return start
    turn = _BUT.search(text, start, stop)
    return None if turn is None else turn.end()


def _segment(text: str, start: int, limit: int, label: bool) -> tuple[int, int, bool]:
    """Return where what follows a marker starts and stops, and whether another sentence follows it on its line.

    That is its sentence, or its line where the marker is a label; the next line where its own is empty.
    """
    line = _LINE.match(text, start, limit)
    assert line is not None
    stop = line.end()
    if not line[0].strip(" \t*_:$`|"):
        following = _NEXT_LINE.match(text, stop, limit)
        if following is None:
            return stop, stop, False
        start, stop = following.span(1)
    place = start
    while True:
        end = _SENTENCE_END.search(text, place, stop)
        if end is None:
            return start, stop, False
        if text[start : end.start()].strip(" \t*_") or end[0] not in ".!":
            break
        place = end.end()
    if end[0] in "。！？":
        return start, end.start(), bool(text[end.end() : stop].strip())
    runs_on = _NEW_SENTENCE.match(text, end.end(), stop) is not None
    # After a label a full stop may belong to the answer ("J. Smith et al. 1990"): cut only where a sentence follows.
    return start, end.start() if runs_on or not label else stop, runs_on


def _headings(text: str, start: int, stop: int) -> Iterator[Statement]:
    for heading in _HEADING.finditer(text, start, stop):
        following = _NEXT_LINE.match(text, heading.end(), stop)
        if following is None or not following[1].strip():
            continue
        if ":" in heading[0] and not heading[0].lstrip().startswith("#") and _KINDS["en"][1].match(text, heading.start("word")):
            continue  # a label, found as a marker
        begin, end = following.span(1)
        cut = _SENTENCE_END.search(text, begin, end)
        runs_on = cut is not None and _NEW_SENTENCE.match(text, cut.end(), end) is not None
        if cut is not None and runs_on:
            end = cut.start()
        strong = not heading["word"].casefold().startswith(("result", "conclusion", "ergebnis"))
        yield Statement(heading.start(), begin, end, "label", strong, runs_on)


def _hashes(text: str, start: int, stop: int) -> Iterator[Statement]:
    for line in _HASHES.finditer(text, start, stop):
        yield Statement(line.start(), *line.span("content"), "hashes")


def _boxes(text: str, start: int, stop: int) -> Iterator[Statement]:
    """Yield the boxes; those that stand side by side with nothing but commas between them are one list."""
    last: tuple[int, int, int, int] | None = None  # begin, start, stop of what is boxed, end of the box
    pieces: list[str] = []
    unclosed = 0
    for box in _BOXED.finditer(text, start, stop):
        if box["bare"]:
            inner, end = box.span("bare"), box.end()
        else:
            closing = braced(text, box.end()) if unclosed < MAX_UNCLOSED else None
            if closing is None or closing > stop:
                unclosed += 1
                continue
            inner, end = (box.end(), closing), closing + 1
        content = text[inner[0] : inner[1]]
        if not content.strip() or (
            _PLACEHOLDER.match(content) and not re.search(r"\d|^\s*[\[({].*,|^\s*[A-Z]\s*$|^\s*n\s*$", content)
        ):
            continue
        if (
            last is not None
            and last[3] <= box.start()
            and _BETWEEN_BOXES.fullmatch(text, last[3], box.start())
            and box.start() > last[3]
        ):
            pieces.append(content)
            last = (last[0], last[1], inner[1], end)
            continue
        if last is not None:
            yield _box(last, pieces)
        last, pieces = (box.start(), *inner, end), [content]
    if last is not None:
        yield _box(last, pieces)


def _box(last: tuple[int, int, int, int], pieces: list[str]) -> Statement:
    joined = ", ".join(piece.strip() for piece in dict.fromkeys(pieces))
    return Statement(last[0], last[1], last[2], "boxed", value=joined if len(pieces) > 1 else None)


def _fields(text: str, start: int, stop: int) -> Iterator[Statement]:
    for count, field in enumerate(_FIELD.finditer(text, start, stop)):
        if count >= 50:  # a dump, no reply
            return
        value: str | None = None
        begin = field.end()
        string = _STRING.match(text, begin, stop)
        scalar = _SCALAR.match(text, begin, stop)
        if string is not None:
            raw = string[1] if string[1] is not None else string[2]
            try:
                value = str(json.loads(f'"{raw}"')) if "\\" in raw and string[1] is not None else raw
            except ValueError:
                value = raw  # TeX in JSON is seldom escaped
            begin, end = begin + 1, string.end() - 1
        elif scalar is not None:
            value, end = scalar[0], scalar.end()
            if value in ("null", "None"):
                continue
        elif text[begin : begin + 1] == "[":
            try:
                several, length = json.JSONDecoder().raw_decode(text[begin : begin + 2000])
            except (ValueError, RecursionError):
                continue
            if not several or not all(isinstance(one, str | int | float) for one in several):
                continue
            value, end = ", ".join(map(str, several)), begin + length
        else:
            continue
        if value.strip() and not _PLACEHOLDER.match(value + " ") or re.fullmatch(r"\s*[A-Za-z]\s*", value):
            yield Statement(field.start(), begin, end, "json", value=value)


def _reversed(text: str, start: int, stop: int) -> Iterator[Statement]:
    places = []
    for verb in _REVERSED_VERBS:
        place = text.find(verb, start, stop)
        while place >= 0:
            places.append(place)
            place = text.find(verb, place + 1, stop)
    every = (_REVERSED.match(text, place, stop) for place in sorted(places))
    for found in [one for one in every if one is not None][-MAX_MARKERS:]:
        subject = _SUBJECT.search(text, max(start, found.start() - 90), found.start())
        if subject is None:
            continue
        what = subject[0]
        lead = re.match(
            r"[\s*_]*(?:(?:so|thus|hence|therefore|and|but|then|clearly|i think|i believe)\b[\s,]*)*", what, re.IGNORECASE
        )
        begin = subject.start() + (lead.end() if lead is not None else 0)
        sentence = text[sentence_start(text, begin) : found.end()]
        if _IF.search(sentence) or re.match(
            r"\s*(?:what|which|this|that|it|here|there|whether|how|the answer|answer)\b",
            text[begin : found.start()],
            re.IGNORECASE,
        ):
            continue
        if begin < found.start():
            yield Statement(begin, begin, found.start(), "judged" if found["judged"] else "reversed")
