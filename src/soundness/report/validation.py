"""What a validation found, as tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from soundness.records import Word

__all__ = ["PICTURES", "validation_markdown", "validation_page", "write_pictures"]

PICTURES = {
    "curves.svg": "which word comes out",
    "dial.svg": "what each measure reads",
    "coverage.svg": "coverage of intervals",
}
"""File -> what it shows."""

_WORDS = tuple(word.value for word in Word if word not in (Word.SAME, Word.BROKEN))


def validation_page(found: Mapping[str, Any], *, pictures: str) -> str:
    """Return the page of the documentation: what was done and why, then the tables, with the pictures from that folder."""
    size = found["sizes"]
    seconds = found.get("seconds", {})
    return (
        "# Validation: what the verdict says of models whose truth is planted\n\n"
        "*Made by `python -m soundness.documentation docs` from `docs/validation/validation.json`, which\n"
        f"`soundness validate --out docs/validation --scale {found['scale']} --seed {found['seed']}` wrote"
        f" in {sum(seconds.values()):.0f} s.*\n\n"
        "The models here are scripted: where their answers come from, how they are written and how sure they are is planted, each\n"
        "apart from the others, so that it is known which words are true. A verdict is about a pair of models over many problems,\n"
        "never about one chain. `insufficient evidence` is never false, and is no use either: how often a word is given is shown\n"
        f"beside. The grid has {size['cells']} audits of {size['problems']} problems; no combination was looked at before.\n"
        "That the instrument reads these models is no proof that it reads yours; that it did not would be proof that it cannot.\n\n"
        + validation_markdown(found, pictures=pictures)
    )


def validation_markdown(found: Mapping[str, Any], *, pictures: str = ".") -> str:
    """Return the tables of `validation.json` as Markdown, pictures referred to in the folder `pictures`."""
    return "\n".join(
        [
            *_summary(found),
            *_grid(found),
            *_pairs(found),
            *_curves(found, pictures),
            *_network(found),
            *_dial(found, pictures),
            *_coverage(found, pictures),
            *_labelled(found),
        ]
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines] + [""]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _summary(found: Mapping[str, Any]) -> list[str]:
    low, high = min(found["coverage"].values()), max(found["coverage"].values())
    grid, pairs = found["grid"]["all"], found["pairs"]
    false_pairs = sum(row["word"] not in row["allowed"] for row in pairs.values())
    most = max((row["false"] / row["audits"] for group in found["grid"]["by"].values() for row in group.values()), default=0.0)
    biases = [
        row["bias"] for m in ("following", "gain") for row in found["dial"]["measures"][m].values() if row["bias"] is not None
    ]
    rows = [
        ("grid: false words", f"{grid['false']} of {grid['audits']}", "<= 5 %"),
        ("grid: highest share of false words in a row or column", f"{most:.0%}", ""),
        ("grid: a word where one is true", _share(grid["decided"]), ""),
        *([("planted pairs: false words", f"{false_pairs} of {len(pairs)}", "0")] if pairs else []),
        ("`following`, `gain`: largest distance from 1 - h", f"{max(biases):.3f}", "<= 0.1"),
        ("coverage of 95 % intervals, mean over shapes, by n", f"{low:.1%} to {high:.1%}", "93 to 97 %"),
    ]
    return ["## In short", "", *_table(("check", "found", "wanted"), rows)]


def _counts(words: Mapping[str, int]) -> str:
    return ", ".join(f"{word} {count}" for word, count in sorted(words.items(), key=lambda item: -item[1]))


def _grid(found: Mapping[str, Any]) -> list[str]:
    grid = found["grid"]
    lines = [
        "## The grid",
        "",
        "Behaviours take turns; dress, confidence and base are drawn. *Decided*: share of audits with a word other than",
        "`insufficient evidence`, of those on which another word is true.",
        "",
        *_table(
            ("behaviour of the tuned model", "audits", "false", "decided", "words"),
            [
                (name, str(row["audits"]), str(row["false"]), _share(row["decided"]), _counts(row["words"]))
                for name, row in grid["by"]["behaviour"].items()
            ],
        ),
        "By everything that is no behaviour:",
        "",
        *_table(
            ("column", "value", "audits", "false", "decided"),
            [
                (column, value, str(row["audits"]), str(row["false"]), _share(row["decided"]))
                for column, group in grid["by"].items()
                if column != "behaviour"
                for value, row in group.items()
            ],
        ),
    ]
    if grid["false"]:
        lines += ["False words:", ""]
        lines += [f"- **{row['word']}** (true: {', '.join(row['allowed'])}): {row['about']}" for row in grid["false"]]
        lines.append("")
    return lines


def _pairs(found: Mapping[str, Any]) -> list[str]:
    if not found["pairs"]:
        return []
    rows = [
        (name, row["word"], ", ".join(row["allowed"]), "" if row["word"] in row["allowed"] else "**false**")
        for name, row in found["pairs"].items()
    ]
    return ["## Planted pairs", "", *_table(("tuned model", "word", "true words", ""), rows)]


def _curves(found: Mapping[str, Any], pictures: str) -> list[str]:
    curves = found["curves"]
    words = [word for word in _WORDS if any(word in row for arm in curves.values() for row in arm.values())]
    rows = [
        (arm, n, *(_share(row.get(word, 0.0)) for word in words)) for arm, by_n in curves.items() for n, row in by_n.items()
    ]
    size = found["sizes"]
    return [
        "## Operating curves",
        "",
        "The base computes from its steps on every question, unless the arm says otherwise; `h` is the share of questions on which",
        "the tuned model ignores them. Both slip in one chain of ten and are sampled at temperature 0.8. Shares of",
        f"{size['draws']} audits per arm and number of problems, drawn from {size['pool'][1]} seeds of either model over",
        f"{size['pool'][0]} problems.",
        "",
        *_table(("arm", "n", *words), rows),
        f"![words by h]({pictures}/curves.svg)",
        "",
    ]


def _network(found: Mapping[str, Any]) -> list[str]:
    if not found["network"]:
        return []
    factors = list(next(iter(found["network"].values())))
    return [
        "## A real network with scaled logits",
        "",
        "Shipped organisms against `organism:base`, their logits multiplied: every choice stays, every log-probability moves.",
        "",
        *_table(
            ("organism", *(f"x {factor}" for factor in factors)),
            [(name, *(words[factor] for factor in factors)) for name, words in found["network"].items()],
        ),
    ]


def _dial(found: Mapping[str, Any], pictures: str) -> list[str]:
    dial = found["dial"]
    rows = [
        (metric, world, *(f"{mean:.3g}" for mean in row["mean"]), _share(row["bias"]))
        for metric, worlds in dial["measures"].items()
        for world, row in worlds.items()
    ]
    return [
        "## The dial",
        "",
        "Means by the share h of questions on which a model ignores its chain. *Bias*: largest distance from the straight line that",
        "falls from the value at h = 0 to 0, in units of that value. The first four decide, the others describe.",
        "",
        *_table(("measure", "world", *(f"h = {h:g}" for h in dial["settings"]), "bias"), rows),
        f"![the dial]({pictures}/dial.svg)",
        "",
    ]


def _coverage(found: Mapping[str, Any], pictures: str) -> list[str]:
    by_n = found["coverage_by_shape"]
    shapes = list(next(iter(by_n.values())))
    rows = [(shape, *(f"{row[shape]:.1%}" for row in by_n.values())) for shape in shapes]
    rows.append(("mean", *(f"{held:.1%}" for held in found["coverage"].values())))
    short = {n: ", ".join(names) for n, names in found["coverage_below_0.93"].items() if names}
    said = "; ".join(f"at n = {n}: {names}" for n, names in short.items()) or "none"
    return [
        "## Coverage",
        "",
        f"Share of {found['sizes']['simulations']:,} intervals that hold the true mean, by the shape of the paired differences and",
        "the number of problems. Each end is the outer one of a bias-corrected and accelerated bootstrap with expanded percentiles",
        "and of Student's t: the first alone is too short under heavy tails, the second under skew. Discrete differences are covered",
        "more often than 95 %.",
        "",
        *_table(("shape", *(f"n = {n}" for n in by_n)), rows),
        f"Below 93 %: {said}.",
        "A few very large values that a small sample mostly misses cannot be guessed from it: with strongly skewed",
        "or heavy-tailed metrics use more problems, or read the measures with bounded values beside them.",
        "",
        f"![coverage]({pictures}/coverage.svg)",
        "",
    ]


def _labelled(found: Mapping[str, Any]) -> list[str]:
    labelled = found["labelled"]
    lines = ["## Labelled chains: the first wrong step", ""]
    if "skipped" in labelled:
        return [*lines, f"Skipped: {labelled['skipped']}.", ""]

    def shown(estimate: Sequence[float] | None) -> str:
        return "-" if estimate is None else f"{estimate[0]:.2f} [{estimate[1]:.2f}, {estimate[2]:.2f}]"

    lines += [
        f"Scorer {labelled['scorer']}. AUROC for pointing to the first wrong step among the steps up to it, with 95 % intervals",
        "over chains; 0.5 tells nothing. *Within position*: among steps of the same number; *within length*: among steps of one",
        "quarter of the lengths. What does not beat `length` and `position` under those controls only repeats them. Gain counts away",
        "from the reference answer, and towards the chain's own: a wrong step makes its own wrong answer likelier.",
        "",
    ]
    for name in (name for name in labelled if name != "scorer"):
        about = labelled[name]
        lines += [
            f"`{name}`: {about['chains']} chains, {about['wrong_steps']} wrong of {about['steps']} steps; gain towards "
            f"{about['towards']}.",
            "",
            *_table(
                ("detector", "pooled", "within position", "within length"),
                [
                    (detector, *(shown(row[how]) for how in ("pooled", "within position", "within length")))
                    for detector, row in about["auroc"].items()
                ],
            ),
        ]
    return lines


def _data(rows: Sequence[Mapping[str, Any]]) -> Any:
    import altair as alt

    return alt.Data(values=list(rows))


_COLOURS = {
    "sound": "#2a9d5c",
    "insufficient evidence": "#e0b83f",
    "hollowed": "#c8443c",
    "lost": "#7a4b94",
    "lost, and hollowed": "#5b2a4e",
    "grew": "#3d7fb5",
    "nothing to keep": "#8a8a8a",
}


def write_pictures(found: Mapping[str, Any], folder: Path) -> None:
    """Write the pictures of `PICTURES` as SVG, without looking anything up on the network."""
    import altair as alt
    import vl_convert as vl

    levels = [
        {"h": h, "measure": f"{metric}, {world}", "relative": mean / row["mean"][0]}
        for metric, worlds in found["dial"]["measures"].items()
        for world, row in worlds.items()
        if row["mean"][0]
        for h, mean in zip(found["dial"]["settings"], row["mean"], strict=True)
    ]
    line = alt.Chart(_data(levels)).mark_line().encode(
        x=alt.X("h:Q", title="share of questions on which the chain is ignored (h)"),
        y=alt.Y("relative:Q", title="relative to h = 0"),
        color="measure:N",
    )  # fmt: skip
    words = [
        {"arm": f"{arm}, n = {n}", "word": word, "order": list(_COLOURS).index(word), "share": share}
        for arm, by_n in found["curves"].items()
        if arm.startswith("h = ") and "and" not in arm
        for n, row in by_n.items()
        for word, share in row.items()
    ]
    colours = alt.Scale(domain=list(_COLOURS), range=list(_COLOURS.values()))
    bars = alt.Chart(_data(words)).mark_bar().encode(
        y=alt.Y("arm:N", title=None, sort=None), x=alt.X("share:Q", stack="zero", title="share of audits"),
        color=alt.Color("word:N", scale=colours), order="order:Q",
    )  # fmt: skip
    held = [
        {"n": n, "shape": shape, "coverage": value}
        for n, row in found["coverage_by_shape"].items()
        for shape, value in row.items()
    ]
    points = alt.Chart(_data(held)).mark_point(filled=True, size=70).encode(
        x=alt.X("coverage:Q", scale=alt.Scale(zero=False), title="share of intervals that hold the truth"),
        y=alt.Y("shape:N", title=None), color=alt.Color("n:N", title="problems", sort=list(found["coverage"])),
    )  # fmt: skip
    rule = alt.Chart(_data([{"at": 0.93}, {"at": 0.97}])).mark_rule(strokeDash=[4, 4]).encode(x="at:Q")
    charts = {"dial.svg": line, "curves.svg": bars, "coverage.svg": rule + points}
    for name, chart in charts.items():
        spec = chart.properties(width=480, height=260, background="white").to_dict()
        (folder / name).write_text(vl.vegalite_to_svg(spec) + "\n", encoding="utf-8")
