"""How an audit samples and what it measures: options that Python, TOML and the command line share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import Field

from soundness.errors import ModelError, SettingError
from soundness.models.options import LoadOptions, changed
from soundness.options import AtLeastOne, NonNegative, build, options
from soundness.tasks.prompts import Prompting, parse_prompting

__all__ = ["Measuring", "SamplingOptions", "fill"]

T = TypeVar("T")


@options
class SamplingOptions:
    """How chains are written."""

    samples: AtLeastOne = 1
    """Chains per problem."""
    temperature: NonNegative | None = None
    """0 is greedy; left out: 0 for one sample a problem, 0.8 for several."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Nucleus mass that tokens are drawn from."""
    max_tokens: AtLeastOne = 512
    """Longest chain, in tokens; thinking models need thousands."""
    seed: int = 0
    """Seed of sampling, interventions and intervals."""
    batch_size: AtLeastOne = 8
    """Chains written at once by a model in this process."""
    splitter: Literal["auto", "lines", "sentences"] = "auto"
    """How chains are cut into steps: auto, lines or sentences."""
    chain: Literal["auto", "thinking", "visible", "both"] = "auto"
    """What is measured of a model that thinks in a span of its own: thinking, visible or both; auto takes a thinking with content."""


@options
class Measuring:
    """What is measured, and with whose help."""

    profile: Literal["quick", "standard", "full"] = "standard"
    """What to measure: quick, standard or full."""
    metrics: tuple[Any, ...] = ()
    """Metrics, groups of them, or my_file.py:MyGroup, in place of a profile."""
    grader: Any = None
    """What grades answers that no rule reads, as my_file.py:grade."""
    panel: Any = None
    """TOML file of other tasks: what was forgotten?"""
    judge: Any = None
    """Model that judges the facts in the steps."""
    documents: Any = None
    """Folder of texts that the judge looks into."""
    proposer: Any = None
    """Model that rewords steps where no rule does, and writes mistakes."""
    noise_floor: bool = True
    """Compare the base with itself as well: what a difference must exceed."""


def fill(cls: type[T], values: Mapping[str, Any], *, where: str, texts: bool = False) -> T:
    """Return a group of options filled with `values`; with `texts` they come from a command line, where all is text.

    Raises SettingError, led by `where`, for an unknown name and for a value that its field cannot hold.
    """
    if cls is Prompting:
        return cast(T, parse_prompting(values, escapes=texts, place=where))
    if cls is LoadOptions:
        try:
            return cast(T, changed(LoadOptions(), dict(values)))
        except ModelError as error:
            raise SettingError(f"{where}: {error}") from None
    return build(cls, values, where=where)
