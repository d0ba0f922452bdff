"""What in a folder is data and what is not: class folders, splits, and everything else.

The Kaggle archive of the nine-class set holds its tree twice; macOS adds `__MACOSX`, `.DS_Store`
and `._` files; Augmentor and editors leave folders of their own. None of it may become data or a
class.
"""

from pathlib import Path

from skincnn import images
from skincnn.labels import ISIC9


def _visible(folder: Path) -> list[Path]:
    """Sub-folders that may hold data, in order."""
    return sorted(
        p for p in folder.iterdir() if p.is_dir() and p.name[0] != "." and p.name != "__MACOSX"
    )


def _splits(folder: Path) -> dict[str, Path]:
    return {p.name.lower(): p for p in _visible(folder) if p.name.lower() in ("train", "test")}


def _is_photograph(path: Path) -> bool:
    return path.suffix.lower() in images.EXTENSIONS and path.is_file()


def _holds_photographs(folder: Path) -> bool:
    return any(_is_photograph(p) for p in folder.iterdir())


def _would_be_missed(path: Path) -> bool:
    """Whether a reader could take it for data: pages and tables beside the photographs are not."""
    return path.is_dir() or path.name[0] == "." or _is_photograph(path)


def _is_set(folder: Path) -> bool:
    splits = _splits(folder)
    return any(_holds_photographs(p) for f in (splits.values() or [folder]) for p in _visible(f))


def set_root(folder: Path) -> Path | None:
    """The shallowest folder, at most three below, that holds class folders or Train and Test."""
    level = [folder]
    for _ in range(4):
        # Train/ and Test/ themselves look like sets of class folders: never step into them.
        roots = [p for p in level if _is_set(p)]
        with_splits = [p for p in roots if _splits(p)]
        if roots:
            return (with_splits or roots)[0]
        level = [child for p in level for child in _visible(p)]
    return None


def beside(folder: Path, root: Path) -> list[tuple[str, str]]:
    """(path, reason) of what lies beside the set inside the folder it was found in."""
    found, place = [], root
    while place != folder:
        for path in sorted(place.parent.iterdir()):
            if path != place and _would_be_missed(path):
                copy = path in _visible(place.parent) and set_root(path) is not None
                reason = "another copy of the tree" if copy else "outside the set"
                found.append((path.relative_to(folder).as_posix() + "/" * path.is_dir(), reason))
        place = place.parent
    return found


def class_names(folder: Path) -> set[str]:
    """Names of the class folders of the set in `folder`, stray ones included."""
    root = set_root(folder)
    return {p.name for f in (_splits(root).values() or [root]) for p in _visible(f)}


def list_files(root: Path) -> tuple[list[tuple[str, str, str]], list[tuple[str, str]]]:
    """(file, label, split) of every candidate, and (path, reason) of all that was passed over."""
    found, ignored = [], []
    splits = _splits(root) or {"train": root}
    in_tree = set(splits.values())
    nine = set(ISIC9) <= {p.name for f in in_tree for p in _visible(f)}

    def passed_over(path: Path, reason: str) -> None:
        ignored.append((path.relative_to(root).as_posix() + "/" * path.is_dir(), reason))

    if root not in in_tree:
        for path in sorted(root.iterdir()):
            if path not in in_tree and _would_be_missed(path):
                passed_over(path, "outside Train and Test")
    for split, folder in sorted(splits.items()):
        class_folders = _visible(folder)
        for path in sorted(folder.iterdir()):
            if path not in class_folders and _would_be_missed(path):
                passed_over(path, "hidden folder" if path.is_dir() else "outside a class folder")
        for class_folder in class_folders:
            if nine and class_folder.name not in ISIC9:
                passed_over(class_folder, "stray folder: not one of the nine classes")
                continue
            files = sorted(class_folder.iterdir())
            photographs = [p for p in files if _is_photograph(p)]
            if not photographs:
                passed_over(class_folder, "folder without photographs")
            for path in set(files) - set(photographs):
                passed_over(path, "folder inside a class" if path.is_dir() else "not a photograph")
            found += [
                (p.relative_to(root).as_posix(), class_folder.name, split) for p in photographs
            ]
    return found, ignored
