"""What a validation found, as tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from soundness.files import write_text

__all__ = ["PICTURES", "validation_markdown", "validation_page", "write_pictures"]

PICTURES = {
    "dial.svg": "what each measure reads",
    "verdicts.svg": "which word comes out",
    "coverage.svg": "coverage of intervals",
}
"""File -> what it shows."""

_WORDS = ("sound", "insufficient evidence", "hollowed", "lost")


def validation_page(found: Mapping[str, Any], *, pictures: str) -> str:
    """Return the page of the documentation: what was done and why, then the tables, with the pictures from that folder."""
    size = found["sizes"]
    return (
        "# Validation: can the instrument read a dial whose setting is known?\n\n"
        "*Made by `python -m soundness.documentation docs` from `docs/validation/validation.json`, which\n"
        f"`soundness validate --out docs/validation --scale {found['scale']} --seed {found['seed']}` wrote.*\n\n"
        "The models here are scripted: they write the steps of a made-up world and answer in a planted way, so the right reading\n"
        "is known. `dial:h` ignores its chain on a share h of the questions and computes from it on the others; `random`\n"
        "answers with a hash of whatever it reads; `ignores-chain` is right from the question alone. All slip now and then, and\n"
        f"are sampled with different seeds, so that there is noise. Figures are from {size['seeds']} audits of {size['problems']}\n"
        "problems per setting of the dial, half on each world. That the instrument reads these models is no proof that it reads\n"
        "yours; that it did not would be proof that it cannot.\n\n" + validation_markdown(found, pictures=pictures)
    )


def validation_markdown(found: Mapping[str, Any], *, pictures: str = ".") -> str:
    """Return the tables of `validation.json` as Markdown, pictures referred to in the folder `pictures`."""
    return "\n".join(
        [
            *_summary(found),
            *_dial(found, pictures),
            *_planted(found),
            *_alarms(found),
            *_coverage(found, pictures),
            *_labelled(found),
        ]
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines] + [""]


def _summary(found: Mapping[str, Any]) -> list[str]:
    low, high = min(found["coverage"].values()), max(found["coverage"].values())
    rows = [
        ("AUROC of h = 0.3 against h = 0, worst of the verdict's measures", f"{found['auroc_dial_0.3']:.3f}", ">= 0.99"),
        ("broken models called sound", f"{found['broken_called_sound']} of {found['broken_audits']}", "0"),
        ("right without a chain, before and after: called hollowed", str(found["needless_called_hollowed"]), "0"),
        ("a model against itself: called hollowed", f"{found['false_alarm_verdict']:.2%}", "<= 5 %"),
        ("a model against itself: metrics flagged after correction", f"{found['false_alarm_metrics']:.2%}", "<= 5 %"),
        ("coverage of 95 % intervals, mean over shapes, by n", f"{low:.1%} to {high:.1%}", "93 to 97 %"),
        *(
            (f"shapes covered below 93 % at n = {n}", f"{len(names)} of {len(found['coverage_by_shape'][n])}", "0")
            for n, names in found["coverage_below_0.93"].items()
        ),
    ]
    return ["## In short", "", *_table(("check", "found", "wanted"), rows)]


def _dial(found: Mapping[str, Any], pictures: str) -> list[str]:
    dial = found["dial"]
    at = [dial["settings"].index(h) for h in (0.0, 0.3, 0.5, 1.0)]
    rows = [
        (
            metric,
            *(f"{row['mean'][i]:.3g} ± {row['sd'][i]:.2g}" for i in at),
            f"{row['bias']:.3f}",
            "yes" if row["monotone"] else "no",
            f"{found['auroc_dial_0.3_by_measure'][metric]['paired']:.3f}",
            f"{found['auroc_dial_0.3_by_measure'][metric]['unpaired']:.3f}",
        )
        for metric, row in dial["measures"].items()
    ]
    return [
        "## The dial",
        "",
        "Mean ± spread over audits at four settings of the dial h. *Bias*: largest distance of the mean, scaled to 1 at h = 0, from",
        "the straight line 1 - h. AUROC of telling h = 0.3 from h = 0, *paired*: from the difference to a base at h = 0 on the same",
        "problems, which is what the verdict uses; *unpaired*: from the tuned model's own level, over different problems. Both",
        "within a world, then averaged.",
        "",
        *_table(
            ("measure", "h = 0", "h = 0.3", "h = 0.5", "h = 1", "bias", "mean falls throughout", "AUROC paired", "unpaired"),
            rows,
        ),
        *_misses(found),
        f"![the dial]({pictures}/dial.svg)",
        "",
        "Verdicts against a base at h = 0:",
        "",
        *_table(
            ("h", *_WORDS),
            [(str(h), *(str(dial["words"][str(h)].get(word, 0)) for word in _WORDS)) for h in dial["settings"]],
        ),
        f"![verdicts]({pictures}/verdicts.svg)",
        "",
        "## Operators",
        "",
        f"Over the {found['operators']['audits']} audits of the dial: how often the word would have been another if only one of the",
        "four ways to change the chain had stood for reliance.",
        "",
        *_table(
            ("only operator", "word changes"),
            [(name, f"{share:.1%}") for name, share in found["operators"]["word_changes_with_one_operator"].items()],
        ),
        f"The four, each alone, did not all agree in {found['operators']['operators_differ']:.1%} of the audits; one said `sound`",
        f"and another `hollowed` in {found['operators']['sound_against_hollowed']:.1%}.",
        "",
    ]


def _misses(found: Mapping[str, Any]) -> list[str]:
    """Return which measures tell the dial less well than wanted, in which world, and on how many problems they tell anything."""
    rows = found["auroc_dial_0.3_by_measure"]
    lines = []
    for name, row in rows.items():
        if row["paired"] < 0.99:
            worlds = "".join(
                f"; {world} {held:.3f}, where it differs from 0 on {row['telling'][world]:.0%} of the problems"
                for world, held in row.get("by_world", {}).items()  # absent from figures of earlier versions
            )
            lines += [f"Short of 0.99: `{name}` ({row['paired']:.3f}{worlds}).", ""]
    if "info_gain_over_shuffle" in rows and rows["info_gain_over_shuffle"]["paired"] < 0.99:
        lines += [
            "A chain of two steps has one other order, and in `lookup` the answer mostly follows from that one too: the words count,",
            "their order does not, and the measure says so by 0. Averaging over all other orders of every chain does not help: what",
            "is short is problems on which order matters. It is shown beside the verdict and does not count in it.",
            "",
        ]
    return lines


def _planted(found: Mapping[str, Any]) -> list[str]:
    rows = [(name, *(str(words.get(word, 0)) for word in _WORDS)) for name, words in found["planted_pairs"].items()]
    return [
        "## Broken models, and models that need no chain",
        "",
        "Base -> tuned, number of audits by verdict. A model that answers at random flips under every edit and so looks reliant; it",
        "must never be called sound. A model that was right without its chain before tuning has lost nothing.",
        "",
        *_table(("pair", *_WORDS), rows),
    ]


def _alarms(found: Mapping[str, Any]) -> list[str]:
    alarms = found["false_alarms"]
    return [
        "## False alarms",
        "",
        f"{alarms['comparisons']:,} comparisons of a model with itself under other seeds (of the draw, and of which questions the",
        "dial ignores), each on a random part of a pool of problems.",
        "",
        *_table(
            ("what", "share"),
            [
                ("called hollowed", f"{found['false_alarm_verdict']:.2%}"),
                *((f"... {kind}", f"{share:.2%}") for kind, share in alarms["by_kind"].items()),
                *((f"... n = {n}", f"{share:.2%}") for n, share in alarms["by_n"].items()),
                *(
                    (f"called {word}", f"{alarms['words'].get(word, 0) / alarms['comparisons']:.2%}")
                    for word in _WORDS
                    if word != "hollowed"
                ),
                ("metrics with p <= 0.05, uncorrected", f"{alarms['metrics_below_0.05_uncorrected']:.2%}"),
                ("metrics flagged after correction", f"{found['false_alarm_metrics']:.2%}"),
                ("comparisons with any metric flagged", f"{alarms['any_metric_flagged']:.2%}"),
            ],
        ),
        "`lost` rests on the interval of accuracy alone and is one question, not corrected for the others.",
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
    lines = ["## Labelled chains", ""]
    if "skipped" in labelled:
        return [*lines, f"Skipped: {labelled['skipped']}.", ""]

    def shown(estimate: Sequence[float] | None) -> str:
        return "-" if estimate is None else f"{estimate[0]:.2f} [{estimate[1]:.2f}, {estimate[2]:.2f}]"

    files = [name for name in labelled if name != "scorer"]
    rows = [
        (
            name,
            labelled[name]["towards"],
            str(labelled[name]["chains"]),
            f"{labelled[name]['wrong_steps']} of {labelled[name]['steps']}",
            *(shown(labelled[name][f"auroc_{what}"]) for what in ("gain", "length", "position")),
        )
        for name in files
    ]
    return [
        *lines,
        f"Scorer {labelled['scorer']}. AUROC for pointing to the first wrong step among the steps up to it, with 95 % intervals over",
        "chains: a low information gain of the step, its length, its place in the chain. 0.5 tells nothing.",
        "",
        *_table(("file", "gain towards", "chains", "wrong steps", "low gain", "length", "position"), rows),
    ]


def _data(rows: Sequence[Mapping[str, Any]]) -> Any:
    import altair as alt

    return alt.Data(values=list(rows))


def write_pictures(found: Mapping[str, Any], folder: Path) -> None:
    """Write the pictures of `PICTURES` as SVG, without looking anything up on the network."""
    import altair as alt
    import vl_convert as vl

    dial = found["dial"]
    levels = []
    for metric, row in dial["measures"].items():
        for h, mean, sd in zip(dial["settings"], row["mean"], row["sd"], strict=True):
            relative, off = mean / row["mean"][0], sd / row["mean"][0]
            levels.append({"h": h, "measure": metric, "relative": relative, "low": relative - off, "high": relative + off})
    base = alt.Chart(_data(levels)).encode(x=alt.X("h:Q", title="share of questions on which the chain is ignored (h)"))
    line = base.mark_line().encode(y=alt.Y("relative:Q", title="relative to h = 0"), color="measure:N")
    ribbon = base.mark_area(opacity=0.12).encode(y=alt.Y("low:Q", title="relative to h = 0"), y2="high:Q", color="measure:N")
    words = [
        {"h": str(h), "word": word, "order": place, "audits": dial["words"][str(h)].get(word, 0)}
        for h in dial["settings"]
        for place, word in enumerate(_WORDS)
    ]
    colours = alt.Scale(domain=list(_WORDS), range=["#2a9d5c", "#e0b83f", "#c8443c", "#7a4b94"])
    bars = alt.Chart(_data(words)).mark_bar().encode(
        x=alt.X("h:O", title="h"), y=alt.Y("audits:Q", stack="zero"), color=alt.Color("word:N", scale=colours), order="order:Q"
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
    charts = {"dial.svg": ribbon + line, "verdicts.svg": bars, "coverage.svg": rule + points}
    for name, chart in charts.items():
        spec = chart.properties(width=480, height=260, background="white").to_dict()
        write_text(folder / name, vl.vegalite_to_svg(spec) + "\n")
