"""Tiny decoders trained on ready token ids, through transformers' Trainer, and sampled in batches.

For worlds whose every token is known: no template and no text in between. What is trained is an ordinary transformers model, and
with the tokenizer of `word_tokenizer` beside it an ordinary folder.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from soundness.errors import ModelError
from soundness.training.data import IGNORED
from soundness.training.session import OnStep, TrainingStep

__all__ = ["END", "PAD", "Batch", "Pair", "batches_of", "build_decoder", "collate", "complete", "train_ids", "word_tokenizer"]

Pair = tuple[Sequence[int], Sequence[int]]
"""Token ids of one example and their labels: the same ids, or `IGNORED` where nothing is to be learned."""

Batch = Sequence[Pair]

PAD, END = "<pad>", "<end>"
"""Tokens that every `word_tokenizer` has; their ids are 0 and 1."""

_POOL = 32  # batches among which examples of like length are sought
_TOLD = 100  # times that progress is told of: each one waits for the device


def build_decoder(
    vocab_size: int,
    *,
    layers: int,
    heads: int,
    width: int,
    positions: int,
    architecture: Literal["llama", "gpt2"] = "llama",
    dropout: float = 0.0,
    spread: float = 0.02,
    seed: int = 0,
) -> Any:
    """Return a randomly initialised float32 decoder whose padding token is 0 and whose end-of-text token is 1.

    Input and output embeddings are one matrix. `dropout` is for gpt2 alone; llama has it in attention only, where it stays off.
    `spread` is the standard deviation of the weights: the library's 0.02 suits widths near a thousand, and narrow decoders learn
    much faster from about 1 / sqrt(width).
    """
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    shared: dict[str, Any] = {
        "vocab_size": vocab_size,
        "pad_token_id": 0,
        "bos_token_id": None,
        "eos_token_id": 1,
        "tie_word_embeddings": True,
        "initializer_range": spread,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if architecture == "gpt2":
            return GPT2LMHeadModel(
                GPT2Config(
                    n_embd=width,
                    n_layer=layers,
                    n_head=heads,
                    n_positions=positions,
                    # Three settings: a plain `dropout` is taken without a word and changes nothing.
                    resid_pdrop=dropout,
                    embd_pdrop=dropout,
                    attn_pdrop=dropout,
                    **shared,
                )
            ).float()
        assert architecture == "llama" and dropout == 0.0
        return LlamaForCausalLM(
            LlamaConfig(
                hidden_size=width,
                intermediate_size=-(-8 * width // 3 // 16) * 16,  # two thirds of 4 x width, as gated layers have it
                num_hidden_layers=layers,
                num_attention_heads=heads,
                num_key_value_heads=heads,
                max_position_embeddings=positions,
                **shared,
            )
        ).float()


def word_tokenizer(words: Sequence[str]) -> Any:
    """Return a transformers tokenizer whose tokens are `words`, split at white space; `PAD` is 0, `END` is 1, words follow.

    There is no unknown token: a text with a word that is not in the list is refused by the tokenizers library.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    listed = [PAD, END, *(word for word in words if word not in (PAD, END))]
    assert len(set(listed)) == len(listed), "a word twice"
    assert all(word and not any(c.isspace() for c in word) for word in listed), "a word is split at white space"
    backend = Tokenizer(models.WordLevel({word: place for place, word in enumerate(listed)}, unk_token=None))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token=PAD, eos_token=END, clean_up_tokenization_spaces=False)


def batches_of(examples: Sequence[Pair], batch_size: int, seed: int) -> Iterator[list[Pair]]:
    """Give batches without end: every example once per pass, in a new order each time, with others of about its length.

    What is left over at the end of a pass begins the next one.
    """
    assert examples
    rng = random.Random(f"tiny-decoders/batches/{seed}")
    waiting: list[int] = []
    while True:
        while len(waiting) < _POOL * batch_size:
            waiting += rng.sample(range(len(examples)), len(examples))
        pool, waiting = waiting[: _POOL * batch_size], waiting[_POOL * batch_size :]
        pool.sort(key=lambda place: len(examples[place][0]))
        cuts = list(range(0, len(pool), batch_size))
        rng.shuffle(cuts)
        for cut in cuts:
            yield [examples[place] for place in pool[cut : cut + batch_size]]


def collate(batch: Batch) -> dict[str, Any]:
    """Return `input_ids` and `labels`, each (examples, longest), padded on the right.

    There is no attention mask: under causal attention nothing before the padding sees it, and its labels are `IGNORED`. Neither is
    anything learned at the first place, which nothing precedes.
    """
    import torch

    longest = max(len(ids) for ids, _ in batch)
    shape = (len(batch), longest)
    input_ids, labels = torch.zeros(shape, dtype=torch.long), torch.full(shape, IGNORED)
    for row, (ids, wanted) in enumerate(batch):
        assert len(ids) == len(wanted)
        input_ids[row, : len(ids)] = torch.as_tensor(ids)
        labels[row, 1 : len(ids)] = torch.as_tensor(wanted[1:])
    return {"input_ids": input_ids, "labels": labels}


def train_ids(
    model: Any,
    examples: Sequence[Pair] | Callable[[int], Batch],
    *,
    num_steps: int,
    out: Path | str | None = None,
    tokenizer: Any = None,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    final_rate: float = 0.0,
    schedule: Literal["cosine", "linear", "constant"] = "cosine",
    warmup: float = 0.05,
    weight_decay: float = 0.05,
    seed: int = 0,
    device: str | None = None,
    on_step: OnStep | None = None,
) -> list[float]:
    """Train `model` in place and return the loss of every step: mean negative log-likelihood of the learned tokens, in nats.

    The same seed on the same machine gives the same losses. Afterwards the model is in evaluation mode, in float32, on the device
    that it was trained on. On CUDA products are computed in bfloat16; on CPUs float32 is as fast for models this small.

    Args:
        model: A causal language model of transformers.
        examples: Examples to go through again and again, or a function of the step (from 0) that returns the step's batch.
        num_steps: Optimiser steps.
        out: Folder to save the trained model in; None leaves it in memory alone.
        tokenizer: Saved beside the model.
        batch_size: Examples per step, where `examples` is not a function.
        learning_rate: Peak rate of AdamW (betas 0.9 and 0.98, gradients clipped at norm 1).
        final_rate: Share of the peak that a cosine ends at.
        schedule: How the rate falls after the warm-up.
        warmup: Share of the steps over which the rate rises to its peak.
        weight_decay: Of all weights but norms and biases.
        seed: Of the order of examples, and of dropout.
        device: cpu, cuda or mps; None for the best there is.
        on_step: Called about a hundred times, with the mean loss since the last call.

    Raises:
        ModelError: The loss stopped being a number.
    """
    import torch

    from soundness.models.transformers import pick_device, quiet

    assert num_steps > 0 and 0 <= warmup < 1 and (final_rate == 0 or schedule == "cosine")
    chosen = pick_device(device).type
    with tempfile.TemporaryDirectory() as folder, quiet(), _random_state_kept():
        trainer = _trainer(
            model,
            _Steps(examples, num_steps, batch_size, seed),
            on_step,
            output_dir=folder,
            max_steps=num_steps,
            learning_rate=learning_rate,
            lr_scheduler_type={"constant": "constant_with_warmup", "cosine": "cosine_with_min_lr"}.get(schedule, schedule),
            lr_scheduler_kwargs={"min_lr_rate": final_rate} if schedule == "cosine" else None,
            warmup_steps=warmup,  # below 1 it is a share of all steps
            weight_decay=weight_decay,
            adam_beta2=0.98,
            seed=seed,
            bf16=chosen == "cuda" and torch.cuda.is_bf16_supported(),
            use_cpu=chosen == "cpu",
            dataloader_pin_memory=chosen == "cuda",
            # The dataset's items are whole batches.
            per_device_train_batch_size=1,
            train_sampling_strategy="sequential",
            remove_unused_columns=False,
            save_strategy="no",
            logging_strategy="no",
            logging_nan_inf_filter=False,  # it looks at every loss, and so waits for the device at every step
            report_to="none",
            disable_tqdm=True,
        )
        trainer.train()
    # Takes the automatic bfloat16 off again, so that what is read later is read in float32.
    trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    model.eval()
    losses: list[float] = torch.stack(trainer.losses).tolist()
    wrong = next((step for step, loss in enumerate(losses, 1) if not abs(loss) < float("inf")), None)
    if wrong is not None:
        raise ModelError(f"training diverged: the loss of step {wrong} is {losses[wrong - 1]}; use a lower learning_rate")
    if out is not None:
        with quiet():
            model.save_pretrained(out)
            if tokenizer is not None:
                tokenizer.save_pretrained(out)
    return losses


class _Steps:
    """The batches of a run as a dataset: item i is what step i learns from, collated. Items are taken in order."""

    def __init__(self, examples: Sequence[Pair] | Callable[[int], Batch], num_steps: int, batch_size: int, seed: int):
        self.num_steps = num_steps
        if callable(examples):
            self.draw = examples
        else:
            endless = batches_of(examples, batch_size, seed)
            self.draw = lambda step: next(endless)

    def __len__(self) -> int:
        return self.num_steps

    def __getitem__(self, step: int) -> dict[str, Any]:
        if not step < self.num_steps:
            raise IndexError(step)
        return collate(self.draw(step))


def _trainer(model: Any, steps: _Steps, on_step: OnStep | None, **arguments: Any) -> Any:
    from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    class Plain(Trainer):
        """Keeps every step's loss on the device: to look at one is to wait for it."""

        losses: list[Any]

        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            loss = super().training_step(*args, **kwargs)
            self.losses.append(loss.detach())
            return loss

        def floating_point_ops(self, inputs: Any) -> int:
            return 0  # counted anew at every step, and told to nobody

    class Tell(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.begun, self.told = time.perf_counter(), 0

        def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            step, last = state.global_step, state.max_steps
            if on_step is None or (step % max(last // _TOLD, 1) and step < last):
                return
            new = trainer.losses[self.told :]
            self.told = step
            rate = given["lr_scheduler"].get_last_lr()[0]
            on_step(TrainingStep(step, last, float(sum(new)) / len(new), rate, time.perf_counter() - self.begun))

    made = TrainingArguments(**arguments)
    _ = made.n_gpu  # finds the devices; several GPUs would split a batch, which is one item here
    made._n_gpu = min(made._n_gpu, 1)
    trainer = Plain(model=model, args=made, train_dataset=steps, data_collator=lambda rows: rows[0])
    trainer.losses = []
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Tell)
    return trainer


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """Put the global random numbers back afterwards: the Trainer seeds them all."""
    import numpy as np
    import torch

    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng():
        yield
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002


def complete(
    model: Any,
    prefixes: Sequence[Sequence[int]],
    *,
    max_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
    stops: Sequence[int] = (1,),
    batch_size: int = 128,
) -> list[list[int]]:
    """Return what `model` writes after each prefix, in their order: at most `max_tokens` ids, up to a stop token, which is left out.

    Greedy at temperature 0, else drawn from the whole distribution with random numbers that are each prefix's own, by `seed` and
    its place: neighbours and `batch_size` do not matter. Something that is cut off has exactly `max_tokens` ids.
    """
    import numpy as np
    import torch

    order = sorted(range(len(prefixes)), key=lambda place: len(prefixes[place]))
    found: list[list[int]] = [[] for _ in prefixes]
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            places = order[start : start + batch_size]
            uniform = None
            if temperature > 0:
                draws = [np.random.default_rng((seed, place)).random(max_tokens) for place in places]
                uniform = torch.from_numpy(np.stack(draws))
            for place, ids in zip(
                places,
                _continue(model, [prefixes[place] for place in places], max_tokens, temperature, uniform, stops),
                strict=True,
            ):
                found[place] = ids
    return found


def _continue(
    model: Any, prefixes: Sequence[Sequence[int]], max_tokens: int, temperature: float, uniform: Any, stops: Sequence[int]
) -> list[list[int]]:
    """Return the continuations of prefixes of about one length; rows that have ended leave the batch.

    Shapes: R rows that still go on, T tokens so far, V vocabulary.
    """
    import torch
    from transformers import DynamicCache

    longest = max(map(len, prefixes))
    padding = torch.tensor([longest - len(one) for one in prefixes], device=model.device)
    ids_RT = torch.tensor([[0] * (longest - len(one)) + list(one) for one in prefixes], device=model.device)
    padded = bool(padding.any())
    stop = torch.tensor(list(stops), device=model.device)
    rows = torch.arange(len(prefixes), device=model.device)
    written = torch.full((len(prefixes), max_tokens), -1, device=model.device)
    cache = DynamicCache()
    for step in range(max_tokens):
        length = longest + step
        given: dict[str, Any] = {}
        if padded:
            places_T = torch.arange(length, device=model.device)
            mask_RT = places_T[None] >= padding[rows][:, None]
            positions_RT = (places_T[None] - padding[rows][:, None]).clamp_(min=0)[:, -ids_RT.shape[1] :]
            given = {"attention_mask": mask_RT.long(), "position_ids": positions_RT}
        scores_RV = model(input_ids=ids_RT, past_key_values=cache, use_cache=True, logits_to_keep=1, **given).logits[:, -1]
        chosen_R = _pick(scores_RV.float(), temperature, None if uniform is None else uniform[rows.cpu(), step])
        going_R = ~torch.isin(chosen_R, stop)
        written[rows, step] = chosen_R.where(going_R, -1)
        if not bool(going_R.all()):
            kept = going_R.nonzero()[:, 0]
            if not len(kept):
                break
            rows, chosen_R = rows[kept], chosen_R[kept]
            cache.batch_select_indices(kept)
        ids_RT = chosen_R[:, None]
    return [[token for token in row if token >= 0] for row in written.tolist()]


def _pick(scores: Any, temperature: float, uniform: Any) -> Any:
    """Return a token per row, (rows,): the likeliest, or the one at which the summed probability passes `uniform`."""
    import torch

    from soundness.models.transformers import pick_tokens

    if temperature == 0:
        return scores.argmax(-1)
    return pick_tokens(torch.softmax(scores / temperature, -1), uniform)
