"""Processes that work side by side, and torch on one thread in each."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

__all__ = ["one_thread", "process_pool"]


def process_pool(workers: int) -> ProcessPoolExecutor:
    """Return a pool of `workers` fresh processes, each of which ends when this one does, however that ends."""
    # Spawned: a forked process would inherit the threads of torch, or of a progress display, in the state they happen to be in.
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _end_with_parent)


def _end_with_parent() -> None:
    def watch() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread, so that figures do not depend on how many processes work side by side."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
