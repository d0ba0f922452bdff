"""The same work on many things, on all cores, in processes: threads would wait for each other.

Standard library only.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor


def count(jobs: int | None, tasks: int) -> int:
    """How many processes to use: `jobs`, or one a core; no more than there are tasks."""
    return max(1, min(jobs or os.cpu_count() or 1, tasks, 61))  # Windows waits for 61 at most


@contextlib.contextmanager
def results(function: Callable, tasks: list, jobs: int, chunk: int = 1) -> Iterator[Iterable]:
    """What `function` gives for each task, in order, as it comes, from `jobs` processes.

    Leaving the block waits for what is being worked on and drops the rest.

    Args:
        function: at a module's top level, or a `functools.partial` of one; its module is imported
            by each process, so it should import little.
        tasks: what it is called with; tasks and results travel between processes.
        jobs: how many processes; 1 does the work here.
        chunk: tasks sent at once.
    """
    if jobs == 1:
        yield map(function, tasks)
        return
    # Spawned, not forked: TensorFlow's threads do not survive a fork. Ctrl-C is the caller's alone.
    spawn, ignore = multiprocessing.get_context("spawn"), (signal.SIGINT, signal.SIG_IGN)
    pool = ProcessPoolExecutor(jobs, spawn, signal.signal, ignore)
    try:
        # A spawned process imports the caller's script: for TensorFlow, seconds in each, and
        # without an `if __name__ == "__main__"` guard all of it anew. Ours need nothing of it.
        main = sys.modules["__main__"]
        sys.modules["__main__"] = type(sys)("__main__")
        try:
            done = pool.map(function, tasks, chunksize=chunk)
        finally:
            sys.modules["__main__"] = main
        yield done
    finally:
        pool.shutdown(cancel_futures=True)
