r"""What a stated segment says where a number, a formula or words are wanted: the whole of it, or the result of its sentence.

>>> read_number("Each child gets 5 apples, for a total of 20 apples").answer, read_number("After 3 years he has 45 coins").answer
('20 apples', '45 coins')
>>> read_number("18 dollars per day for 5 days").answer, read_number("5 or 6").answer, read_number("3x").answer
('18 dollars per day', None, '3x')
"""

from __future__ import annotations

import re
from typing import NamedTuple

from soundness.answers.formulas import is_formula, same_formula
from soundness.answers.markup import tidy
from soundness.answers.texts import binary, core, opening_binary
from soundness.answers.values import Value, equal_values, find_values, read_value, value_at

__all__ = ["Reading", "before_small_talk", "last_number", "read_anything", "read_formula", "read_number", "read_text"]


class Reading(NamedTuple):
    """What a segment states."""

    answer: str | None
    """The answer as written, without what only dresses it; None where the segment cannot be read as one answer."""
    rest: str = ""
    """What of the segment stands after it."""


_OR = re.compile(r"[\s,*%]*\b(?:or|and/or|oder|ou)\b\s*", re.IGNORECASE)
_AND = re.compile(r"\s*(?:,|\band\b|&|\bund\b|\bet\b|;)\s*(?:also\s+)?$", re.IGNORECASE)
_RESULT = re.compile(
    # Words that lead from a first number to the one that it comes to.
    r",\s+or\s+(?=[$€£]?\d)|[,;:—-]?\s*\b(?:which (?:is|are|gives?|makes?|equals?|means|comes"
    r"|leaves?|totals?|amounts|rounds)|rounds (?:up |down )?to|so|thus|hence"
    r"|therefore|giving|making|leaving|for a total|totall?ing|in total|altogether|equals?|is"
    r"|comes to|amounts to|adding up to|yielding"
    r"|resulting in|meaning|means|for a|with a total|makes?|made|gives?|holds?|costs?"
    r"|contains?|has|have|needs?|leaves?|takes?|weighs?"
    r"|sum to|adds? up to)\b|\bi\.e\.|=|→|⇒|≈",
    re.IGNORECASE,
)
_OPERATOR = re.compile(r"\s?(?:[-+*/^×÷·]\s?(?=[\w(\\$√])|[(\\√{](?![,.\s])|[a-zA-Zα-ω](?![a-zA-Z])|π|!)")
_CALCULATION = re.compile(
    # Words that go on calculating: the number in front is not the answer ("7 squared", "7 times x", "7 m by 8 m", "7 percent of x").
    r"\s(?:squared|cubed)\b|\s(?:times|multiplied by|divided by|plus|minus|over|mod(?:ulo)?|to"
    r" the|by|x)\s+(?:[$€£]?\d|[b-zA-Z](?!\w))"
    r"|\s?%?\s?of\s+[a-zA-Z](?!\w)"
)
_ADJUNCT = re.compile(
    # Words that hang a number on to the result: "after 3 years", "of the 12 students", "per 5 kg", "out of 24".
    r"\b(?:after|in|within|during|over|for|per|every|each|before|until|since|on|at|from|with"
    r"|between|than|out of|by|about age|aged|day|step|week|year|page|grade|question|number"
    r"|part|room|bus|route|chapter|nach|in|après|en|depuis|después de)\s+"
    r"(?:the\s+|another\s+|a\s+|an\s+|all\s+|about\s+|next\s+|first\s+|last\s+|those\s+"
    r"|these\s+|other\s+|his\s+|her\s+|their\s+|its\s+|only\s+)*[$€£]?$|(?:\d%?|\bout|\beach"
    r"|\bmost|\bsome|\bnone|\bany|\ball|\bhalf|\bpercent|\bone|^\W*)\s+of\s+(?:the\s+|his\s+"
    r"|her\s+|their\s+|these\s+|those\s+)*[$€£]?$|\b(?:of|sum of|difference of|product of"
    r"|average of|between)\s+\S+\s+(?:and\s+)?$",
    re.IGNORECASE,
)
_PURPOSE = re.compile(
    # "3 hours to paint 2 rooms"; but "double it to get 14" leads to the result.
    r"\bto\s+(?!get|obtain|make|have|yield|be|reach|give|find|total|become|arrive|equal|form"
    r"|leave)[a-z]+\s+(?:the\s+|all\s+|another\s+)?$",
    re.IGNORECASE,
)
_TIME_ADJUNCT = re.compile(
    r"\b(?:for|in|over|within|during|after|every|per|at|on|with)\s+(?:(?:the|another|a|all"
    r"|last|next|first|past|final|remaining|other)\s+)*[$€£]?$",
    re.IGNORECASE,
)
_WEAK = re.compile(r"\b(?:for|with|at|on|by|in|from)\s+(?:the\s+|a\s+|an\s+|only\s+|just\s+)*[$€£]?$", re.IGNORECASE)
_WORDED = re.compile(r"[A-Za-z]{2,}\W+[A-Za-z]{2,}")
_ASSIGNED = re.compile(r"(?<![\w\\])([a-zA-Z](?:_\{?\w+\}?)?)\s*=(?!=)")
_TURNED = re.compile(r"(?:^|[\s,;])(-?[$€£]?\d[\d.,]*(?:/\d+)?)\s*=\s*[a-zA-Z](?:_\w+)?\W*$")
_CLAUSE = re.compile(r"[,;:]\s|\s[-—]\s|\s(?:and|so|which|giving|making|for a total|therefore|thus|or|but)\s", re.IGNORECASE)
_WORD_NUMBER = re.compile(
    r"\b(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen"
    r"|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty"
    r"|sixty|seventy|eighty|ninety|half|a (?:hundred|thousand|million|dozen|third|quarter|half))\b",
    re.IGNORECASE,
)
_REPEATING = re.compile(r"-?\d+\.\d{2,40}(?:\.\.\.|…)$")
_COPULA = re.compile(r"\s?(?:です|である|だ|입니다|이다|예요|이에요|이다)[.。]?$")
_ALTERNATIVE = re.compile(r",?\s+(?:or|oder|ou)\s+|\s+\(?(?:or|i\.e\.)\s+", re.IGNORECASE)
_REASON = re.compile(r"\s(?:because|since)\s", re.IGNORECASE)
_IDLE = re.compile(
    r"(?:[\s:*_\"'`|=≈~(]|\b(?:approximately|about|around|roughly|exactly|only|just|simply"
    r"|equal to|indeed|therefore|thus|the number|the value|equals|that is)\b)*",
    re.IGNORECASE,
)


def _worth(value: Value) -> str:
    return f"{value.kind}:{value.amounts[0].value if value.amounts else value.parts}"


def _plain_decimal(text: str, value: Value, comma: bool) -> str:
    """Return a number of a language with decimal commas in plain notation, so that it means the same everywhere."""
    if not comma or not re.search(r"\d[.,]\d", text) or value.kind != "number":
        return text
    if read_value(text) == read_value(text, comma=True):
        return text
    exact = value.amounts[0].value
    return f"{exact.numerator}/{exact.denominator}" if exact.denominator > 1 else str(exact.numerator)


def read_number(segment: str, *, boxed: bool = False, comma: bool = False) -> Reading | None:
    """Return what a segment states where a number is wanted; None where it holds no number at all.

    A segment that is a value or a formula as a whole is read whole: "3x" states 3x and not 3. Of a sentence the result is read:
    behind the last equals sign, behind "which is", the last number that is not hung on by "after", "of", "per" and the like.
    """
    repeating = _REPEATING.search(tidy(segment).strip(" |*"))
    if repeating is not None:
        return Reading(repeating[0].replace("...", "…"))
    text = tidy(segment).strip(" \t\n")
    if not boxed:
        text = text.strip(" |")
        text = text.rstrip("!").rstrip(" .,;:") if re.search(r"\d!+$", text) else text.rstrip(" .,;:")
    text = _COPULA.sub("", text).strip()
    if not text:
        return None
    idle = _IDLE.match(text)
    for piece in (text, text[idle.end() :] if idle is not None else text):
        value = read_value(piece, comma=comma)
        if value is not None:
            return Reading(_plain_decimal(piece, value, comma))
    pieces = [piece.strip() for piece in _ALTERNATIVE.split(text)]
    values = [read_value(piece, comma=comma) for piece in pieces]
    if len(pieces) > 1 and all(value is not None for value in values):
        same = all(equal_values(values[0], value) for value in values[1:] if value is not None)  # type: ignore[arg-type]
        return Reading(pieces[-1] if same else None)
    if len(pieces) > 1 and all("=" in piece for piece in pieces):  # x = 2 or x = 4
        answers = [read_number(piece, comma=comma) for piece in pieces]
        worth = [None if answer is None or answer.answer is None else read_value(answer.answer) for answer in answers]
        if not all(value is not None and worth[0] is not None and equal_values(worth[0], value) for value in worth):
            return Reading(text if is_formula(text) else None)
    gloss = None if boxed else re.match(r"(.*?\S)\s+\([^()]*\)$", text)
    if gloss is not None and (value := read_value(gloss[1], comma=comma)) is not None:
        return Reading(_plain_decimal(gloss[1], value, comma), text[gloss.end(1) :])
    if boxed and not _WORDED.search(re.sub(r"\\[a-zA-Z]+", "", text)):
        return Reading(text)
    if is_formula(text) and not ("=" in text and not _ASSIGNED.search(text)):
        names = _ASSIGNED.findall(text)
        if len(names) == 1 and text.count("=") == 1:
            right = read_number(text.rpartition("=")[2], boxed=boxed, comma=comma)
            return right if right is not None and right.answer is not None else Reading(text)
        if not names or len(set(names)) > 1:
            return Reading(text)
    equated = _equation(text, boxed, comma)
    if equated is not None:
        return equated
    led = _leading(text, comma)
    if led is not None:
        return led
    return _sentence(text, comma)


def _equation(text: str, boxed: bool, comma: bool) -> Reading | None:
    """Return what stands behind the last equals sign, where it is a value or a formula."""
    head, sign, right = text.rpartition("=")
    if not sign:
        return None
    turned = _TURNED.search(text)
    if turned is not None and read_value(turned[1], comma=comma) is not None:
        return Reading(turned[1])  # 160 = y
    if not re.search(r"\d|\\|π|√", right):
        return None
    names = _ASSIGNED.findall(text)
    if len(set(names)) > 1 and not re.search(r"[-+*/]", head.rpartition("=")[2]):
        return Reading(None)  # x = 5, y = 7
    right = right.strip()
    value = read_value(right, comma=comma)
    if value is not None:
        return Reading(_plain_decimal(right, value, comma))
    if is_formula(right):
        return Reading(right)
    return _leading(right, comma) or _sentence(right, comma)


def _leading(text: str, comma: bool) -> Reading | None:
    """Return the number that opens a segment, or the one it comes to: "15% of 200, which is 30"; None where no number opens it."""
    idle = _IDLE.match(text)
    start = idle.end() if idle is not None else 0
    first = value_at(text, start, comma=comma)
    if first is None:
        if text[start : start + 1] in "\\√π" and text[start : start + 1]:
            formula = re.split(r"[,;]\s|\s(?=[A-Za-z]{3,})", text[start:], maxsplit=1)[0].strip()
            return Reading(formula, text[start + len(formula) :]) if is_formula(formula) else None
        return None
    written, rest = text[first.start : first.stop], text[first.stop :]
    either = _OR.match(rest)
    if either is not None:
        second = value_at(rest, either.end(), comma=comma)
        if second is not None:
            if equal_values(first, second) or same_formula(written, rest[second.start : second.stop]):
                return Reading(rest[second.start : second.stop], rest[second.stop :])
            return Reading(None, rest)
    clause = re.split(r"[,;]\s|\s(?=[A-Za-z]{3,})|\s-\s(?=[A-Za-z])|\s\(", text[start:], maxsplit=1)[0].strip()
    if _OPERATOR.match(rest) and len(clause) > len(written) and is_formula(clause):
        return Reading(clause, text[start + len(clause) :])
    ranged = re.match(r"\s?(?:-|to|bis|until)\s?(?=\d)|\s?(?:remainder|R)\s?\d|\s?,\s?(?=\d)|\s(?:and|und|et)\s(?=\d)", rest)
    if ranged is not None:
        pieces = re.match(
            r"(?:\s?(?:-|to|bis|until|,|and|remainder|R|und|et)\s?(?:and\s)?[$€£]?\d[\d.,/]*)+(?:\s?[a-z]+)?", rest
        )
        whole = written + (pieces[0].rstrip(".,") if pieces is not None else "")
        return Reading(whole, rest[len(whole) - len(written) :]) if read_value(whole) is not None else Reading(None, rest)
    if re.match(r"(?:\s[a-z]+){1,3},?\s+(?:and|or)\s+(?:another\s+)?[$€£]?\d+\s+[a-z]+", rest) and not _RESULT.search(rest):
        return Reading(None, rest)  # 3 apples and 4 oranges
    later = _RESULT.search(rest)
    if later is not None:
        result = _sentence(rest[later.start() :], comma, words=False)
        if result is not None and result.answer is not None and _comes_to(rest, later):
            return result
    if _CALCULATION.match(rest):
        return Reading(None, rest)
    unit = re.match(r"\s?(?:\(?[a-z][a-z'-]*\)?)(?:\s(?:per|a|an|each)\s[a-z]+)?(?![\w'])", rest)
    named = read_value(written + unit[0]) if unit is not None and not _CLAUSE.match(unit[0] + " ") else None
    if (
        named is not None
        and unit is not None
        and named.words
        and not re.match(
            r"\s?(?:and|or|of|is|are|in|on|for|to|by|as|so|when|after|because|since|which|if|from|with"
            r"|at)\b",
            unit[0],
        )
    ):
        return Reading(_plain_decimal(written, first, comma) + unit[0], rest[unit.end() :])
    return Reading(_plain_decimal(written, first, comma), rest)


def _comes_to(rest: str, mark: re.Match[str]) -> bool:
    """Return whether the words behind a leading number lead to its result (", which is 30") rather than explain it ("since")."""
    return re.search(
        r"\b(?:because|since|as|if|when|where|not|check|before)\b", rest[: mark.start()], re.IGNORECASE
    ) is None and not (re.match(r"\s*\(", rest))


def _sentence(text: str, comma: bool, words: bool = True) -> Reading | None:
    """Return the result of a sentence: the last of its numbers that is not hung on to another, or a number in words."""
    aside = re.search(r"\s\([^()]*\)\W*$", text)
    if aside is not None and re.search(r"\d", text[: aside.start()]):
        text = text[: aside.start()]  # (4 packs of 5)
    reason = _REASON.search(text)
    if reason is not None and re.search(r"\d", text[: reason.start()]):
        text = text[: reason.start()]  # because that is how much he earns a week
    values = find_values(text, comma=comma)
    if not values:
        for word in reversed(list(_WORD_NUMBER.finditer(text)) if words else []):
            value = value_at(text, word.start(), comma=comma)
            if value is not None and not (
                word[0].casefold() == "one" and re.match(r"\s+(?:of|can|must|has|who|that|way|another)\b", text[word.end() :])
            ):
                return Reading(text[value.start : value.stop], text[value.stop :])
        return None
    free, weak = [], []
    for index, value in enumerate(values):
        before = text[: value.start]
        timed = value.amounts[0].unit is not None and value.amounts[0].unit.dimension in ("s", "month")
        if _ADJUNCT.search(before) or _PURPOSE.search(before) or (timed and _TIME_ADJUNCT.search(before)):
            if _WEAK.search(before) and not timed:
                weak.append(index)
            continue
        free.append(index)
    chosen = free[-1] if free else weak[-1] if weak else len(values) - 1
    # "for $18" behind "she sells 9 eggs" is the result; "at $2 each" is not.
    money = [index for index in weak if _is_money(values[index])]
    if (
        free
        and money
        and money[-1] > chosen
        and re.search(r"\bfor\s+[$€£]?$", text[: values[money[-1]].start])
        and not re.match(r"\s*(?:each|per|a|apiece)\b", text[values[money[-1]].stop :])
    ):
        chosen = money[-1]
    value = values[chosen]
    if len(free) > 1 and chosen == free[-1]:
        other = values[free[-2]]
        between = text[other.stop : value.start]
        if (
            re.fullmatch(r"\s*(?:[a-z]+\s+){0,3}(?:,|and|or|und|oder|&)\s*(?:or\s+|and\s+)?[$€£]?", between)
            and not equal_values(other, value)
            and not re.search(r"\b(?:sum|total|difference|product|between|average)\b", text[: other.start])
        ):
            return Reading(None, text[value.stop :])  # 3 apples and 4 oranges
    written, rest = text[value.start : value.stop], text[value.stop :]
    clause = re.split(r"[,;.]\s|\s(?=[A-Za-z]{3,})", text[value.start :], maxsplit=1)[0].strip()
    if _OPERATOR.match(rest) and len(clause) > len(written) and is_formula(clause):
        return Reading(clause, text[value.start + len(clause) :])
    if re.match(r"\s?(?:-|to|bis)\s?\d", rest) is not None:
        return Reading(None, rest)
    unit = re.match(r"\s[a-z][a-z'-]*(?![\w'])", rest)
    named = read_value(written + unit[0]) if unit is not None else None
    if (
        named is not None
        and unit is not None
        and named.words
        and not re.match(
            r"\s(?:and|or|of|is|are|in|on|for|to|by|as|so|when|after|because|since|which|if|from|with"
            r"|at|left|more|each|per|a)\b",
            unit[0],
        )
    ):
        written, rest = written + unit[0], rest[unit.end() :]
    return Reading(_plain_decimal(written, value, comma), rest)


def _is_money(value: Value) -> bool:
    unit = value.amounts[0].unit
    return unit is not None and unit.dimension in ("$", "€", "£", "¥", "₹", "₩", "元")


_SMALL_TALK = re.compile(
    r"\b(?:let me know|hope (?:this|that|it)|feel free|if you (?:have|need|want|would)|happy"
    r" to|any (?:other |more |further )?questions|need (?:any )?(?:more )?help|would you like"
    r"|do you (?:want|need)|good luck|have a (?:nice|great))\b",
    re.IGNORECASE,
)
_CHECK = re.compile(
    r"^\W*(?:to (?:check|verify|double-check|confirm)|check(?:ing)?\b|verif\w+|double-check|we"
    r" can (?:check|verify)|let'?s (?:check|verify)|note\b|for (?:reference|comparison"
    r"|example)|n\.?b\.?\b|remember\b|proof\b|reminder\b|source\b"
    r"|reference\b|probe\b|vérif\w+|nota\b|\(\d+ (?:steps?|schritte)\)|\([^()]*\)\W*$|\[\d{1,3}\]"
    r"|(?:confidence|certainty|time|score|rating|tokens?|words?|difficulty|page|level|likelihood)\b[^.\n:]{0,20}:)",
    re.IGNORECASE,
)
_DISOWNED = re.compile(
    # Sentences that name a number in order to say that it is not the answer.
    r"\b(?:wrong|incorrect|mistaken|false)\s+(?:answer|result|number|value)|\bwould (?:be|have"
    r" been)\b.*\bif\b|\bcommon (?:mistake|error)\b"
    r"|\b(?:answer|result) (?:is|was|can|could|will|would)(?:n't|not| not)\b|\b(?:answer"
    r"|result) can't\b|^\W*\(?if\b.*\banswer would\b",
    re.IGNORECASE,
)
_SENTENCES = re.compile(r"(?<=[.!?])[\s*_]+(?=[^\d\s])|(?<=\d[.!?])\s+(?=[A-Z])|\n+|(?<=[。！？])")


def before_small_talk(text: str, start: int, stop: int) -> int:
    """Return where the offers and good wishes begin that close `text[start:stop]`; `stop` where there are none."""
    for _ in range(4):
        end = start + len(text[start:stop].rstrip())
        line = max(text.rfind("\n", start, end) + 1, start)
        if line == start or end - line > 300 or not _SMALL_TALK.search(text, line, end):
            break
        stop = line
    return stop


def last_number(text: str, *, comma: bool = False) -> Reading | None:
    """Return the number that a text without any statement ends on: of its last sentence that is neither small talk nor a check.

    >>> last_number("She makes 18 dollars. To check: 9 * 2 = 18 and 16 - 3 - 4 = 9.").answer
    '18 dollars'
    """
    every = _SENTENCES.split(re.sub(r"(?<=\w)\s?\[\d{1,3}\](?!\()", "", text[-4000:]))  # without marks of sources: [1]
    sentences = [sentence for sentence in every if re.search(r"\d|[½⅓⅔¼¾]|\\frac", sentence)]
    if not sentences:  # "She has six apples."
        spelt = [sentence for sentence in every if _WORD_NUMBER.search(sentence)]
        return read_number(spelt[-1], comma=comma) if spelt and not _DISOWNED.search(spelt[-1]) else None
    for sentence in reversed(sentences[-40:]):
        if _SMALL_TALK.search(sentence) or _CHECK.search(sentence) or _DISOWNED.search(sentence):
            continue
        bold = re.findall(r"\*\*([^*\n]{1,80})\*\*", sentence)
        for piece in reversed(bold):
            if read_value(piece.strip(" .:")) is not None:
                return Reading(tidy(piece).strip(" .:"))
        stripped = re.sub(
            r"^[ \t]*(?:#{1,6}[ \t]+)?(?:[-*•>|][ \t]+)*(?:\*\*)?(?:(?:step|part)[ \t]+\d{1,3}\b["
            r" \t]*[:.)-]*|\(?\d{1,3}[.)](?=[ \t]+\S))",
            "",
            sentence,
            flags=re.IGNORECASE,
        )
        if not find_values(tidy(stripped)):
            continue
        reading = read_number(stripped, comma=comma)
        if reading is not None and reading.answer is not None:
            return reading
        values = find_values(tidy(stripped))
        return Reading(None) if reading is not None and len(values) > 1 else reading
    return None


_MATH = re.compile(r"\\\((.+?)\\\)|\\\[(.+?)\\\]|\$\$(.+?)\$\$|(?<![\\$])\$(?=[^\s$])([^$\n]+?)(?<=[^\s\\])\$(?!\d)", re.DOTALL)
_ANY_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")


def read_formula(segment: str, *, boxed: bool = False) -> Reading | None:
    """Return the formula that a segment states: what stands in TeX delimiters where it has some, the segment otherwise."""
    if not boxed:
        marked = [next(group for group in found.groups() if group) for found in _MATH.finditer(segment)]
        outside = _MATH.sub(" ", segment)
        if marked and (len(marked) == 1 or re.fullmatch(r"[\s,;.]*(?:(?:and|or|,)[\s,;.]*)*", outside.strip())):
            return Reading(", ".join(tidy(piece) for piece in marked), "." if outside.strip() else "")
        if marked:
            return Reading(tidy(marked[-1]), ".")
    text = tidy(segment).strip().rstrip(".,;:")
    if not boxed:
        text = text if text.count("|") % 2 == 0 and text.count("|") else text.strip(" |")
        text = re.split(r",?\s+(?:because|since|where|for all|when|which|as\s)\b|\.\s+[A-Z]", text, maxsplit=1)[0]
        words = re.match(
            r"(?:(?:the|that|it|is|are|be|given|by|simply|therefore|thus|then|just|equal|to|:|we|have"
            r"|get|solutions?|expression|function|interval|set|point|value|values)\s+)+(?=\S)",
            text,
            re.IGNORECASE,
        )
        if words is not None and is_formula(text[words.end() :]):
            text = text[words.end() :]
    return Reading(text) if text else None


def read_text(segment: str, *, reference: str | None = None, boxed: bool = False) -> Reading | None:
    """Return the words that a segment states: the bold part that opens it, or all but glosses and reasons.

    `reference` tells whether yes or no is wanted; then the yes or no that opens the segment is read.
    """
    if reference is not None and binary(reference) is not None:
        said = opening_binary(segment)
        if said is not None:
            return Reading(said)
        verdict = re.search(r"\bis\s+(?:\w+ly\s+)?(true|false|correct|incorrect)\W*$", segment, re.IGNORECASE)
        if verdict is not None:
            return Reading(verdict[1])
        if re.search(r"\b(?:yes|true)\b", segment, re.IGNORECASE) and re.search(r"\b(?:no|false)\b", segment, re.IGNORECASE):
            return Reading(None)
    bold = re.match(
        r"[\s\"']*(?:\*\*|__)([^*_\n]{1,200})(?:\*\*|__)(?=\s*(?:[,;:.(—-]|because\b|since\b|as\b"
        r"|which\b|\n|$))",
        segment,
    )
    if bold is not None and bold[1].strip(" .:"):
        return Reading(tidy(bold[1]).strip(" .:"), segment[bold.end() :])
    stripped = tidy(segment).strip().strip("\"'`|").strip()
    stripped = re.sub(r"^\(?\d{1,2}[.)]\s+(?=[^\W\d])", "", stripped)  # the mark of a list of one
    if re.search(r"\w", stripped):
        stripped = re.sub(r"[\s,;:。，]+$|(?<![.])[.!?]+$", "", stripped).strip().rstrip(".!?,;:* 。").strip() or stripped
    stripped = re.split(r"[。！]", stripped, maxsplit=1)[0].strip() or stripped
    stripped = re.sub(r"(?:です|である|だ|입니다|이다|예요|이에요)$", "", stripped).strip() or stripped
    return Reading(stripped) if stripped else None


def read_anything(segment: str, *, boxed: bool = False, comma: bool = False) -> Reading | None:
    """Return what a segment states where nothing is known of what is wanted: a value, a formula, or its words without the reasons."""
    text = tidy(segment).strip().rstrip(".,;: ")
    if not text:
        return None
    value = read_value(text, comma=comma)
    if value is not None:
        return Reading(_plain_decimal(text, value, comma))
    if boxed:
        return Reading(text)
    if _MATH.search(segment) or is_formula(text):
        return read_formula(segment)
    led = _leading(text, comma) if re.match(r"[-+$€£]?\s?\d", text) else None
    if led is not None and led.answer is not None and re.match(r"\s*(?:$|[,;.(]|[a-z])", led.rest):
        return led
    words = read_text(segment)
    return None if words is None or words.answer is None else Reading(core(words.answer), words.rest)
