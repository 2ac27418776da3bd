"""Run the benchmarks and write docs/benchmarks.md; `--only reading`, `battery`, `audits`, `monitor`, `tiny-decoders` or `answers` runs a part and prints it."""

from __future__ import annotations

import argparse
import logging
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks import audits, battery, monitor, reading, reading_answers, tiny_decoders
from benchmarks.machine import describe
from soundness.models.load import load_model
from soundness.models.transformers import TransformersModel

ROOT = Path(__file__).resolve().parents[1]
GSM8K = ROOT.parent / "shared" / "data" / "gsm8k_test.jsonl"


def against(value: float, target: float | None, *, at_most: bool) -> str:
    """Return a figure with its target and whether it was reached."""
    if target is None:
        return f"{value:.2f}"
    reached = value <= target if at_most else value >= target
    return f"{value:.2f} ({'reached' if reached else 'missed'}: {'at most' if at_most else 'at least'} {target:g})"


def reading_section(model: TransformersModel) -> str:
    """Return the part on reading probes."""
    lines = [
        "## Reading probes",
        "",
        "SmolLM2-135M-Instruct in bfloat16. Shape: prompt tokens / steps x tokens / endings x tokens; every prefix of the chain is asked for",
        "every ending. `apart`: tokens that one pass per distinct text reads. `plain`: one causal forward pass over as many tokens as the forest",
        "has, logits at as many places. `lm-eval`: lm-evaluation-harness 0.4.13, HFLM on the same module, batch size 8. Medians of 5 interleaved rounds.",
        "",
        "| shape | tokens | apart | packed, s | plain, s | packed / plain | lm-eval, s | lm-eval / packed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in reading.measure(model):
        theirs = "not run" if row["lm_eval"] is None else f"{row['lm_eval']:.2f}"
        times = "" if row["lm_eval"] is None else against(row["under_lm_eval"], row["target_lm_eval"], at_most=False)  # type: ignore[arg-type]
        lines.append(
            f"| {row['shape']} | {row['tokens']:,} | {row['tokens_apart']:,} | {row['packed']:.3f} | {row['plain']:.3f} "
            f"| {against(row['over_plain'], row['target_plain'], at_most=True)} | {theirs} | {times} |"  # type: ignore[arg-type]
        )
    points, exponent = reading.growth(model)
    grown = ", ".join(f"{steps}: {taken:.3f} s" for steps, taken in points)
    memory = reading.peak_memory()
    return "\n".join(
        [
            *lines,
            "",
            f"Growth with the number of steps (20 tokens each): {grown}; fitted exponent {against(exponent, 1.1, at_most=True)}.",
            "",
            f"Peak memory while a forest of about 4,000 tokens is read: {memory:.2f} GB beyond the model "
            f"({'within' if memory <= 1.5 else 'above'} 1.5 GB).",
        ]
    )


def battery_section(model: TransformersModel) -> str:
    """Return the part on the full battery, or why there is none."""
    if not GSM8K.exists():
        return f"## The full battery\n\nNot run: {GSM8K.name} is not there."
    measured = battery.measure(model, str(GSM8K))
    rows = [
        f"| {row['reader']} | {row['probes']:,} | {row['tokens']:,} | {row['tokens_apart']:,} | {row['packed']:.1f} | {row['plain']:.1f} "
        f"| {against(row['ratio'], 1.15, at_most=True)} |"
        for row in measured
    ]
    return "\n".join(
        [
            "## The full battery",
            "",
            f"SmolLM2-135M-Instruct in bfloat16, {measured[0]['chains']} chains on GSM8K of at most 256 tokens. All probes of all families in one forest",
            "per reader, beside plain causal passes over as many tokens (4,096 at a time, logits at as many places). `apart`: tokens of one pass",
            f"per distinct text. Medians of {battery.ROUNDS} interleaved rounds.",
            "",
            "| reader | probes | tokens | apart | packed, s | plain, s | packed / plain |",
            "|---|---|---|---|---|---|---|",
            *rows,
        ]
    )


def audit_section(problems: int) -> str:
    """Return the part on whole audits, or why there is none."""
    if not GSM8K.exists():
        return f"## Whole audits\n\nNot run: {GSM8K.name} is not there."
    rows, forest = audits.measure(str(GSM8K), limit=problems)
    targets = dict(zip(audits.GROUPS, (1.8, 4.0), strict=True))
    table: list[str] = []
    for row in rows:
        ratio = against(row["ratio"], targets[row["metrics"]], at_most=True)
        table.append(f"| {row['metrics']} | {row['problems']} | {row['sampling']:.1f} | {row['all']:.1f} | {ratio} |")
    return "\n".join(
        [
            "## Whole audits",
            "",
            "SmolLM2 against itself with a small random adapter, GSM8K, chains of at most 256 tokens, greedy, batches of 8, both scorers, no noise floor.",
            "",
            "| metrics | problems | sampling, s | whole audit, s | whole / sampling |",
            "|---|---|---|---|---|",
            *table,
            "",
            f"All probes that the base read in the last of these audits: {forest['probes']:,} probes, {forest['tokens']:,} tokens "
            f"({forest['tokens_apart']:,} apart), {forest['packed']:.2f} s packed and {forest['plain']:.2f} s in plain passes over as many "
            f"tokens: ratio {against(forest['ratio'], 1.15, at_most=True)}.",
        ]
    )


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["reading", "battery", "audits", "monitor", "tiny-decoders", "answers"])
    parser.add_argument("--problems", type=int, default=24, help="problems of the whole audits")
    asked = parser.parse_args()
    only = asked.only
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    sections: list[str] = []
    if only in (None, "answers"):
        table = reading_answers.markdown()
        reading_answers.write(table)
        sections.append(f"## Reading answers\n\nSee [how answers are read](reading.md).\n\n{table}")
    if only not in ("audits", "monitor", "tiny-decoders", "answers"):
        model: Any = load_model("smollm2", dtype="bfloat16")
        if only != "battery":
            sections.append(reading_section(model))
        if only != "reading":
            sections.append(battery_section(model))
    if only in (None, "audits"):
        sections.append(audit_section(asked.problems))
    if only in (None, "monitor"):
        sections.append(monitor.section())
    if only in (None, "tiny-decoders"):
        sections.append(tiny_decoders.section())
    text = "\n\n".join(
        [
            "# Benchmarks",
            f"Written by `make bench` on {date.today().isoformat()}: {describe()}. Times vary with the machine; ratios are what to compare.",
            *sections,
        ]
    )
    if only is None:
        (ROOT / "docs" / "benchmarks.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
