"""What a text answers: one reader and one notion of equality for every place that has to know. Knows no model and no task."""

from soundness.answers.channels import Channels, Stretch, split_channels
from soundness.answers.equality import same_answer
from soundness.answers.graders import Grader, load_grader
from soundness.answers.mentions import states
from soundness.answers.reader import Grade, grade, read_answer

__all__ = [
    "Channels",
    "Grade",
    "Grader",
    "Stretch",
    "grade",
    "load_grader",
    "read_answer",
    "same_answer",
    "split_channels",
    "states",
]
