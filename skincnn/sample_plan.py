"""Which photographs the synthetic sample set has, and what is wrong with them.

Planted, as the real set has them: byte-identical files, re-encoded, resized and flipped copies,
photographs under two class names, lesions photographed on both sides of the split, files that do
not decode. Nothing else repeats, but for lesions that `metadata.csv` knows to be photographed two
or three times within Train.
"""

from dataclasses import dataclass

import numpy as np

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
LEAST = {"Train": 8, "Test": 3}  # a class: enough to split, and to score at all
MINIMUM = sum(LEAST.values()) * len(PUBLISHED)
PLANTED = {  # how many in 600 photographs; in other sets in proportion
    "identical": 6,
    "reencoded": 5,
    "resized": 5,
    "flipped": 5,
    "two_names": 8,
    "lesion_across_split": 8,
    "unusable": 4,
}
UNUSABLE = ("zero bytes", "text named .jpg", "truncated JPEG")
CONFUSED = {  # the other name of a photograph under two names
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
# Drawn alike for every class: they tell nothing about it.
SOURCES = ["Harbour Clinic", "Lindenhof Archive", "Northlight Collection"]  # all invented
SITES = ["anterior torso", "head/neck", "lower extremity", "posterior torso", "upper extremity"]
METADATA = ["image_id", "lesion_id", "patient_id", "diagnosis", "age", "sex", "site", "source"]


@dataclass
class Photo:
    """One file of the set; `number` seeds the view, `lesion` what is photographed."""

    split: str
    folder: str  # the class it is filed under
    number: int
    kind: str = ""  # of a copy as in `PLANTED`, of an unusable file as in `UNUSABLE`
    of: "Photo | None" = None  # the photograph a copy was made from
    referee: bool = True  # whether the metadata tells its diagnosis

    def __post_init__(self):
        self.image_id = f"SYN_{self.number:07d}"
        self.diagnosis = self.folder
        self.lesion = self.patient = self.number

    @property
    def file(self) -> str:
        return f"{self.split}/{self.folder}/{self.image_id}.jpg"


def counts(n: int) -> dict:
    """Files by class and split, {(split, class): count}, in the real proportions, `n` in all.

    Raises:
        ValueError: if `n` leaves a class fewer than 8 in Train or 3 in Test.
    """
    if n < MINIMUM:
        raise ValueError(
            f"n={n} is too small: with {LEAST['Train']} of each class in Train and "
            f"{LEAST['Test']} in Test, the smallest sample set has {MINIMUM} photographs"
        )
    keys = [(split, label) for split in LEAST for label in PUBLISHED]
    real = [PUBLISHED[label][split == "Test"] for split, label in keys]
    share = {key: count * n / sum(real) for key, count in zip(keys, real, strict=True)}
    given = {key: max(LEAST[key[0]], int(share[key])) for key in keys}
    # Then one by one to, or from, whichever class is furthest from its share.
    while left := n - sum(given.values()):
        sign = 1 if left > 0 else -1
        movable = [key for key in keys if sign > 0 or given[key] > LEAST[key[0]]]
        given[max(movable, key=lambda key: sign * (share[key] - given[key]))] += sign
    return given


def plan(n: int, seed: int) -> tuple:
    """The set as a list of `Photo`, and its planted problems as (kind, file, other, note) rows."""
    rng = np.random.default_rng((seed, 0))
    numbers = iter(rng.permutation(n) + 1)  # so that a file's number tells nothing of its class
    free = {
        key: [Photo(*key, int(next(numbers))) for _ in range(count)]
        for key, count in counts(n).items()
    }
    photos = [photo for group in free.values() for photo in group]
    rows = []

    def pick(split):
        """A class to plant in: the larger more often, the smallest only when no other is left."""
        left = np.array([len(free[split, label]) for label in PUBLISHED])
        spare = np.maximum(left - LEAST[split], 0)
        weight = spare if spare.any() else left
        return list(PUBLISHED)[rng.choice(len(left), p=weight / weight.sum())]

    def take(split, label=None):
        """A photograph that nothing is planted in yet."""
        return free[split, label or pick(split)].pop()

    def unusable(i):
        photo = take("Train")
        photo.kind = UNUSABLE[i % 3]
        rows.append(("unusable", photo.file, "", photo.kind))

    def lesion_across_split(i):
        test = take("Test")
        for _ in range(2 if i % 4 == 3 else 1):
            train = take("Train", test.folder)
            train.lesion = test.lesion
            rows.append(("lesion_across_split", train.file, test.file, f"SYL_{test.lesion:07d}"))

    def copy(kind, i):
        side = "Train" if i % 5 else "Test"  # every fifth stands on the other side of the split
        label = pick(side)
        if kind != "two_names":
            first, second = take("Train", label), take(side, label)
            note = "within Train" if side == "Train" else "across the split"
        else:
            first, second = take("Train", CONFUSED[label]), take(side, label)
            first.diagnosis = second.diagnosis = str(rng.choice([first.folder, second.folder]))
            first.referee = second.referee = i % 3 != 2  # silent on a third, as the real one is
            if i % 2 == 0:
                second.image_id = first.image_id
            note = first.diagnosis if first.referee else "no referee"
        second.kind, second.of = kind, first
        rows.append((kind, first.file, second.file, note))

    for kind, share in PLANTED.items():
        for i in range(max(len(UNUSABLE) if kind == "unusable" else 1, round(share * n / 600))):
            if kind == "unusable":
                unusable(i)
            elif kind == "lesion_across_split":
                lesion_across_split(i)
            else:
                copy(kind, i)
    for i in range(n // 15):  # lesions with two or three photographs, all in Train
        first = take("Train")
        for _ in range(min(1 + i % 2, len(free["Train", first.folder]))):
            take("Train", first.folder).lesion = first.lesion
    for photo in photos:
        photo.patient = photo.lesion
    for _ in range(n // 30):  # patients with two lesions, both in Train
        take("Train").patient = take("Train").patient
    return sorted(photos, key=lambda photo: photo.file), rows


def metadata(photos: list, seed: int) -> list:
    """Rows of `metadata.csv`, one an image_id; of a copy only diagnosis and source are known."""
    rows = {}
    for photo in photos:
        if photo.kind in UNUSABLE or (photo.of and photo.of.image_id == photo.image_id):
            continue
        person = np.random.default_rng((seed, 3, photo.patient))
        lesion = np.random.default_rng((seed, 4, photo.lesion))
        origin = np.random.default_rng((seed, 5, photo.number))
        ids = [f"SYL_{photo.lesion:07d}", f"SYP_{photo.patient:07d}"]
        age = 5 * int(np.clip(person.normal(11, 3), 4, 17))
        facts = [age, person.choice(["female", "male"]), lesion.choice(SITES)]
        if photo.of:
            ids, facts = [""] * 2, [""] * 3
        diagnosis = photo.diagnosis if photo.referee else ""
        rows[photo.image_id] = [photo.image_id, *ids, diagnosis, *facts, origin.choice(SOURCES)]
    return [rows[image_id] for image_id in sorted(rows)]
