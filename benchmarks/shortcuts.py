"""How well melanoma is told from nevus by what is beside the lesion, as README tells.

python benchmarks/shortcuts.py [SET]
"""

import sys

from skincnn import audit, data, evaluate, shortcuts, sketches


def main() -> None:
    index, _ = audit.clean(data.load(sys.argv[1] if len(sys.argv) > 1 else "isic9"))
    pair = index[index["label"].isin(("melanoma", "nevus"))].reset_index(drop=True)
    near = evaluate.alike(pair)
    for title, rows in {"all": pair, "numbers alike": near}.items():
        rows.attrs = index.attrs
        sketched, _ = sketches.measure(rows, progress=False)
        found = shortcuts.table(rows, sketched).round(3)
        print(f"\n{title}: {len(rows)} photographs\n{found.to_string(index=False)}")


if __name__ == "__main__":
    main()
