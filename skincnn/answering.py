"""From files to verdicts: a few threads decode, one asks the network, nobody waits for nothing."""

import asyncio
import contextlib
import io
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from skincnn import artefact, gcp, images, uploads, verdict
from skincnn.batching import Batcher, Busy
from skincnn.limits import Limits, Refused

log = logging.getLogger("skincnn.service")


class Answerer:
    """Answers photographs with a predictor, within limits.

    Args:
        predictor: with `facts`, `pixels` and `verdicts`, as `predictor.Predictor`.
        limits: how many photographs may wait, and what one may cost.
        seen: told the size of each batch.
    """

    def __init__(self, predictor, limits: Limits, seen: Callable[[int], object]):
        self._predictor = predictor
        places = limits.places + limits.overlays * limits.batch
        self.batcher = Batcher(
            predictor.verdicts, limits.batch, places, seen, of_all=(gcp.CloudError,)
        )
        self._decode, self._limits = predictor.pixels, limits
        self._threads = ThreadPoolExecutor(limits.decoders, "decode")
        self._large = ThreadPoolExecutor(1, "decode-large")
        self._overlays = ThreadPoolExecutor(limits.overlays, "overlay")
        self._taken = self._drawn = self._heavy = 0

    @property
    def facts(self) -> artefact.Facts:
        """Of the model, which in the cloud may be replaced meanwhile."""
        return self._predictor.facts

    @contextlib.contextmanager
    def one_model(self) -> Iterator[artefact.Facts]:
        """What is asked in the block is answered by one kind of model, that of the facts given.

        Raises:
            Refused: another one has taken its place (503).
        """
        before = self.facts
        try:
            yield before
        finally:
            if not self.facts.alike(before):
                raise Refused(503, "The model was replaced just now. Try again.", 1) from None

    async def apart(self, function: Callable, *arguments):
        """Call a function in one of the threads that decode."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def verdicts(self, files: Sequence[bytes]) -> list[verdict.Verdict | images.ImageProblem]:
        """What is said of each photograph, or why nothing can be.

        Raises:
            Refused: too many are waiting (503).
        """
        # Places are taken before anything is decoded: later there would be work to throw away.
        if self._taken + len(files) > self._limits.places:
            raise Refused(503, "Too many photographs are waiting. Try again in a moment.", 2)
        self._taken += len(files)
        try:
            turn = asyncio.Lock()
            told = await asyncio.gather(
                *(self._one(data, turn) for data in files), return_exceptions=True
            )
        finally:
            self._taken -= len(files)
        for one in told:  # not before all are done: their places are in use till then
            if isinstance(one, BaseException) and not isinstance(one, images.ImageProblem):
                raise one
        return told

    async def overlay(self, data: bytes, label: str | None = None) -> bytes:
        """A PNG of the photograph, coloured by how much each place matters to the answer.

        Args:
            data: the photograph's file.
            label: the class that is asked about; None for the most probable one.

        Raises:
            Refused: it cannot be used, or there is no such class (422); too many at a time (503).
        """
        if self._drawn >= 2 * self._limits.overlays:
            raise Refused(503, "Too many overlays are being made. Try again in a moment.", 5)
        self._drawn += 1
        try:
            with self.one_model() as facts:
                number = None if label is None else _number(label, facts.classes)
                pixels = await self._pixels(data, asyncio.Lock())
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._overlays, self._overlay, pixels, number)
        except images.ImageProblem as problem:
            raise Refused(422, sentence(problem)) from None
        except Busy:
            raise Refused(503, "Too many photographs are waiting. Try again.", 5) from None
        except gcp.CloudError as error:
            raise _no_answer(error) from None
        finally:
            self._drawn -= 1

    def close(self) -> None:
        for threads in (self._threads, self._large, self._overlays):
            threads.shutdown(cancel_futures=True)
        self.batcher.close()

    async def _one(self, data: bytes, turn: asyncio.Lock) -> verdict.Verdict | images.ImageProblem:
        try:
            pixels = await self._pixels(data, turn)
        except images.ImageProblem as problem:
            return problem
        try:
            (answer,) = await asyncio.wrap_future(self.batcher.submit(pixels[None]))
        except Busy:
            raise Refused(503, "Too many photographs are waiting. Try again.", 2) from None
        except gcp.CloudError as error:
            raise _no_answer(error) from None
        return answer

    async def _pixels(self, data: bytes, turn: asyncio.Lock) -> np.ndarray:
        """A photograph's pixels; `turn` is its request's, whose large ones wait for each other."""
        pixels = await self.apart(self._light, data)
        if pixels is not None:
            return pixels
        async with turn:
            # A thread of their own: beside them photographs of usual size go on.
            if self._heavy >= self._limits.large:
                raise Refused(503, "Too many large photographs are waiting. Try again.", 5)
            self._heavy += 1
            try:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._large, self._decode, data)
            finally:
                self._heavy -= 1

    def _light(self, data: bytes) -> np.ndarray | None:
        """A photograph's pixels; None for a large one."""
        claimed = uploads.check(data, self._limits)
        return None if claimed > self._limits.large_pixels else self._decode(data)

    def _overlay(self, pixels: np.ndarray, number: int | None) -> bytes:
        from skincnn import occlusion

        def classify(some: np.ndarray) -> np.ndarray:
            # In the same queue as all others, a batch at a time: they take turns.
            told = []
            for start in range(0, len(some), self._limits.batch):
                told += self.batcher.submit(some[start : start + self._limits.batch]).result()
            return np.array([answer.probabilities for answer in told])

        if number is None:
            number = int(classify(pixels[None])[0].argmax())
        drawn = occlusion.overlay(pixels, occlusion.heat(classify, pixels, number))
        stream = io.BytesIO()
        Image.fromarray(drawn).save(stream, "PNG")
        return stream.getvalue()


def _number(label: str, classes: list[str]) -> int:
    if label not in classes:
        raise Refused(422, f"There is no class {label!r}: {', '.join(classes)}.")
    return classes.index(label)


def _no_answer(error: gcp.CloudError) -> Refused:
    """An endpoint that answers for us does not: whoever runs the service is told why."""
    log.error("%s", error)
    return Refused(502, "The model's endpoint in the cloud does not answer. Try again.", 5)


def sentence(problem: images.ImageProblem) -> str:
    """A file's problem, as a sentence; what the file holds is not repeated."""
    text = str(problem).partition(": begins with")[0]
    return f"This photograph cannot be used: {text}{'' if text.endswith('.') else '.'}"
