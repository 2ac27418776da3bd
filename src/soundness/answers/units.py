"""Units of measure: what they measure and how large they are, so that 3 hours are 180 minutes and 12 km are not 12 cm.

>>> unit, stop = unit_at("km/h on average", 0)
>>> unit[0].dimension, unit[0].factor, stop
('m s-1', Fraction(5, 18), 4)
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

__all__ = ["Unit", "unit_at"]


class Unit(NamedTuple):
    """One meaning of a unit as written ("pounds" has two)."""

    dimension: str
    """What it measures, in base units: `m s-1`."""
    factor: Fraction
    """How many base units it is."""


_TABLE = """
1           m       m meter meters metre metres
1000        m       km kms kilometer kilometers kilometre kilometres
1/100       m       cm cms centimeter centimeters centimetre centimetres
1/10        m       dm decimeter decimeters
1/1000      m       mm millimeter millimeters millimetre millimetres
1/1000000   m       µm μm um micrometer micrometers micron microns
1/1000000000 m      nm nanometer nanometers
1609344/1000 m      mi mile miles
9144/10000  m       yd yds yard yards
3048/10000  m       ft foot feet
254/10000   m       in inch inches
10000       m2      ha hectare hectares
4046856/1000 m2     acre acres
1/1000      m3      l L liter liters litre litres
1/1000000   m3      ml mL milliliter milliliters millilitre millilitres cc
1/100000    m3      cl cL
1/10000     m3      dl dL deciliter deciliters
3785411784/1000000000000 m3 gal gallon gallons
946352946/1000000000000 m3 qt quart quarts
473176473/1000000000000 m3 pint pints
1           kg      kg kgs kilogram kilograms kilo kilos
1/1000      kg      g gram grams gramme grammes gm gms
1/1000000   kg      mg milligram milligrams
1/1000000000 kg     µg μg mcg ug microgram micrograms
1000        kg      t ton tons tonne tonnes
45359237/100000000 kg lb lbs pound pounds
45359237/1600000000 kg oz ounce ounces
1           s       s sec secs second seconds Sekunde Sekunden seconde secondes segundo segundos
1/1000      s       ms millisecond milliseconds
60          s       min mins minute minutes Minuten Minute minuto minutos
3600        s       h hr hrs hour hours Stunde Stunden heure heures hora horas
86400       s       d day days Tag Tage Tagen jour jours día días
604800      s       wk week weeks Woche Wochen semaine semaines semana semanas
1           month   month months mo mos Monat Monate mois mes meses
12          month   yr yrs year years Jahr Jahre ans année années año años
120         month   decade decades
1200        month   century centuries
1           $       $ dollar dollars USD bucks buck
1/100       $       cent cents ¢
1           €       € euro euros EUR
1/100       €       cent cents
1           £       £ pound pounds GBP quid
1/100       £       pence penny
1           ¥       ¥ yen JPY 円
1           元      yuan RMB CNY 元
1           ₹       ₹ rupee rupees Rs INR
1           ₩       ₩ won KRW 원
12          piece   dozen dozens
1           °       ° degree degrees deg
3437746770784939/60000000000000 ° rad radian radians
1           °C      °C ℃ celsius
1           °F      °F ℉ fahrenheit
1           K       K kelvin kelvins
1           kg m2 s-2 J joule joules
1000        kg m2 s-2 kJ kilojoule kilojoules
1000000     kg m2 s-2 MJ
4184/1000   kg m2 s-2 cal calorie calories
4184        kg m2 s-2 kcal Cal kilocalories
3600000     kg m2 s-2 kWh
3600        kg m2 s-2 Wh
1602176634/10000000000000000000000000000 kg m2 s-2 eV
1           kg m2 s-3 W watt watts
1000        kg m2 s-3 kW kilowatt kilowatts
1000000     kg m2 s-3 MW
1           kg m s-2  N newton newtons
1000        kg m s-2  kN
1           kg m-1 s-2 Pa pascal pascals
1000        kg m-1 s-2 kPa
1000000     kg m-1 s-2 MPa
100000      kg m-1 s-2 bar
101325      kg m-1 s-2 atm
133322/1000 kg m-1 s-2 mmHg
1           A       A amp amps ampere amperes
1/1000      A       mA
1           A s     C coulomb coulombs
1           kg m2 s-3 A-1 V volt volts
1000        kg m2 s-3 A-1 kV
1/1000      kg m2 s-3 A-1 mV
1           kg m2 s-3 A-2 Ω ohm ohms
1000        kg m2 s-3 A-2 kΩ
1           s-1     Hz hertz
1000        s-1     kHz
1000000     s-1     MHz
1000000000  s-1     GHz
1           mol     mol mole moles
1/1000      mol     mmol
1000        mol m-3 M molar
1           mol m-3 mM
44704/100000 m s-1  mph
5/18        m s-1   kmh kph kmph
1           byte    B byte bytes
1/8         byte    bit bits
1000        byte    KB kB kilobyte kilobytes
1000000     byte    MB megabyte megabytes
1000000000  byte    GB gigabyte gigabytes
1000000000000 byte  TB terabyte terabytes
"""
_UNITS: dict[str, tuple[tuple[dict[str, int], Fraction], ...]] = {}


def _powers(dimension: str) -> dict[str, int]:
    powers = {}
    for part in dimension.split():
        named = re.fullmatch(r"(\D+?)(-?\d+)?", part)
        assert named is not None
        powers[named[1]] = int(named[2] or 1)
    return powers


for _line in _TABLE.strip().splitlines():
    _row = re.fullmatch(r"(\S+)\s+((?:[^\s\d-]+(?:-?\d)?)(?: (?:kg|m-?\d?|s-?\d|A-\d|s)(?= ))*)\s+(.+)", _line)
    assert _row is not None, _line
    for _word in _row[3].split():
        _UNITS[_word] = (*_UNITS.get(_word, ()), (_powers(_row[2]), Fraction(_row[1])))

_BY_LOWER = {word.casefold(): word for word in _UNITS if len(word) > 2}
# Words are units in any case ("Hours", "KM" is not: short symbols tell milli from mega by their case).
_WORD = re.compile(r"°[CF]?|[℃℉$€£¥₹₩¢元円원]|[^\W\d_⁰-⁹¹²³]+")
_WORDS_TOO = frozenset({"in", "won", "mo", "cal", "bar"})
_GOES_ON = re.compile(r"\s+\w")
# "3 in total" and "3 won prizes" have no unit: these are units only where the text ends with them.
_SPELLED = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_SPELLED_GAP = re.compile(r"\.?[ -]")
_JOINT = re.compile(r"\s?/\s?|\s+per\s+|[*·.]|\s(?=(?:m|s|kg|K|mol|m\^|s\^)(?![a-zA-Z]))")
"""What joins two units to one: m/s, dollars per hour, N m."""
_PER_TIME_OR_ITEM = re.compile(r"\s+(?:per|each|every|an?)\s+[a-z]+", re.IGNORECASE)
_POWER = re.compile(r"\s?(?:\^\s?\{?\s?(-?\d)\s?\}?|\*\*(\d)|([²³])|(?<=[a-zA-Z])([23])(?![\d.,])|\s(squared|cubed)\b)")


def _one(text: str, start: int) -> tuple[tuple[tuple[dict[str, int], Fraction], ...], int] | None:
    """Return the meanings of the one unit at `start`, its power worked in, and where it ends."""
    spelled = 1
    word = _WORD.match(text, start)
    if word is None:
        return None
    lead = _SPELLED.get(word[0].casefold())
    if lead is not None:
        spelled = lead
        ahead = _SPELLED_GAP.match(text, word.end())
        word = _WORD.match(text, ahead.end()) if ahead is not None else None
        if word is None:
            return None
    name = word[0] if word[0] in _UNITS else _BY_LOWER.get(word[0].casefold(), "")
    if name not in _UNITS or (name in _WORDS_TOO and _GOES_ON.match(text, word.end())):
        return None
    stop = word.end()
    power = _POWER.match(text, stop)
    if power is not None:
        spelled *= int(
            power[1] or power[2] or {"²": 2, "³": 3, "squared": 2, "cubed": 3}.get(power[3] or power[5] or "", 0) or power[4]
        )
        stop = power.end()
    meanings = _UNITS[name]
    if spelled != 1:
        meanings = tuple(
            ({base: exponent * spelled for base, exponent in powers.items()}, factor**spelled) for powers, factor in meanings
        )
    return meanings, stop


def unit_at(text: str, start: int) -> tuple[tuple[Unit, ...], int] | None:
    """Return the meanings of the unit that stands at `start` of `text` and where it ends, or None where none does.

    Units with exponents, products and quotients are read whole: "m/s^2", "kg m^2". Money per something means money too: a reference
    seldom says "dollars per day".
    """
    if not text[start : start + 1].isalpha() and text[start : start + 1] not in "°℃℉€$£¥₹₩¢":
        return None
    found = _unit(text[start : start + 60])
    return None if found is None else (found[0], start + found[1])


@lru_cache(maxsize=1 << 12)
def _unit(text: str) -> tuple[tuple[Unit, ...], int] | None:
    first = _one(text, 0)
    if first is None:
        return None
    meanings, stop = first
    alone = meanings
    loose = False
    for _ in range(4):
        joint = _JOINT.match(text, stop)
        if joint is None:
            break
        following = _one(text, joint.end())
        divided = "/" in joint[0] or "per" in joint[0]
        if following is None:
            break
        money = any(set(powers) & set("$€£¥元₹₩") or "month" in powers for powers, _ in meanings)
        loose = loose or (divided and "per" in joint[0] and money)
        sign = -1 if divided else 1
        combined = []
        for powers, factor in meanings:
            for others, other in following[0]:
                merged = dict(powers)
                for base, exponent in others.items():
                    merged[base] = merged.get(base, 0) + sign * exponent
                combined.append(({base: n for base, n in merged.items() if n}, factor * other**sign))
        meanings, stop = tuple(combined), following[1]
    if not loose:
        per = _PER_TIME_OR_ITEM.match(text, stop)
        loose = per is not None and per[0].split()[0].casefold() in ("per", "each", "every")
        stop = per.end() if per is not None and loose else stop
    if loose and alone is not meanings:
        meanings = (*meanings, *alone)
    units = tuple(
        Unit(" ".join(f"{base}{n if n != 1 else ''}" for base, n in sorted(powers.items())), factor)
        for powers, factor in meanings
    )
    return units, stop
