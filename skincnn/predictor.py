"""A sealed model that answers: ONNX Runtime, LiteRT or a SavedModel behind one face.

Runtimes are imported when a model of theirs is loaded; ONNX and LiteRT need no TensorFlow.
"""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from skincnn import artefact, images, verdict

AT_ONCE = 8  # photographs the runtime sees together: what bounds the memory
# uint8 (N, S, S, 3) -> probabilities (N, C), features (N, D) or None
Runtime = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]


class Predictor:
    """A model and what it says of itself. Safe to call from several threads.

    Args:
        facts: what its answers mean.
        runtime: from pixels to what the network gives.

    Example:
        >>> model = predictor.load("mole.onnx")
        >>> model.photograph("photo.jpg").sentence
        'Looks benign: probability of malignancy 4 %; of such photographs 1 to 9 % were …'
    """

    def __init__(self, facts: artefact.Facts, runtime: Runtime):
        self.facts = facts
        self._runtime = runtime

    def raw(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """What the network gives, before calibration.

        Args:
            pixels: uint8 (N, S, S, 3) at the model's size; as many as you like, at most `AT_ONCE`
                are held by the runtime.

        Returns:
            Probabilities (N, C), and features (N, D): None where the graph gives none, or N is 0.

        Raises:
            ValueError: another type or shape.
        """
        size = self.facts.image_size
        if pixels.dtype != np.uint8 or pixels.shape[1:] != (size, size, 3):
            raise ValueError(
                f"pixels are {pixels.dtype} {pixels.shape}: the model takes uint8 "
                f"(N, {size}, {size}, 3)"
            )
        if not len(pixels):
            return np.zeros((0, len(self.facts.classes)), np.float32), None
        parts = []
        for start in range(0, len(pixels), AT_ONCE):
            some = pixels[start : start + AT_ONCE]
            if self.facts.hair_removal:
                from skincnn import hair  # scipy, which most models do without

                some = np.stack([hair.remove(image) for image in some])
            parts.append(self._runtime(np.ascontiguousarray(some)))
        probabilities, features = zip(*parts, strict=True)
        return np.concatenate(probabilities), (
            None if features[0] is None else np.concatenate(features)
        )

    def verdicts(self, pixels: np.ndarray) -> list[verdict.Verdict]:
        """Answers to photographs at the model's size, uint8 (N, S, S, 3), calibrated.

        Raises:
            ValueError: another type or shape.
        """
        return verdict.of(self.facts, *self.raw(pixels))

    def pixels(self, source: str | Path | bytes) -> np.ndarray:
        """A photograph as the model takes it: uint8 (S, S, 3).

        Raises:
            images.ImageProblem: it cannot be used.
        """
        return images.read(source, self.facts.image_size)

    def photograph(self, source: str | Path | bytes) -> verdict.Verdict:
        """The answer to one photograph, a path or a file's bytes.

        Raises:
            images.ImageProblem: it cannot be used.
        """
        return self.verdicts(self.pixels(source)[None])[0]


def load(path: str | Path, threads: int | None = None) -> Predictor:
    """Open a model once its checksum is found right.

    Args:
        path: `.onnx`, `.tflite`, or the folder of a SavedModel.
        threads: that one call may use; None for as many as the runtime likes. TensorFlow, which
            opens a SavedModel, takes them for the whole process, and only before its first work.

    Raises:
        artefact.ArtefactError: missing, damaged, not ours, or its runtime is not installed.
    """
    return opened(path, artefact.read(path), threads)


def opened(path: str | Path, facts: artefact.Facts, threads: int | None = None) -> Predictor:
    """Open a model that says nothing of itself yet, as `export` does before it seals one.

    Args:
        path: as for `load`; no checksum is looked at.
        facts: what it will say.
        threads: as for `load`.

    Raises:
        artefact.ArtefactError: its runtime is not installed, or cannot open it.
    """
    path, kind = Path(path), artefact.kind(path)
    needs = {"onnx": "onnxruntime", "litert": "ai-edge-litert", "savedmodel": "tensorflow"}[kind]
    try:
        runtime = {"onnx": _onnx, "litert": _litert, "savedmodel": _savedmodel}[kind](path, threads)
    except ModuleNotFoundError as error:
        raise artefact.ArtefactError(
            f"{path}: needs {needs}, and {error.name} is missing: pip install {needs}"
        ) from None
    except Exception as error:  # each runtime has its own
        reason = " ".join(str(error).split())[:200]
        raise artefact.ArtefactError(f"{path}: {needs} cannot open it: {reason}") from None
    return Predictor(facts, runtime)


def _onnx(path: Path, threads: int | None) -> Runtime:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; it warns about what a user cannot change
    # int8 weights become float32 once, when the model is opened, not at each call.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    if threads:
        options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (feed,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]
    if "probabilities" not in names:
        raise ValueError(f"its outputs are {', '.join(names)}")

    def run(pixels):
        found = dict(zip(names, session.run(None, {feed.name: pixels}), strict=True))
        return found["probabilities"], found.get("features")

    return run


def _litert(path: Path, threads: int | None) -> Runtime:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    runner, alone = interpreter.get_signature_runner(), threading.Lock()
    (feed,) = runner.get_input_details()

    def run(pixels):
        with alone:  # an interpreter keeps its tensors: one call at a time
            found = {name: np.array(value) for name, value in runner(**{feed: pixels}).items()}
        return found["probabilities"], found.get("features")

    return run


def _savedmodel(path: Path, threads: int | None) -> Runtime:
    import tensorflow as tf

    if threads:
        with contextlib.suppress(RuntimeError):  # TensorFlow is at work: its threads are set
            tf.config.threading.set_intra_op_parallelism_threads(threads)
    loaded = tf.saved_model.load(str(path))
    call = loaded.signatures["serving_default"]
    (feed,) = call.structured_input_signature[1]

    def run(pixels, _keep=loaded):  # a signature lives as long as the model it is of
        found = {name: v.numpy() for name, v in call(**{feed: tf.constant(pixels)}).items()}
        return found["probabilities"], found.get("features")

    return run
