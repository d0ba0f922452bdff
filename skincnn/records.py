"""What a record of a shard says of its photograph, whatever wrote it: a row of the index.

| field of a record | the index's |
|---|---|
| `image` | the photograph's bytes, in any format that `images` decodes |
| `image_name`, `image_id` | `name`, and `image_id` where it is one of the archive's |
| `label`, or `target` and `benign_malignant` | `label`; "" where unknown |
| `patient_id`, `lesion_id`, `source`, `split`, `group` | the same |
| `age_approx`, `sex`, `anatom_site_general`, `…_challenge` | `age`, `sex`, `site` |

Those of Kaggle's competition and its variants are all understood: a field may be missing, and −1 is
unknown. Their numbers for sites and diagnoses differ from shard to shard, so they say nothing
here: give the set's table (`tfrecords.load`).
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

from skincnn import images, labels, person, shards

COLUMNS = ["record", "name", "image_id", "label", "split", "group", "patient_id", "lesion_id"]
COLUMNS += ["source", *person.COLUMNS, "width", "height", "sha256", "problem", "plain", "bytes"]
AT_ONCE = 256  # photographs opened at once, by threads
_TARGETS = {"0": "benign", "1": "malignant"}
_SEXES = {"0": "female", "1": "male"}  # as the 2020 shards number them


def read(found: Iterable[bytes]) -> Iterator[dict]:
    """The facts of record after record; of a shard that is damaged those before the damage too.

    Args:
        found: records, as `shards.records` yields them.

    Raises:
        shards.ShardError: as `found` does, after the last whole record.
    """
    damage, batch = None, []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # a few at a time: the photographs of a whole shard need not be in memory
        try:
            for numbered in enumerate(found):
                batch.append(numbered)
                if len(batch) == AT_ONCE:
                    yield from pool.map(facts, batch)
                    batch = []
        except shards.ShardError as error:
            damage = error
        yield from pool.map(facts, batch)
    if damage:
        raise damage


def facts(numbered: tuple[int, bytes]) -> dict:
    """What the index keeps of a record."""
    number, record = numbered
    row = dict.fromkeys(COLUMNS, "") | {"record": number, "plain": False, "bytes": len(record)}
    row |= {"width": 0, "height": 0}
    try:
        said = shards.fields(record)
    except shards.ShardError as error:
        return row | {"problem": str(error)}
    image = said.pop("image", b"")
    known = {name: text for name, value in said.items() if (text := _text(value))}
    row |= {n: known.get(n, "") for n in ("patient_id", "lesion_id", "source", "group")}
    row["split"] = "test" if known.get("split") == "test" else "train"
    name = known.get("image_name", known.get("image_id", ""))
    ends = name.lower().endswith(tuple(images.EXTENSIONS))
    row["name"] = str(PurePosixPath(name).with_suffix("")) if ends else name
    row["image_id"] = labels.image_id(PurePosixPath(row["name"]).name)
    row["label"] = label(known)
    row["age"] = known.get("age_approx", known.get("age", ""))
    row["sex"] = _SEXES.get(known.get("sex", ""), known.get("sex", ""))
    sites = [text for name, text in known.items() if "site" in name and not text.isdigit()]
    row["site"] = next(iter(sites), "")
    if not isinstance(image, bytes) or not image:
        return row | {"problem": "no photograph in the record"}
    row["sha256"] = hashlib.sha256(image).hexdigest()
    try:
        row["height"], row["width"], _ = images.decode(image).shape
        row["plain"] = images.is_plain_jpeg(image)
    except images.ImageProblem as problem:
        row["problem"] = str(problem)
    return row


def label(said) -> str:
    """The class that a record's fields or a table's row name."""
    for name in ("label", "dx", "class", "benign_malignant"):
        if said.get(name):
            return labels.name(said[name])
    target = said.get("target", "")
    return _TARGETS.get(target.removesuffix(".0"), target)


def _text(value) -> str:
    """A field as text, "" for what is unknown."""
    if isinstance(value, bytes):
        text = value.decode("utf-8", "replace").strip()
    else:
        text = f"{value:g}" if isinstance(value, float) else str(value)
    return "" if text == "-1" else text
