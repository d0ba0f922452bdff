"""How well a network tells that a photograph is none of a lesion, as README tells.

python benchmarks/strangers.py RUN [--data isic9] [--out FOLDER] KIND=FOLDER ...

    apt-get download gnome-backgrounds mate-backgrounds ukui-wallpapers \\
        plasma-workspace-wallpapers tuxpaint-stamps-default
    for d in *.deb; do dpkg-deb -x $d x; done
    pip download --no-deps scikit-image; unzip scikit_image-*.whl -d skimage
    python benchmarks/strangers.py outputs/local/lite0_128 --out outputs/runs/isic9_strangers \\
        wallpapers=x/usr/share/backgrounds desktops=x/usr/share/wallpapers \\
        stamps=x/usr/share/tuxpaint/stamps samples=skimage/skimage/data

Beside the folders' pictures, those that scikit-learn and matplotlib bring are taken, and drawn
textures. A picture gives three tiles: the whole, and two squares of half its shorter side. All
that is fitted is fitted on lesions: neighbours on what trained, thresholds on the inner part (5 %
lie beyond). Half of the pictures choose the score; the other half and the held-out fold, which
chose nothing, are reported, with 95 % intervals by bootstrap over pictures and groups of lesions.
"""

import argparse
import re
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw
from tqdm import tqdm

from skincnn import (
    atomic,
    data,
    export,
    images,
    predictor,
    protocols,
    provenance,
    runs,
    splits,
    strangers,
)

MOST = 150  # pictures of a folder: the largest would else be all that is measured
SMALLEST = 64  # pixels a side: smaller ones are icons
AXES = (16, 64, 256)
OURS = f"10th neighbour by direction, {strangers.AXES} axes and the rest"


# --- strangers -----------------------------------------------------------------------------------


def pictures(folder: Path, rng) -> dict[str, Path]:
    """One file of each picture below a folder: several sizes, day and night are one."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in images.EXTENSIONS):
        parts = path.relative_to(folder).parts
        name = parts[0] if "contents" in parts else "/".join([*parts[:-1], path.stem])
        name = re.sub(r"([-_][ld]|[-_](left|right|dark|light))$", "", name)
        try:
            with Image.open(path) as picture:
                if min(picture.size) >= SMALLEST:
                    found.setdefault(name, (min(picture.size) < 480, path.stat().st_size, path))
                    found[name] = min(
                        found[name], (min(picture.size) < 480, path.stat().st_size, path)
                    )
        except OSError:
            continue
    names = sorted(found)
    chosen = sorted(rng.permutation(len(names))[:MOST])
    return {names[at]: found[names[at]][2] for at in chosen}


def tiles(pixels: np.ndarray, size: int, rng) -> list[np.ndarray]:
    """The whole picture, and two squares of half its shorter side."""
    found, side = [images.resize(pixels, size)], min(pixels.shape[:2]) // 2
    for _ in range(2):
        top, left = (rng.integers(0, length - side + 1) for length in pixels.shape[:2])
        found.append(images.resize(pixels[top : top + side, left : left + side], size))
    return found


def texture(number: int, rng, side: int = 256) -> np.ndarray:
    """A drawn one: plain, slope, stripes, checks, noise of some roughness, spots, or writing."""
    y, x = np.mgrid[:side, :side] / side
    one, other = rng.integers(0, 256, (2, 3))
    kind = number % 7
    if kind == 0:
        share = np.zeros((side, side))
    elif kind == 1:
        share = np.cos(angle := rng.uniform(0, 6.28)) * x / 2 + np.sin(angle) * y / 2 + 0.5
    elif kind == 2:
        share = np.sin((x * rng.normal() + y * rng.normal()) * rng.uniform(20, 200)) > 0
    elif kind == 3:
        step = rng.integers(4, 64)
        share = ((x * side // step + y * side // step) % 2).astype(float)
    elif kind == 4:
        coarse = rng.integers(2, side)
        share = Image.fromarray(rng.integers(0, 256, (coarse, coarse), dtype=np.uint8))
        share = np.asarray(share.resize((side, side), Image.Resampling.BICUBIC)) / 255
    elif kind == 5:
        centres, wide = rng.uniform(0, 1, (rng.integers(3, 30), 2)), rng.uniform(0.01, 0.1)
        share = np.any([np.hypot(x - a, y - b) < wide for a, b in centres], axis=0)
    else:
        paper = Image.new("L", (side, side), 255)
        pen = ImageDraw.Draw(paper)
        letters = np.array(list("abcdefghijklmnopqrstuvwxyz      "))
        for line in range(4, side - 12, int(rng.integers(12, 20))):
            pen.text((6, line), "".join(rng.choice(letters, 40)), fill=0)
        return np.repeat(np.asarray(paper)[..., None], 3, axis=2)
    return (one + (other - one) * np.asarray(share, float)[..., None]).clip(0, 255).astype(np.uint8)


def gather(
    folders: dict[str, Path], size: int, textures: int = 84
) -> tuple[np.ndarray, pd.DataFrame]:
    """Tiles uint8 (N, size, size, 3), and of each its `kind` and `picture`."""
    import matplotlib
    import sklearn.datasets

    rng = np.random.default_rng(0)
    found, rows = [], []
    some = {
        "scikit-learn": Path(sklearn.datasets.__file__).parent / "images",
        "matplotlib": Path(matplotlib.get_data_path()) / "sample_data",
    }
    for kind, folder in (folders | some).items():
        for name, path in tqdm(pictures(folder, rng).items(), kind):
            try:
                pixels = images.decode(path)
            except images.ImageProblem:
                continue
            parts = tiles(pixels, size, rng)
            found += parts
            rows += [(kind, f"{kind}/{name}")] * len(parts)
    for number in range(textures):
        found.append(images.resize(texture(number, rng), size))
        rows.append(("drawn", f"drawn/{number}"))
    return np.stack(found), pd.DataFrame(rows, columns=["kind", "picture"])


# --- scores: the higher, the stranger ------------------------------------------------------------


def scores(network: tuple, training: np.ndarray, numbers: np.ndarray, inner: np.ndarray) -> dict:
    """Name -> function from (probabilities, features) to a score, fitted on what trained."""
    kernel, bias = network
    rows = np.random.default_rng(0).permutation(len(training))[: strangers.BANK]
    some = training[np.sort(rows)].astype(np.float64)

    def energy(_, features):
        logits = features @ kernel + bias
        most = logits.max(axis=1)
        return -(most + np.log(np.exp(logits - most[:, None]).sum(axis=1)))

    classes = np.unique(numbers)
    means = np.stack([training[numbers == c].mean(axis=0) for c in classes]).astype(np.float64)
    within = training - means[np.searchsorted(classes, numbers)]
    _, spread, turned = np.linalg.svd(within, full_matrices=False)
    spread = spread / np.sqrt(len(training))
    kept = spread > 1e-3 * spread[0]
    narrow = turned[kept].T / spread[kept]

    def mahalanobis(_, features):
        points, centres = features.astype(np.float64) @ narrow, means @ narrow
        return np.sqrt(((points[:, None] - centres) ** 2).sum(axis=2)).min(axis=1)

    def nearest(bank, project):
        known = project(bank)

        def score(_, features):
            points, nth = project(features), strangers.NEIGHBOURS - 1
            squares = (points**2).sum(1)[:, None] + (known**2).sum(1) - 2 * points @ known.T
            return np.sqrt(np.partition(squares, nth, axis=1)[:, nth].clip(0))

        return score

    unit = strangers._unit
    known = strangers.fit(training, inner)
    found = {
        "largest probability": lambda probabilities, _: -probabilities.max(axis=1),
        "energy": energy,
        "Mahalanobis, nearest class": mahalanobis,
        "10th neighbour": nearest(some, lambda f: f.astype(np.float64)),
        "10th neighbour by direction": nearest(some, unit),
    }
    mean = some.mean(axis=0)
    axes = np.linalg.svd(some - mean, full_matrices=False)[2][: strangers.AXES].T
    found[f"10th neighbour, {strangers.AXES} axes"] = nearest(some, lambda f: (f - mean) @ axes)
    middle = unit(some).mean(axis=0)
    _, lengths, turns = np.linalg.svd(unit(some) - middle, full_matrices=False)
    for n in AXES:
        name, to = f"10th neighbour by direction, {n} axes", turns[:n].T
        found[name] = nearest(some, lambda f, to=to: (unit(f) - middle) @ to)
        white = to / lengths[:n]
        found[f"{name}, whitened"] = nearest(some, lambda f, to=white: (unit(f) - middle) @ to)
    found["what 64 axes leave over"] = lambda _, f: strangers._along(unit(f), middle, turns[:64])[1]
    found[OURS] = lambda _, features: strangers.strangeness(known, features)
    return found


# --- figures -------------------------------------------------------------------------------------


def share(hit: np.ndarray, group: np.ndarray, replicates: int = 2000) -> dict:
    """Share with its 95 % interval, by bootstrap over groups."""
    number = pd.factorize(group)[0]
    hits, sizes = np.bincount(number, hit), np.bincount(number)
    drawn = np.random.default_rng(0).integers(0, len(sizes), (replicates, len(sizes)))
    low, high = np.quantile(hits[drawn].sum(1) / sizes[drawn].sum(1), (0.025, 0.975))
    return {"value": hit.mean(), "low": low, "high": high}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("folders", nargs="+", metavar="KIND=FOLDER")
    parser.add_argument("--data", default="isic9")
    parser.add_argument("--out", type=Path)
    typed = parser.parse_args()
    run, folders = runs.Run(typed.run), dict(one.split("=", 1) for one in typed.folders)
    path = export.write(run, out=typed.run / "plain.onnx")
    model = predictor.load(path)
    prepared = protocols.prepare(run.config, data.load(typed.data))
    fold = run.config.fold
    parts = {
        "training": splits.training(prepared, fold),
        "inner": splits.validation(prepared, fold),
        "held out": splits.held_out(prepared, fold),
    }
    seen = {
        name: model.raw(np.stack([model.pixels(p) for p in tqdm(data.paths(rows), name)]))
        for name, rows in parts.items()
    }
    pixels, about = gather(
        {kind: Path(folder) for kind, folder in folders.items()}, model.facts.image_size
    )
    seen["strangers"] = model.raw(pixels)
    names = about["picture"].unique()
    reports = set(names[np.random.default_rng(1).permutation(len(names))[: len(names) // 2]])
    reports = about["picture"].isin(reports).to_numpy()

    classifier = run.model.get_layer("classifier").get_weights()
    numbers = pd.factorize(parts["training"]["label"], sort=True)[0]
    scored = scores(classifier, seen["training"][1], numbers, seen["inner"][1])
    held, rows, caught = parts["held out"], [], {}
    for name, score in scored.items():
        threshold = strangers.limit(score(*seen["inner"]))
        caught[name] = score(*seen["strangers"]) > threshold
        refused = score(*seen["held out"]) > threshold
        report = share(caught[name][reports], about["picture"][reports])
        alarms = share(refused, held["group"])
        rows.append(
            {
                "score": name,
                "caught_choosing": caught[name][~reports].mean(),
                **{f"caught_{key}": value for key, value in report.items()},
                **{f"refused_{key}": value for key, value in alarms.items()},
            }
        )
    table = pd.DataFrame(rows).round(4)
    kinds = about[reports].assign(caught=caught[OURS][reports]).groupby("kind")
    by_kind = kinds.agg(
        tiles=("caught", "size"), pictures=("picture", "nunique"), caught=("caught", "mean")
    )
    missed = about[reports & ~caught[OURS]]["picture"].value_counts()
    print(table.to_string(index=False), by_kind.round(3), missed, sep="\n\n")
    if typed.out:
        typed.out.mkdir(parents=True, exist_ok=True)
        table.to_csv(typed.out / "scores.csv", index=False)
        by_kind.round(4).to_csv(typed.out / "kinds.csv")
        facts = {
            "ours": OURS,
            "pictures": len(names),
            "tiles": len(about),
            "tiles_reported": int(reports.sum()),
            "pictures_reported": int(about["picture"][reports].nunique()),
            "lesions": {name: len(some) for name, some in parts.items()},
            "missed": missed.to_dict(),
            "training": run.command,
            "commit": run.info["commit"],
            "versions": provenance.versions(),
        }
        atomic.write_json(typed.out / "facts.json", facts)


if __name__ == "__main__":
    main()
