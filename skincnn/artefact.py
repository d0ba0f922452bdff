"""A model as one file (or folder) that knows what it is: sealed when written, checked when read.

The seal is one JSON text: class names, sizes, thresholds, the licence of the data, and the SHA-256
of the whole file with that one field blanked. ONNX holds it in its `metadata_props`, LiteRT behind
the flatbuffer, a SavedModel in `skincnn.json` over the folder's files. No runtime is needed to read
it, so a damaged file is refused before any runtime opens it.

The checksum shows damage and mix-ups. It is no signature: take models from where you trust.
"""

import dataclasses
import hashlib
import json
import mmap
import os
from pathlib import Path

FORMATS = ("onnx", "litert", "savedmodel")
ENDINGS = {".onnx": "onnx", ".tflite": "litert"}  # a folder is a SavedModel
SEAL = "skincnn.json"  # in the folder of a SavedModel
_MARK = '{"skincnn_model":1,"sha256":"'  # 1: of the seal's form; raise it when a field changes
_ANY_MARK = b'{"skincnn_model":'
_BLANK = "0" * 64
_BLOCK = 1 << 20
_WHOLE = {  # what a verdict needs of each, where it is there at all
    "malignant": {"classes", "threshold", "grid"},
    "strangers": {"mean", "axes", "bank", "rest", "threshold", "neighbours"},
}


class ArtefactError(ValueError):
    """A model that cannot be used: missing, damaged, or not of this package; says what to do."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a sealed model says of itself."""

    name: str  # of the run it comes from
    classes: list[str]  # in the order of the probabilities
    image_size: int  # pixels a side
    views: int = 1  # of a photograph, averaged inside the exported graph
    hair_removal: bool = False  # done before the graph, by `predictor`
    temperature: float = 1.0  # 1 where none could be fitted
    # Largest calibrated probability below which the verdict is "not sure"; 0 is always sure.
    abstain_below: float = 0.0
    # `classes` that count as malignant, the `threshold` from which their summed probability is
    # called so (None: a half), and `grid` [[probability, low, high], …] of `calibrate.interval`.
    # Empty where the classes say nothing of malignancy.
    malignant: dict = dataclasses.field(default_factory=dict)
    strangers: dict = dataclasses.field(default_factory=dict)  # see `strangers.fit`
    licence: str = "unknown"  # of the data it was trained on
    source: dict = dataclasses.field(default_factory=dict)  # protocol, fold, seed, commit, …
    version: str = ""  # of the content: the first 12 digits of its SHA-256; told when read

    def __post_init__(self):
        wrong = {
            "classes": not (
                isinstance(self.classes, list)
                and len(self.classes) >= 2
                and all(isinstance(name, str) for name in self.classes)
            ),
            "image_size": not (isinstance(self.image_size, int) and self.image_size > 0),
            "views": self.views not in range(1, 9),
            "temperature": not (isinstance(self.temperature, int | float) and self.temperature > 0),
            "malignant": not isinstance(self.malignant, dict),
            "strangers": not isinstance(self.strangers, dict),
        }
        for name in (name for name, is_wrong in wrong.items() if is_wrong):
            raise ValueError(f"{name}: {str(getattr(self, name))[:60]} is nothing it can be")

    def alike(self, other: "Facts") -> bool:
        """Whether one model may take another's place unnoticed: by what goes in and comes out."""
        return (self.classes, self.image_size) == (other.classes, other.image_size)


def kind(path: str | Path) -> str:
    """Which of `FORMATS` a path is, by its ending; a folder is a SavedModel.

    Raises:
        ArtefactError: no such path, or another ending.
    """
    path = Path(path)
    if path.is_dir():
        return "savedmodel"
    if path.suffix.lower() not in ENDINGS:
        raise ArtefactError(f"{path}: a model is {' or '.join(ENDINGS)} or a SavedModel's folder")
    if not path.is_file():
        raise ArtefactError(f"{path}: no such model; `skincnn export RUN` writes one")
    return ENDINGS[path.suffix.lower()]


def sealed(path: str | Path) -> bool:
    """Whether a path is a model's, as opposed to a run's folder; whether it is whole is another
    question, which `read` answers."""
    path = Path(path)
    return path.suffix.lower() in ENDINGS or any(
        (path / name).exists() for name in (SEAL, "saved_model.pb")
    )


def seal(path: str | Path, facts: Facts) -> Facts:
    """Write what a model says of itself into it, with its checksum.

    Args:
        path: what a converter has written; without a seal yet.
        facts: `version` is filled in here.

    Returns:
        The facts as `read` gives them.

    Raises:
        ArtefactError: no such model, or it has a seal.
    """
    path, form = Path(path), kind(path)
    said = dataclasses.asdict(facts) | {"format": form}
    del said["version"]
    text = _MARK + _BLANK + '",' + json.dumps(said, separators=(",", ":"))[1:]
    if form == "savedmodel":
        if (path / SEAL).exists():
            raise ArtefactError(f"{path} has a seal")
        digest = _digest_of_folder(path, text)
        (path / SEAL).write_text(text.replace(_BLANK, digest, 1), encoding="ascii")
        return dataclasses.replace(facts, version=digest[:12])
    with path.open("r+b") as file:
        if _last_mark(file) >= 0:
            raise ArtefactError(f"{path} has a seal")
        file.seek(0, os.SEEK_END)
        file.write(_onnx_property(text) if form == "onnx" else text.encode())
        at = file.tell() - len(text) + len(_MARK)
        digest = _digest_of_file(file, at)
        file.seek(at)
        file.write(digest.encode())
    return dataclasses.replace(facts, version=digest[:12])


def read(path: str | Path) -> Facts:
    """What a model says of itself, once its checksum is found right. Opens no runtime.

    Raises:
        ArtefactError: no such model, no seal, a wrong checksum, or a seal of another version.
    """
    path, form = Path(path), kind(path)
    try:
        if form == "savedmodel":
            return _read_folder(path)
        with path.open("rb") as file:
            at = _last_mark(file)
            if at < 0:
                raise ArtefactError(
                    f"{path}: no seal at its end: cut short, or not written by `skincnn export`; "
                    "copy or export it again"
                )
            file.seek(at)
            text = file.read()
            digest = _digest_of_file(file, at + len(_MARK))
    except OSError as error:
        raise ArtefactError(f"{path}: cannot be read: {error.strerror or error}") from None
    return _facts(path, text.decode("ascii", "replace"), form, digest)


# --- underneath ----------------------------------------------------------------------------------


def _last_mark(file) -> int:
    """Where the seal begins, or -1. It is JSON, so no text inside it can look like its beginning;
    weights before it could, so the last one counts."""
    if os.fstat(file.fileno()).st_size == 0:
        return -1
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.rfind(_ANY_MARK)


def _digest_of_file(file, at: int) -> str:
    """SHA-256 of a file whose 64 bytes from `at` count as zeros."""
    digest = hashlib.sha256()
    file.seek(0)
    left = at
    while left > 0 and (block := file.read(min(_BLOCK, left))):
        digest.update(block)
        left -= len(block)
    digest.update(_BLANK.encode())
    file.seek(at + len(_BLANK))
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def _digest_of_folder(folder: Path, text: str) -> str:
    """SHA-256 over names, sizes and contents of a folder's files, and its seal with a blank.

    Empty folders do not count: stores of objects do not keep them.
    """
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    files.pop(SEAL, None)
    digest = hashlib.sha256(text.encode())
    for name in sorted(files):
        digest.update(f"\0{name}\0{files[name].stat().st_size}\0".encode())
        with files[name].open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


def _read_folder(folder: Path) -> Facts:
    if not (folder / SEAL).is_file():
        if (folder / "config.json").is_file():
            raise ArtefactError(
                f"{folder}: a run, not an exported model: `skincnn export {folder} --to onnx` first"
            )
        raise ArtefactError(
            f"{folder}: no {SEAL} in it: not a SavedModel of `skincnn export`, or not all of it"
        )
    text = (folder / SEAL).read_text(encoding="ascii", errors="replace")
    start = len(_MARK)
    blanked = text[:start] + _BLANK + text[start + len(_BLANK) :]
    return _facts(folder, text, "savedmodel", _digest_of_folder(folder, blanked))


def _facts(path: Path, text: str, form: str, digest: str) -> Facts:
    if not text.startswith(_MARK):
        known = text.startswith(_ANY_MARK.decode()) and text[len(_ANY_MARK) :][:1].isdigit()
        hint = "written by another version of skincnn: export it again" if known else "damaged"
        raise ArtefactError(f"{path}: its seal is {hint}")
    if text[len(_MARK) :][:64] != digest:
        raise ArtefactError(
            f"{path}: its checksum is wrong: damaged or changed since it was written; copy or "
            "export it again"
        )
    try:
        said = json.JSONDecoder().raw_decode(text)[0]
        if said["format"] != form:
            raise ValueError(f"written as {said['format']}")
        for name, parts in _WHOLE.items():
            if missing := said[name] and parts - set(said[name]):
                raise ValueError(f"{name} without {', '.join(sorted(missing))}")
        names = [field.name for field in dataclasses.fields(Facts) if field.name != "version"]
        return Facts(**{name: said[name] for name in names}, version=digest[:12])
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"{path}: its seal is damaged: {error}") from None


def _onnx_property(text: str) -> bytes:
    """An entry of ONNX's `metadata_props`, as bytes to append to a model.

    Messages of protocol buffers may be written in pieces: a repeated field behind the rest is one
    more entry (protobuf.dev, Encoding, "Last One Wins"), and nothing has to be parsed.
    """

    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2]) + _varint(len(content)) + content

    return field(14, field(1, b"skincnn") + field(2, text.encode("ascii")))


def _varint(number: int) -> bytes:
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])
