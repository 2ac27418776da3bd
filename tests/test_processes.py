from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest
import torch

from soundness.processes import one_thread, process_pool

WAITS = """
import os, time
from soundness.processes import process_pool

def work():
    os.write(1, b"working\\n")
    time.sleep(120)

if __name__ == "__main__":
    with process_pool(1) as pool:
        pool.submit(work).result()
"""


def test_work_is_done_elsewhere():
    with process_pool(2) as pool:
        assert list(pool.map(abs, [-1, 2, -3])) == [1, 2, 3]
        assert pool.submit(os.getpid).result() != os.getpid()


@pytest.mark.timeout(60)
def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    script = tmp_path / "waits.py"
    script.write_text(WAITS)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, start_new_session=True) as parent:
        try:
            assert parent.stdout is not None and parent.stdout.readline() == b"working\n"
            parent.kill()
            # The end of its output comes once nobody is left who could write to it.
            assert parent.communicate(timeout=20)[0] == b""
        finally:
            with suppress(ProcessLookupError):
                os.killpg(parent.pid, signal.SIGKILL)


def test_one_thread_is_for_a_while():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with pytest.raises(KeyboardInterrupt), one_thread():
            assert torch.get_num_threads() == 1
            raise KeyboardInterrupt
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
