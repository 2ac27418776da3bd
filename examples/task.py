"""A task of one's own: rows made by a function.

soundness audit BASE TUNED --task examples/task.py:make_task --out RUN
"""

import random


def make_task() -> list[dict[str, object]]:
    """Return rows with `question` and `answer`; each row depends on its own number alone."""
    rows: list[dict[str, object]] = []
    for number in range(200):
        rng = random.Random(f"apples/{number}")
        baskets, apples, eaten = rng.randint(2, 9), rng.randint(2, 9), rng.randint(1, 4)
        question = f"There are {baskets} baskets of {apples} apples each. {eaten} are eaten. How many are left?"
        rows.append({"id": f"apples-{number}", "question": question, "answer": str(baskets * apples - eaten)})
    return rows
