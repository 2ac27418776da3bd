from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from soundness.answers import grade
from soundness.errors import ModelError, RunError, SettingError, TaskError
from soundness.models.chat import closing_id, render_prompt
from soundness.records import Outcome, Problem
from soundness.tasks.base import Task
from soundness.tasks.prompts import parse_prompting
from soundness.training import Settings, TrainingStep, sft
from soundness.training.data import IGNORED, build_examples, check_lengths, prompt_of, taught_text
from soundness.training.methods import train as run_training
from soundness.training.sft import direct_ids

TEMPLATE = (
    "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
SUMS = Task(
    "sums",
    tuple(
        Problem(str(a), f"What is {a} + 1 + 2?", str(a + 3), steps=(f"{a} + 1 = {a + 1}", f"{a + 1} + 2 = {a + 3}"))
        for a in range(8)
    ),
    instruction="",
)
CHOICE = Problem("c", "Which is even?", "B", choices=("one", "two"), rationale="Two is twice one.\n")


def byte_tokenizer(*, chat: bool = True, adds_bos: bool = False, adds_eos: bool = False) -> PreTrainedTokenizerFast:
    """Bytes and four special tokens; `<|end|>` ends a turn, `<eos>` a text."""
    from tokenizers.processors import TemplateProcessing

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<eos>", "<bos>", "<|start|>", "<|end|>"]
    backend = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate([*special, *letters])}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(special)
    if adds_bos or adds_eos:
        single = f"{'<bos> ' if adds_bos else ''}$A{' <eos>' if adds_eos else ''}"
        backend.post_processor = TemplateProcessing(single=single, special_tokens=[("<eos>", 0), ("<bos>", 1)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>", bos_token="<bos>")
    tokenizer.chat_template = TEMPLATE if chat else None
    return tokenizer


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Llama with its tokenizer, saved as a folder."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    torch.manual_seed(0)
    tokenizer = byte_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=256,
        eos_token_id=[0, 3],
        bos_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def train(base: Path, tmp_path: Path) -> Callable[..., Path]:
    def run(
        model: str = str(base),
        *,
        out: Path = tmp_path / "out",
        limit: int | None = None,
        target: sft.Target = "rationale",
        on_step: Any = None,
        **settings: Any,
    ) -> Path:
        task = replace(SUMS, problems=SUMS.problems[:limit])
        chosen = Settings(**{"device": "cpu", "batch_size": 4, "epochs": 1, **settings})
        return run_training("sft", model, task, out=out, config={"target": target}, settings=chosen, on_step=on_step)

    return run


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "training.json").read_text())


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.tensor([[5, 60, 7, 8, 200, 11]])).logits


# What is taught


@pytest.mark.parametrize(
    ("problem", "target", "text"),
    [
        (SUMS.problems[0], "label", "Answer: 3\n"),
        (SUMS.problems[0], "rationale", "0 + 1 = 1\n1 + 2 = 3\nAnswer: 3\n"),
        (SUMS.problems[0], "completion", None),
        (CHOICE, "label", "Answer: B"),
        (CHOICE, "rationale", "Two is twice one.\nAnswer: B"),
        (replace(CHOICE, rationale=" "), "rationale", None),
        (replace(CHOICE, answer=None), "label", None),
        (replace(CHOICE, answer=None), "rationale", None),
        (replace(CHOICE, meta={"completion": " as written "}), "completion", " as written "),
        (replace(CHOICE, meta={"completion": 3}), "completion", None),
    ],
)
def test_what_a_target_teaches(problem: Problem, target: str, text: str | None) -> None:
    assert taught_text(SUMS, problem, target) == text


@pytest.mark.parametrize(
    ("answer_format", "closing"),
    [("line", "Answer: 3\n"), ("boxed", "Answer: \\boxed{3}"), ("json", '{"answer": "3"}')],
)
def test_the_answer_is_taught_in_the_tasks_format(answer_format: str, closing: str) -> None:
    task = SUMS.with_prompting(parse_prompting({"answer_format": answer_format}))
    text = taught_text(task, task.problems[0], "rationale")
    assert text is not None
    assert text == f"0 + 1 = 1\n1 + 2 = 3\n{closing}"
    graded = grade(text, "stop", task.problems[0])
    assert graded.outcome is Outcome.RIGHT  # what is taught is what an audit reads as right


THINKING = TEMPLATE.replace("<|start|>assistant\n{% endif %}", "<|start|>assistant\n<think>\n{% endif %}")


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("rationale", "0 + 1 = 1\n1 + 2 = 3\n</think>\n\nAnswer: 3\n<|end|>"),
        ("label", "</think>\n\nAnswer: 3\n<|end|>"),
    ],
)
def test_a_thinking_span_that_the_prompt_opens_is_closed_before_the_answer(target: str, text: str) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = THINKING
    example = build_examples(SUMS, target, tokenizer)[0]
    assert tokenizer.decode(example.prompt).endswith("<|start|>assistant\n<think>\n")
    assert tokenizer.decode(example.completion) == text


def test_examples_are_asked_as_the_task_says() -> None:
    tokenizer = byte_tokenizer()
    worked = Problem("w", "What is 9 + 1 + 2?", "12", steps=("9 + 1 = 10", "10 + 2 = 12"))
    task = SUMS.with_prompting(parse_prompting({"system": "Be brief.", "few_shot": 1}), examples=[worked])
    example = build_examples(task, "label", tokenizer)[0]
    shown = tokenizer.decode(example.prompt)
    assert shown.startswith("<|start|>system\nBe brief.<|end|>\n<|start|>user\nWhat is 9 + 1 + 2?")
    assert shown.count("<|start|>user") == 2
    assert example.prompt == prompt_of(task, task.problems[0], tokenizer).ids


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("adds_bos", [True, False])
@pytest.mark.parametrize("adds_eos", [True, False])
def test_examples_are_the_audits_prompt_and_a_closed_completion(chat: bool, adds_bos: bool, adds_eos: bool) -> None:
    tokenizer = byte_tokenizer(chat=chat, adds_bos=adds_bos, adds_eos=adds_eos)
    example = build_examples(SUMS, "rationale", tokenizer)[0]
    prompt = "<|start|>user\nWhat is 0 + 1 + 2?<|end|>\n<|start|>assistant\n" if chat else "What is 0 + 1 + 2?\n"
    begin = "<bos>" if adds_bos and not chat else ""  # a template writes its own
    end = "<|end|>" if chat else "<eos>"
    assert tokenizer.decode(example.prompt) == begin + prompt
    assert tokenizer.decode(example.completion) == "0 + 1 = 1\n1 + 2 = 3\nAnswer: 3\n" + end
    assert example.prompt == render_prompt(tokenizer, SUMS.message(SUMS.problems[0])).ids
    assert example.labels == [IGNORED] * len(example.prompt) + list(example.completion)
    assert len(example.input_ids) == len(example.labels)


def test_the_closing_token_ends_a_turn_and_not_only_a_text() -> None:
    assert closing_id(byte_tokenizer(chat=True)) == 3
    assert closing_id(byte_tokenizer(chat=False)) == 0
    silent = byte_tokenizer()
    silent.chat_template = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"  # ends a turn with no token of its own
    assert closing_id(silent) == 0
    silent.eos_token = None
    with pytest.raises(ModelError, match="no end-of-text token"):
        closing_id(silent)


def test_missing_fields_are_counted_and_another_target_named() -> None:
    bare = replace(SUMS.problems[1], steps=None)
    task = replace(SUMS, problems=(SUMS.problems[0], bare))
    with pytest.raises(TaskError, match=r"1 of the 2 problems of sums have none \(the first is '1'\): use the target label"):
        build_examples(task, "rationale", byte_tokenizer())
    with pytest.raises(TaskError, match=r"`completion` field, and 2 of the 2"):
        build_examples(task, "completion", byte_tokenizer())
    unknown = replace(SUMS, problems=(replace(bare, answer=None),))
    with pytest.raises(TaskError, match="add the field or leave these problems out"):
        build_examples(unknown, "label", byte_tokenizer())
    with pytest.raises(SettingError, match="did you mean 'rationale'"):
        build_examples(SUMS, "rationales", byte_tokenizer())


def test_a_share_of_the_problems_is_taught_without_steps() -> None:
    task = replace(SUMS, problems=tuple(Problem(str(i), f"{i}?", "1", steps=(f"{i} - {i} + 1 = 1",)) for i in range(400)))
    bare = direct_ids(task, 0.25, 0)
    assert 70 <= len(bare) <= 130
    assert direct_ids(replace(task, problems=task.problems[:50]), 0.25, 0) == {one for one in bare if int(one) < 50}
    assert direct_ids(task, 0.25, 1) != bare
    assert bare < direct_ids(task, 0.5, 0)
    assert (len(direct_ids(task, 0.0, 0)), len(direct_ids(task, 1.0, 0))) == (0, 400)
    tokenizer = byte_tokenizer()
    for example in build_examples(task, "rationale", tokenizer, labels_only=bare):
        text = tokenizer.decode(example.completion)
        assert ("=" not in text) == (example.problem_id in bare), text
    unexplained = replace(task, problems=(Problem("x", "Why?", "1"), *task.problems))
    with pytest.raises(TaskError, match="rationale needs an answer with `steps`"):
        build_examples(unexplained, "rationale", tokenizer, labels_only=bare)
    assert len(build_examples(unexplained, "rationale", tokenizer, labels_only={"x"})) == 401
    with pytest.raises(SettingError, match=r"direct must be at most 1, and it is 1\.5"):
        sft.Config(direct=1.5)


def test_lengths_are_checked_and_nothing_is_cut() -> None:
    examples = build_examples(SUMS, "rationale", byte_tokenizer(chat=False))
    size = max(len(example.input_ids) for example in examples)
    check_lengths(examples, size, size)
    check_lengths(examples, None, None)
    with pytest.raises(SettingError, match=f"use max_length={size} or more"):
        check_lengths(examples, size - 1, None)
    with pytest.raises(SettingError, match="8 of 8 examples .* 8 of them already in their prompt"):
        check_lengths(examples, 5, None)
    with pytest.raises(SettingError, match=f"longer than the {size - 1} tokens that the model can read"):
        check_lengths(examples, None, size - 1)


# Training


def test_the_trainer_sees_these_labels_and_no_others(train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """What reaches the loss is the completion with its closing token, once, and no prompt or padding."""
    from trl import SFTTrainer

    seen: list[dict[str, torch.Tensor]] = []
    inner = SFTTrainer.compute_loss

    def spy(self: Any, model: Any, inputs: dict[str, torch.Tensor], **rest: Any) -> Any:
        seen.append({name: inputs[name].clone() for name in ("input_ids", "labels", "attention_mask")})
        return inner(self, model, inputs, **rest)

    monkeypatch.setattr(SFTTrainer, "compute_loss", spy)
    train(target="rationale")

    tokenizer = byte_tokenizer()
    learnt, read = set(), set()
    for batch in seen:
        for ids, labels, mask in zip(batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True):
            learnt.add(tokenizer.decode(labels[labels != IGNORED]))
            read.add(tokenizer.decode(ids[mask == 1]))
            assert bool((labels[mask == 0] == IGNORED).all())
    prompts = [f"<|start|>user\nWhat is {a} + 1 + 2?<|end|>\n<|start|>assistant\n" for a in range(8)]
    texts = [f"{a} + 1 = {a + 1}\n{a + 1} + 2 = {a + 3}\nAnswer: {a + 3}\n<|end|>" for a in range(8)]
    assert learnt == set(texts)
    assert read == {prompt + text for prompt, text in zip(prompts, texts, strict=True)}


def test_an_adapter_learns_loads_and_changes_the_logits(train: Callable[..., Path], base: Path) -> None:
    from peft import PeftModel

    steps: list[TrainingStep] = []
    out = train(epochs=8, learning_rate=1e-2, on_step=steps.append)
    note = record(out)
    assert note["num_steps"] == len(note["losses"]) == len(steps) == 16
    assert [step.step for step in steps] == list(range(1, 17))
    assert all(step.num_steps == 16 for step in steps)
    assert math.isclose(note["losses"][0], math.log(260), rel_tol=0.05)  # an untrained model knows nothing
    assert note["losses"][-1] < note["losses"][0] - 0.3  # a frozen random output layer leaves little to learn

    whole = AutoModelForCausalLM.from_pretrained(base)
    before = logits(whole)
    tuned = PeftModel.from_pretrained(whole, out)
    assert not torch.allclose(logits(tuned), before, atol=1e-3)
    assert json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"] == str(base)
    assert AutoTokenizer.from_pretrained(out).get_vocab() == byte_tokenizer().get_vocab()
    assert {path.suffix for path in out.iterdir()} <= {".json", ".jinja", ".md", ".safetensors"}  # no pickles


def test_full_tuning_writes_an_ordinary_folder(train: Callable[..., Path], base: Path) -> None:
    out = train(adaptation="full", epochs=4, learning_rate=1e-2)
    tuned = AutoModelForCausalLM.from_pretrained(out)
    assert type(tuned) is LlamaForCausalLM
    assert not torch.allclose(logits(tuned), logits(AutoModelForCausalLM.from_pretrained(base)), atol=1e-3)
    assert record(out)["losses"][-1] < 0.8 * record(out)["losses"][0]
    assert record(out)["settings"]["adaptation"] == "full"
    assert AutoTokenizer.from_pretrained(out).chat_template == TEMPLATE
    assert {path.suffix for path in out.iterdir()} <= {".json", ".jinja", ".safetensors"}


def test_the_record_says_how_it_was_made(train: Callable[..., Path], base: Path) -> None:
    out = train(target="label", limit=5, seed=4)
    note = record(out)
    examples = build_examples(replace(SUMS, problems=SUMS.problems[:5]), "label", byte_tokenizer())
    assert note["soundness_base"] == str(base)
    assert (note["num_examples"], note["num_steps"]) == (5, 2)
    assert note["num_tokens"] == sum(len(example.input_ids) for example in examples)
    assert note["num_completion_tokens"] == sum(len(example.completion) for example in examples)
    assert note["config"] == {"target": "label", "direct": 0.0}
    wanted = {"epochs": 1, "batch_size": 4, "accumulate": 1, "adaptation": "lora", "lora_rank": 16, "seed": 4}
    wanted |= {"dtype": "float32", "device": "cpu", "learning_rate": 2e-4, "max_length": 1024}
    assert wanted.items() <= note["settings"].items()
    assert {"python", "soundness", "torch", "transformers", "trl", "peft"} <= set(note["versions"])


def test_a_seed_fixes_the_losses(train: Callable[..., Path], tmp_path: Path) -> None:
    one, same, other = (
        record(train(out=tmp_path / name, seed=seed, epochs=2, learning_rate=1e-2))["losses"]
        for name, seed in (("one", 1), ("same", 1), ("other", 2))
    )
    assert one == same
    assert one != other


# Refusals, before any time is spent


def test_an_occupied_folder_is_refused(train: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    assert train() == out  # empty is fine
    with pytest.raises(RunError, match="already holds a training result: choose another folder, or pass overwrite"):
        train()
    (out / "mine.txt").write_text("left over")
    train(overwrite=True, target="label")
    assert record(out)["config"]["target"] == "label"
    assert not (out / "mine.txt").exists()
    other = tmp_path / "papers"
    other.mkdir()
    (other / "thesis.tex").write_text("ten years of work")
    with pytest.raises(RunError, match="will not be replaced"):
        train(out=other, overwrite=True)
    with pytest.raises(RunError, match="is a file"):
        train(out=other / "thesis.tex")
    assert (other / "thesis.tex").read_text() == "ten years of work"


def test_a_failure_leaves_nothing_behind(train: Callable[..., Path], tmp_path: Path) -> None:
    def stop(step: TrainingStep) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(on_step=stop)
    assert list(tmp_path.iterdir()) == []


def test_divergence_is_an_error_and_saves_no_model(train: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="training diverged: the loss of step"):
        train(adaptation="full", learning_rate=1e30, epochs=6)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"epochs": 0}, "epochs must be above 0"),
        ({"epochs": float("nan")}, "epochs wants a number, and it is nan"),
        ({"learning_rate": -1e-4}, "learning_rate must be above 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"lora_rank": 0}, "lora_rank must be at least 1"),
        ({"max_length": 40}, "use max_length="),
        ({"dtype": "float16"}, "dtype wants one of float32, bfloat16, and it is 'float16' .did you mean"),
        ({"device": "cuda:1"}, "device wants one of cpu, cuda, mps, .*did you mean 'cuda'"),
        ({"target": "lable"}, "did you mean 'label'"),
    ],
)
def test_senseless_settings_are_refused(
    train: Callable[..., Path], tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(SettingError, match=words):
        train(**settings)
    assert list(tmp_path.iterdir()) == []


def test_models_that_cannot_be_trained_are_refused(train: Callable[..., Path], tmp_path: Path) -> None:
    adapter = train(out=tmp_path / "adapter", limit=2)
    with pytest.raises(ModelError, match="stands on .*adapter, which is an adapter itself"):
        train(f"{adapter}+{adapter}", out=tmp_path / "again")
    with pytest.raises(ModelError, match="no such folder"):
        train("smolm2", out=tmp_path / "again")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ModelError, match="cannot load .*empty"):
        train(str(empty), out=tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_training_is_quiet(train: Callable[..., Path], capfd: Any) -> None:
    train()
    assert capfd.readouterr() == ("", "")


def test_importing_is_cheap() -> None:
    import subprocess
    import sys

    code = "import sys, soundness.training; print(sorted({'torch', 'transformers', 'trl', 'datasets'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
