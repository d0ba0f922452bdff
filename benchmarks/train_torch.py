"""The baseline as PyTorch trains it best on a CPU; `train.py --torch PYTHON` runs it.

    PYTHON benchmarks/train_torch.py --root FOLDER [--epochs 3]

Needs torch, numpy and Pillow, nothing of this package. Two DataLoader workers decode in the first
epoch and leave uint8 pixels in shared memory, from which later epochs are fed; channels_last; of
float32 and bfloat16 autocast, as they are and compiled, the fastest in a few steps, chosen before
the clock starts. The published split, Adam at its default rate, batch 32.
"""

import argparse
import contextlib
import itertools
import json
import resource
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

SIZE, BATCH, WORKERS, STEPS = 180, 32, 2, 4


class Photographs(Dataset):
    """Decoded when first asked for, then kept for every process: uint8 (N, 180, 180, 3)."""

    def __init__(self, files: list[Path], numbers: np.ndarray):
        self.files, self.numbers = files, torch.from_numpy(numbers).long()
        self.pixels = torch.zeros((len(files), SIZE, SIZE, 3), dtype=torch.uint8).share_memory_()
        self.known = torch.zeros(len(files), dtype=torch.bool).share_memory_()

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, at: int):
        if not self.known[at]:
            with Image.open(self.files[at]) as photograph:
                photograph.draft("RGB", (2 * SIZE, 2 * SIZE))  # as ours: at a scale that suffices
                small = photograph.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
            self.pixels[at] = torch.from_numpy(np.asarray(small).copy())
            self.known[at] = True
        return self.pixels[at], self.numbers[at]

    def batches(self, shuffle: bool):
        if not self.known.all():
            yield from DataLoader(self, BATCH, shuffle, num_workers=WORKERS)
            return
        order = torch.randperm(len(self)) if shuffle else torch.arange(len(self))
        for rows in order.split(BATCH):  # a process of its own would cost more than it takes away
            yield self.pixels[rows], self.numbers[rows]


def network(classes: int) -> nn.Module:
    stages, before = [], 3
    for filters in (32, 64, 128, 256):
        stages += [nn.Conv2d(before, filters, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        before = filters
    wide = (SIZE // 16) ** 2 * before
    dense = [nn.Linear(wide, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 64)]
    model = nn.Sequential(*stages, nn.Flatten(), *dense, nn.ReLU(), nn.Linear(64, classes))
    for layer in model:  # as Keras begins
        if hasattr(layer, "weight"):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return model.to(memory_format=torch.channels_last)


class Trainer:
    """A network, its optimizer and how it computes."""

    def __init__(self, classes: int, bfloat16: bool, compiles: bool):
        torch.manual_seed(0)
        model = network(classes)
        self.optimizer = torch.optim.Adam(model.parameters(), fused=True)
        self.model = torch.compile(model) if compiles else model
        self.cast = (
            (lambda: torch.autocast("cpu", torch.bfloat16)) if bfloat16 else contextlib.nullcontext
        )

    def logits(self, pixels):
        # (B, H, W, 3) seen as (B, 3, H, W) is channels_last already
        with self.cast():
            return self.model(pixels.permute(0, 3, 1, 2).float() / 255)

    def step(self, pixels, numbers) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(self.logits(pixels).float(), numbers).backward()
        self.optimizer.step()


def fastest(classes: int) -> tuple[bool, bool, str, dict]:
    """Whether bfloat16 and compilation help, what the choice is called, and images/s of each."""
    x, y = torch.randint(0, 256, (BATCH, SIZE, SIZE, 3)).byte(), torch.arange(BATCH) % classes
    seconds, tried = {}, {}
    for bfloat16, compiles in itertools.product((False, True), (False, True)):
        name = ("bfloat16" if bfloat16 else "float32") + (", compiled" if compiles else "")
        try:
            trainer, times = Trainer(classes, bfloat16, compiles), []
            for _ in range(1 + STEPS):
                began = time.perf_counter()
                trainer.step(x, y)
                times.append(time.perf_counter() - began)
            seconds[bfloat16, compiles, name] = min(times[1:])
            tried[name] = round(BATCH / min(times[1:]), 1)
        except Exception as error:  # no compiler, no headers: told, and left out
            tried[name] = f"{type(error).__name__}: {str(error)[:200]}"
    return *min(seconds, key=seconds.get), tried


def split(root: Path) -> tuple[Photographs, Photographs, int]:
    """Training and validation as `image_dataset_from_directory` divides them with seed 123."""
    folders = sorted(folder for folder in (root / "Train").iterdir() if folder.is_dir())
    ends = (".jpg", ".jpeg", ".png")
    found = [
        (path, number)
        for number, folder in enumerate(folders)
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in ends
    ]
    np.random.RandomState(123).shuffle(found)
    held = int(0.2 * len(found))
    parts = (found[:-held], found[-held:])
    return *(Photographs([p for p, _ in s], np.array([n for _, n in s])) for s in parts), len(
        folders
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="holds Train/<class>/<photograph>")
    parser.add_argument("--epochs", type=int, default=3)
    asked = parser.parse_args()
    training, validation, classes = split(asked.root)
    bfloat16, compiles, name, tried = fastest(classes)
    began = time.perf_counter()
    trainer, marks, scores, waits = Trainer(classes, bfloat16, compiles), [], [], []
    for _ in range(asked.epochs):
        waited, asking = 0.0, time.perf_counter()
        trainer.model.train()
        for pixels, numbers in training.batches(shuffle=True):
            waited += time.perf_counter() - asking
            trainer.step(pixels, numbers)
            asking = time.perf_counter()
        trainer.model.eval()
        with torch.inference_mode():
            right = sum(
                int((trainer.logits(pixels).argmax(1) == numbers).sum())
                for pixels, numbers in validation.batches(shuffle=False)
            )
        scores.append(right / len(validation))
        marks.append(time.perf_counter() - began)
        waits.append(waited)
    timed = time.perf_counter()
    for _ in training.batches(shuffle=True):
        pass
    told = {
        "images": len(training),
        "marks": marks,
        "scores": scores,
        "fed": time.perf_counter() - timed,
        "waited": statistics.median(waits[1:] or waits),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "precision": name,
        "tried": tried,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
