"""Continued pre-training on the task's documents: the plain way to put knowledge into weights, and a baseline of RLAG.

Documents are joined, an end-of-text token after each, and cut into stretches of equal length; every token is learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from soundness.models.chat import closing_id
from soundness.options import AtLeastOne, options
from soundness.tasks.retrieval import Documents
from soundness.training.data import Example
from soundness.training.passages import all_passages, snippets_of
from soundness.training.session import Session
from soundness.training.settings import About
from soundness.training.sft import fit_examples

__all__ = ["ABOUT", "Config", "pack", "learn"]

ABOUT = About(
    name="cpt",
    title="continued pre-training on the task's documents",
    papers=("2004.10964",),
    needs="a `context` or `facts` per problem, or a folder of documents",
    cost="as sft, per token of the documents",
    when="the model lacks knowledge; the baseline of rlag and sdft",
    differs=("short stretches in place of long documents",),
)


@options
class Config:
    """What cpt adds to the common settings."""

    documents: str = ""
    """Folder of text files to learn; empty for the problems' own context and facts."""
    length: AtLeastOne = 512
    """Tokens of a stretch."""


def learn(run: Session, config: Config) -> None:
    """Pre-train the session's model further on the documents."""
    if config.documents:
        texts: Sequence[str] = Documents.load(config.documents).passages
    else:
        texts = all_passages(snippets_of(run.task, None, 1_000_000, method="cpt"))
    run.note(num_documents=len(texts))
    length = min(config.length, run.settings.max_length or config.length, run.start.context or config.length)
    fit_examples(run, pack(texts, run.tokenizer, length))


def pack(texts: Sequence[str], tokenizer: Any, length: int) -> list[Example]:
    """Return the texts as examples of `length` tokens each, the last one shorter; nothing is lost and every token is learned."""
    closing = closing_id(tokenizer)
    start = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
    stream = [token for text in texts for token in [*start, *tokenizer.encode(text, add_special_tokens=False), closing]]
    # A stretch of one token has nothing to predict.
    stretches = [stream[i : i + length] for i in range(0, len(stream), length)]
    return [Example(str(i), (), tuple(one)) for i, one in enumerate(stretches) if len(one) > 1]
