"""Several requests, one batch: whoever asks while the network works shares its next call.

Nobody waits for a batch to fill: a lone photograph is answered at once, and under load batches fill
by themselves. numpy and the standard library.
"""

import collections
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import numpy as np


class Busy(RuntimeError):
    """As many photographs are waiting as may."""


class Batcher:
    """One thread that answers what waits, in order of arrival, several at a time.

    Args:
        answer: from uint8 (N, S, S, 3) to N answers; only ever called by the one thread.
        most: photographs a call.
        places: photographs that may wait.
        seen: told the size of each batch.
        of_all: errors that no single photograph is to blame for: nobody is asked about alone then,
            and who waits is told too, instead of waiting for the same to happen again.

    Example:
        batcher = Batcher(predictor.verdicts)
        batcher.submit(pixels[None]).result()  # a list with one answer
    """

    def __init__(
        self,
        answer: Callable[[np.ndarray], Sequence],
        most: int = 8,
        places: int = 64,
        seen: Callable[[int], object] = lambda size: None,
        of_all: tuple[type[Exception], ...] = (),
    ):
        self._of_all = of_all
        self._answer, self._most, self._places, self._seen = answer, most, places, seen
        self._waiting = collections.deque()  # (pixels, future)
        self._change = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="batches", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive() and not self._closed

    @property
    def waiting(self) -> int:
        """Photographs that wait for their batch."""
        with self._change:
            return self._count()

    def submit(self, pixels: np.ndarray) -> Future:
        """Queue photographs, which stay together.

        Args:
            pixels: uint8 (N, S, S, 3), N from 1 to `most`.

        Returns:
            Of the list of their N answers.

        Raises:
            Busy: no place is left, or the batcher is closed.
            ValueError: more photographs than a batch holds, or none.
        """
        if not 1 <= len(pixels) <= self._most:
            raise ValueError(f"{len(pixels)} photographs: from 1 to {self._most} at a time")
        future = Future()
        with self._change:
            if self._closed or self._count() + len(pixels) > self._places:
                raise Busy(f"{self._count()} photographs are waiting")
            self._waiting.append((pixels, future))
            self._change.notify()
        return future

    def close(self) -> None:
        """Answer what waits, take nothing more."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join()

    def _count(self) -> int:
        return sum(len(pixels) for pixels, _ in self._waiting)

    def _work(self) -> None:
        while batch := self._next():
            self._seen(sum(len(pixels) for pixels, _ in batch))
            try:
                self._tell(batch)
            except self._of_all as error:
                for _, future in [*batch, *self._all()]:
                    future.set_exception(error)
            except Exception:
                # One photograph may have broken the call: the others are not to suffer for it.
                for one in batch:
                    try:
                        self._tell([one])
                    except Exception as error:
                        one[1].set_exception(error)

    def _next(self) -> list:
        with self._change:
            self._change.wait_for(lambda: self._waiting or self._closed)
            batch, size = [], 0
            while self._waiting and size + len(self._waiting[0][0]) <= self._most:
                pixels, future = self._waiting.popleft()
                if future.set_running_or_notify_cancel():
                    batch.append((pixels, future))
                    size += len(pixels)
            # All of them may have been cancelled: an empty batch would end the work.
            return batch if batch or self._closed else self._next()

    def _all(self) -> list:
        with self._change:
            waiting, self._waiting = self._waiting, collections.deque()
        return [one for one in waiting if one[1].set_running_or_notify_cancel()]

    def _tell(self, batch: list) -> None:
        answers = iter(self._answer(np.concatenate([pixels for pixels, _ in batch])))
        told = [[next(answers) for _ in pixels] for pixels, _ in batch]
        for (_, future), theirs in zip(batch, told, strict=True):
            future.set_result(theirs)
