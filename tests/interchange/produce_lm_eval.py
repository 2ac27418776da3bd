"""Has the real lm-eval log two tiny tasks under a fixed model: python produce_lm_eval.py FOLDER."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import lm_eval
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from lm_eval.loggers import EvaluationTracker

DOCS = [
    {"question": "2 + 2 * 3?", "answer": "2 * 3 = 6, 2 + 6 = 8 #### 8"},
    {"question": "4 + 4?", "answer": "#### 8"},
]


@register_model("fixed")
class Fixed(LM):
    @classmethod
    def create_from_arg_string(cls, arg_string, additional_config=None):
        return cls()

    def loglikelihood(self, requests, **_):
        return [(-1.0, True) for _ in requests]

    def loglikelihood_rolling(self, requests, **_):
        return [-1.0 for _ in requests]

    def generate_until(self, requests, **_):
        return ["2 * 3 = 6\n2 + 6 = 8\nAnswer: 8" if "2 * 3" in request.args[0] else "8" for request in requests]


def main(folder: Path) -> None:
    docs = folder / "docs.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    docs.write_text("".join(json.dumps(doc) + "\n" for doc in DOCS))
    common = {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(docs)}},
        "test_split": "test",
        "doc_to_text": "Q: {{question}}\nA:",
    }
    first, spaces = {"function": "take_first"}, {"function": "remove_whitespace"}
    sums = {
        **common,
        "task": "sums",
        "output_type": "generate_until",
        "doc_to_target": "{{answer}}",
        "metric_list": [{"metric": "exact_match"}],
        "filter_list": [{"name": "plain", "filter": [first]}, {"name": "bare", "filter": [spaces, first]}],
    }
    pick = {
        **common,
        "task": "pick",
        "output_type": "multiple_choice",
        "doc_to_choice": ["7", "8"],
        "doc_to_target": 1,
        "metric_list": [{"metric": "acc"}],
    }
    tracker = EvaluationTracker(output_path=str(folder / "out"))
    arguments = "pretrained=tiny,think_end_token=</think>"
    results = lm_eval.simple_evaluate(
        model="fixed", model_args=arguments, tasks=[sums, pick], evaluation_tracker=tracker, bootstrap_iters=0
    )
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    for name, rows in samples.items():
        tracker.save_results_samples(task_name=name, samples=rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
