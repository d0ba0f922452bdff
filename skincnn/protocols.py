"""The three ways to split: how an index becomes what trains, what chooses and what is held out.

`published` copies first and splits after, as the published recipe does; `split_first` splits first;
`clean` takes the audited index and keeps relatives together.
"""

import pandas as pd

from skincnn import balance, config, data, splits


def prepare(settings: config.RunConfig, index: pd.DataFrame, progress: bool = True) -> pd.DataFrame:
    """Split and balance an index as the settings' protocol says.

    `published` adds Augmentor's copies first and splits after, as the published recipe does, so
    copies of a held-out photograph stand in training; `split_first` splits first and copies
    training photographs only. An index that has a `fold` already is taken as prepared. `clean`
    audits, deals out grouped folds, sets the inner part of one apart and copies what trains then;
    of these steps it takes those that the index has not been through.

    Returns:
        The usable rows with `fold` (and `inner` for `clean`), and the copies' rows.
    """
    if "shard" in index:
        if settings.copies_per_class or settings.fill_to:
            raise ValueError(
                "copies are made of files: for records in shards use sampling=balanced"
            )
        if settings.protocol == "split_first":
            raise ValueError("protocol split_first is about copies of files: use clean for shards")
    if settings.protocol != "clean":
        index = data.against_rest(index, settings.positive)
        if "fold" in index:
            return index
        index = index[index["label"] != ""]  # a record may have none
    index = data.usable(index)
    options = {"seed": settings.seed, "progress": progress}

    def copies(rows: pd.DataFrame, **fold) -> pd.DataFrame:
        if settings.copies_per_class:
            return balance.add(rows, settings.copies_per_class, **options, **fold)
        if settings.fill_to:
            return balance.fill(rows, settings.fill_to, **options, **fold)
        return rows

    if settings.protocol == "clean":
        index = grouped(settings, index) if "fold" not in index else index
        index = data.against_rest(index, settings.positive)
        if "inner" not in index:
            index = splits.inner(index, settings.fold, settings.inner_fraction)
        return index if (index["augmented_from"] != "").any() else copies(index, fold=settings.fold)
    split = {"fraction": settings.validation_fraction, "seed": settings.seed}
    if settings.protocol == "published":
        return splits.published(copies(index), **split)
    return copies(splits.published(index, **split), fold=0)


def grouped(settings: config.RunConfig, index: pd.DataFrame) -> pd.DataFrame:
    """The clean index of a set in the folds of protocol `clean`: the same for every seed.

    Records in shards are one a photograph, by their bytes, names and the set's own list of
    duplicates; files are searched for copies however changed (`audit.clean`). Where one class
    stands against the rest, files are dealt out by diagnosis all the same, unless one is too rare
    for it: their folds are those of all classes apart, and the two can be compared photograph by
    photograph.
    """
    if "shard" in index:
        from skincnn import tfrecords  # TensorFlow, which another backend can do without

        rows, _ = tfrecords.clean(index)
    else:
        from skincnn import audit  # opens every photograph; the other protocols need none of it

        rows, _ = audit.clean(index)
    two = data.against_rest(rows, settings.positive)
    if settings.positive and "shard" not in rows:
        try:
            return splits.grouped(rows, settings.folds).assign(label=two["label"])
        except ValueError:
            pass  # what the two classes lack is told below
    return splits.grouped(two, settings.folds, by_size="shard" in rows)
