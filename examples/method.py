"""A training method of one's own: draw completions, keep those that are right, learn from them (rejection sampling).

soundness train examples/method.py:RejectionSampling --model MODEL --task TASK --out OUT -o samples=8
"""

from soundness.chains.sample import sample_chains
from soundness.errors import ModelError
from soundness.models.chat import closing_id
from soundness.options import AtLeastOne, Positive, options
from soundness.records import Outcome
from soundness.training.data import Example
from soundness.training.model_in_training import ModelInTraining
from soundness.training.session import Session
from soundness.training.settings import About
from soundness.training.sft import fit_examples


class RejectionSampling:
    """What a method needs: words about itself, its options, and how it learns."""

    ABOUT = About(
        name="rejection-sampling",
        title="supervised training on the model's own right answers",
        papers=("2203.14465 (STaR, one round)",),
        needs="a reference answer per problem",
        cost="sft, and `samples` completions per problem once",
        when="answers can be checked, and a plain method is wanted beside rlvr",
    )

    @options
    class Config:
        """What it can be told: `-o samples=8`."""

        samples: AtLeastOne = 8
        """Completions per problem."""
        max_tokens: AtLeastOne = 256
        """Longest completion."""
        temperature: Positive = 1.0
        """Of the draws."""

    @staticmethod
    def learn(run: Session, config: Config) -> None:
        """Tune the session's model on those of its own completions that are right."""
        chains = sample_chains(
            ModelInTraining(run.start.network.to(run.start.device), run.tokenizer),
            run.task,
            samples=config.samples,
            seed=run.settings.seed,
            temperature=config.temperature,
            max_tokens=config.max_tokens,
            batch_size=32,
        )
        right = [chain for chain in chains if chain.outcome is Outcome.RIGHT and chain.finish == "stop"]
        run.note(num_drawn=len(chains), num_right=len(right))
        if not right:
            raise ModelError(f"none of {len(chains)} completions is right: train with sft first, or draw more samples")
        closing = closing_id(run.tokenizer)
        fit_examples(run, [Example(chain.problem_id, chain.prompt.ids, (*chain.ids, closing)) for chain in right])
