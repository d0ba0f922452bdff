"""Write the synthetic sample set: a small stand-in for the real nine-class set, planted problems included.

    sample.make(Path("data/sample"))   # or: skincnn sample

writes about 600 photographs that `dermoscopy` draws, in the real set's tree and proportions:

    Train/<class>/SYN_0000001.jpg ...   Test/<class>/...
    metadata.csv   what is known of each image_id: lesion, patient, diagnosis (the referee's), age, sex, site, source
    planted.csv    what is wrong with the set, file by file: for tests only, nothing else may read it
    sample.json    number, seed and version of the drawing: what the set is told by

Planted, as the real set has them: byte-identical files, re-encoded, resized and flipped copies, photographs under two
class names, lesions photographed on both sides of the split, files that do not decode. Nothing else repeats: no other two
files show the same lesion, unless `metadata.csv` gives them one lesion_id inside Train.
"""

import csv
import io
import json
import os
import secrets
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from skincnn import dermoscopy

VERSION = 1  # of the bytes: raise it with any change to what is drawn or planted, and old sets are replaced
PUBLISHED = {  # photographs in the real set: Train, Test
    "actinic keratosis": (114, 16),
    "basal cell carcinoma": (376, 16),
    "dermatofibroma": (95, 16),
    "melanoma": (438, 16),
    "nevus": (357, 16),
    "pigmented benign keratosis": (462, 16),
    "seborrheic keratosis": (77, 3),
    "squamous cell carcinoma": (181, 16),
    "vascular lesion": (139, 3),
}
LEAST = {"Train": 8, "Test": 3}  # a class: enough to split and to score at all
MINIMUM = sum(LEAST.values()) * len(PUBLISHED)
# Plants in 600 photographs; other sizes in proportion, at least one of each (three unusable: one of each sort).
PLANTED = {"identical": 6, "reencoded": 5, "resized": 5, "flipped": 5, "two_names": 8, "lesion_across_split": 8,
           "unusable": 4}  # fmt: skip
CONFUSED = {  # the second name of a photograph under two names
    "actinic keratosis": "squamous cell carcinoma",
    "basal cell carcinoma": "squamous cell carcinoma",
    "dermatofibroma": "nevus",
    "melanoma": "nevus",
    "nevus": "melanoma",
    "pigmented benign keratosis": "seborrheic keratosis",
    "seborrheic keratosis": "pigmented benign keratosis",
    "squamous cell carcinoma": "actinic keratosis",
    "vascular lesion": "nevus",
}
SIZES = [(180, 180), (192, 192), (224, 224), (256, 256), (240, 180), (256, 192)]  # width, height: of any class
SOURCES = ["Harbour Clinic", "Lindenhof Archive", "Northlight Collection"]  # all invented
SITES = ["anterior torso", "head/neck", "lower extremity", "posterior torso", "upper extremity"]
METADATA = ["image_id", "lesion_id", "patient_id", "diagnosis", "age", "sex", "site", "source"]


@dataclass
class Photo:
    """One file of the set. `lesion` and `patient` are numbers; a copy has its `kind` and the file it is `of`."""

    split: str
    folder: str
    number: int
    image_id: str = ""
    diagnosis: str = ""
    lesion: int = 0
    patient: int = 0
    kind: str = ""
    of: "Photo | None" = None
    referee: bool = True  # whether the metadata tells the diagnosis

    def __post_init__(self):
        self.image_id = f"SYN_{self.number:07d}"
        self.diagnosis = self.folder
        self.lesion = self.patient = self.number

    @property
    def file(self):
        return f"{self.split}/{self.folder}/{self.image_id}.jpg"


# --- the plan: which files there are, and what is planted -----------------------------------------------------------


def counts(n):
    """Files a class in each split, {split: {class: count}}: the real set's proportions, adding up to `n`.

    Raises:
        ValueError: if `n` leaves a class fewer than 8 in Train or 3 in Test.
    """
    if n < MINIMUM:
        raise ValueError(f"n={n} is too small: with {LEAST['Train']} of each class in Train and {LEAST['Test']} in Test"
                         f" the smallest sample set has {MINIMUM} photographs")  # fmt: skip
    total = sum(map(sum, PUBLISHED.values()))
    exact = {(split, label): pair[k] * n / total for k, split in enumerate(LEAST) for label, pair in PUBLISHED.items()}
    given = {key: max(LEAST[key[0]], int(x)) for key, x in exact.items()}
    while (left := n - sum(given.values())) != 0:  # one by one to, or from, whoever is furthest from their share
        sign = 1 if left > 0 else -1
        open_ = [key for key in given if sign > 0 or given[key] > LEAST[key[0]]]
        given[max(open_, key=lambda key: sign * (exact[key] - given[key]))] += sign
    return {split: {label: given[split, label] for label in PUBLISHED} for split in LEAST}


def plan(n, seed):
    """The set as a list of `Photo`, by file name, and its planted problems as (kind, file, other, note) rows."""
    rng = np.random.default_rng((seed, 0))
    numbers = iter(rng.permutation(n) + 1)  # so that a file's number tells nothing about its class
    free = {(split, label): [Photo(split, label, int(next(numbers))) for _ in range(count)]
            for split, by_class in counts(n).items() for label, count in by_class.items()}  # fmt: skip
    photos = [photo for group in free.values() for photo in group]
    rows = []

    def pick(split):
        """A class to plant in: the larger ones more often, the smallest only when nothing else is left."""
        left = np.array([len(free[split, label]) for label in PUBLISHED])
        spare = np.maximum(left - LEAST[split], 0)
        weight = spare if spare.any() else left
        return list(PUBLISHED)[rng.choice(len(left), p=weight / weight.sum())]

    def take(split, label=None):
        """A photograph nothing is planted in yet."""
        return free[split, label or pick(split)].pop()

    def plant(kind, photo, other, note):
        rows.append((kind, photo.file, other.file if other else "", note))

    for kind, share in PLANTED.items():
        for i in range(max(3 if kind == "unusable" else 1, round(share * n / 600))):
            side = "Train" if i % 5 else "Test"  # of the copy: every fifth stands on the other side of the split
            if kind == "unusable":
                photo = take("Train")
                photo.kind = ("zero bytes", "text named .jpg", "truncated JPEG")[i % 3]
                plant(kind, photo, None, photo.kind)
            elif kind == "lesion_across_split":
                test = take("Test")
                for _ in range(2 if i % 4 == 3 else 1):
                    train = take("Train", test.folder)
                    train.lesion = train.patient = test.lesion
                    plant(kind, train, test, f"SYL_{test.lesion:07d}")
            elif kind == "two_names":
                label = pick(side)
                first, second = take("Train", CONFUSED[label]), take(side, label)
                second.kind, second.of = "identical", first
                first.diagnosis = second.diagnosis = str(rng.choice([first.folder, second.folder]))
                first.referee = second.referee = i % 3 != 2  # the referee is silent on a third, as the real one is
                if i % 2 == 0:
                    second.image_id = first.image_id
                plant(kind, first, second, first.diagnosis if first.referee else "no referee")
            else:
                label = pick(side)
                first, second = take("Train", label), take(side, label)
                second.kind, second.of = kind, first
                plant(kind, first, second, "within Train" if side == "Train" else "across the split")

    for i in range(n // 15):  # several photographs of one lesion, inside Train: an honest problem, not a planted one
        first = take("Train")
        for _ in range(min(1 + i % 2, len(free["Train", first.folder]))):
            take("Train", first.folder).lesion = first.lesion
    for photo in photos:
        photo.patient = photo.lesion
    for _ in range(n // 30):  # some patients have two lesions
        take("Train").patient = take("Train").patient
    return sorted(photos, key=lambda photo: photo.file), rows


def metadata(photos, seed):
    """Rows of `metadata.csv`: one an image_id; of a copy, only its diagnosis and source are known."""
    rows = {}
    for photo in photos:
        if photo.image_id in rows and photo.of or photo.kind in ("zero bytes", "text named .jpg", "truncated JPEG"):
            continue
        person = np.random.default_rng((seed, 3, photo.patient))
        age, sex = 5 * int(np.clip(person.normal(11, 3), 4, 17)), str(person.choice(["female", "male"]))
        lesion = np.random.default_rng((seed, 4, photo.lesion))
        origin = np.random.default_rng((seed, 5, photo.number))
        known = [f"SYL_{photo.lesion:07d}", f"SYP_{photo.patient:07d}"], [age, sex, str(lesion.choice(SITES))]
        ids, facts = (["", ""], ["", "", ""]) if photo.of else known
        diagnosis = photo.diagnosis if photo.referee else ""
        rows[photo.image_id] = [photo.image_id, *ids, diagnosis, *facts, str(origin.choice(SOURCES))]
    return [rows[image_id] for image_id in sorted(rows)]


# --- the files ------------------------------------------------------------------------------------------------------


def encode(image, quality):
    """JPEG bytes of a Pillow image or a uint8 (H, W, 3) array."""
    buffer = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def photograph(seed, photo):
    """JPEG bytes of an original: the lesion seeded by its number, the view by the photograph's."""
    view = np.random.default_rng((seed, 2, photo.number))
    size, quality = SIZES[view.integers(len(SIZES))], int(view.integers(86, 96))
    return encode(dermoscopy.draw(photo.diagnosis, np.random.default_rng((seed, 1, photo.lesion)), view, size), quality)


def altered(data, kind):
    """What became of a photograph's bytes: `kind` as in `planted.csv`, or the sort of unusable file."""
    if kind == "identical":
        return data
    if kind == "zero bytes":
        return b""
    if kind == "text named .jpg":
        return b"<html><body>503 Service Unavailable</body></html>\n"
    if kind == "truncated JPEG":
        return data[: len(data) * 6 // 10]
    image = Image.open(io.BytesIO(data))
    if kind == "reencoded":
        return encode(image, 70)
    if kind == "flipped":
        return encode(ImageOps.mirror(image), 92)
    # resized: down to 180 on the short side, or up to 256 on the long one
    scale = 180 / min(image.size) if min(image.size) > 180 else 256 / max(image.size)
    return encode(image.resize([round(scale * side) for side in image.size], Image.Resampling.LANCZOS), 92)


def write(part, seed, photo):
    """Write one file under the unfinished root `part`."""
    data = photograph(seed, photo.of or photo)  # a copy's original is drawn again: no worker waits for another
    (part / photo.file).write_bytes(altered(data, photo.kind) if photo.kind else data)


def stamp(root):
    """What `sample.json` in `root` says, or None if that is no sample set."""
    try:
        return json.loads((root / "sample.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def sweep(root):
    """Remove what interrupted runs left beside `root`: their process is gone, or they are an hour old."""
    for part in root.parent.glob(f".{root.name}.part-*"):
        pid = part.name.split(".part-")[-1].split("-")[0]
        gone = os.name == "posix" and pid.isdigit() and not _alive(int(pid))
        if gone or time.time() - part.stat().st_mtime > 3600:
            shutil.rmtree(part, ignore_errors=True)


def _alive(pid):
    try:
        os.kill(pid, 0)  # signal 0 only asks; on Windows it would end the process, hence the posix above
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def table(path, header, rows):
    """Write a CSV with `\\n` line ends on every system."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def make(root, n=600, seed=2357, jobs=None, progress=True):
    """Write the sample set under `root`, or return at once if that very set is there.

    The same `n` and `seed` give the same bytes, whatever `jobs`. The set appears under its name only when complete.

    Args:
        root: folder to write. A sample set of another size, seed or version is replaced.
        n: number of photographs in Train and Test together, planted ones included; at least `MINIMUM`.
        seed: non-negative integer everything is drawn from.
        jobs: threads that draw; None for one a core.
        progress: show a progress bar.

    Returns:
        `root` as a Path.

    Raises:
        ValueError: if `n` or `seed` is too small.
        FileExistsError: if `root` holds something that is no sample set.
    """
    root = Path(root)
    if seed < 0:
        raise ValueError(f"seed={seed} is negative")
    photos, rows = plan(n, seed)
    wanted = {"n": n, "seed": seed, "version": VERSION}
    sweep(root)
    if stamp(root) == wanted:
        return root
    if root.exists() and stamp(root) is None and (root.is_file() or any(root.iterdir())):
        raise FileExistsError(f"{root} holds something that is no sample set (it has no sample.json): name another folder")
    part = root.with_name(f".{root.name}.part-{os.getpid()}-{secrets.token_hex(4)}")
    # Threads, as numpy and Pillow draw outside the interpreter lock: on two cores within a tenth of two processes, and
    # they need neither a fork (which can hang beside TensorFlow) nor an importable __main__ (which a notebook lacks).
    pool = ThreadPoolExecutor(jobs or min(os.cpu_count() or 1, 8))
    try:
        for folder in {photo.file.rpartition("/")[0] for photo in photos}:
            (part / folder).mkdir(parents=True)
        done = pool.map(lambda photo: write(part, seed, photo), photos)
        for _ in tqdm(done, "drawing", len(photos), unit=" photographs", disable=not progress):
            pass
        table(part / "metadata.csv", METADATA, metadata(photos, seed))
        table(part / "planted.csv", ["kind", "file", "other", "note"], rows)
        (part / "sample.json").write_text(json.dumps(wanted) + "\n", encoding="utf-8")
        if root.exists():
            root.rename(part.with_name(part.name + "-old"))
        part.rename(root)
    finally:
        pool.shutdown(cancel_futures=True)
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(part.with_name(part.name + "-old"), ignore_errors=True)
    return root
