"""Draw the README's figure and print its results tables from the published runs.

python benchmarks/figure.py
"""

import matplotlib

matplotlib.use("agg")

from skincnn import config, crossval, plots_results, runs

PRESETS = ("baseline", "regularised", "published", "split_first", "final", "transfer_published")
PUBLISHED = {
    "baseline": "54.6 %",
    "regularised": "49.7 %",
    "published": "80.25 %",
    "transfer_published": "72 %",
}


def main() -> None:
    shown = {name: runs.published(f"isic9_{name}") for name in PRESETS}
    shown = {name: run for name, run in shown.items() if run.finished}
    curves = {
        f"{name} ({run.metrics['accuracy']['value']:.0%})": run.history
        for name, run in shown.items()
    }
    ax = plots_results.learning_curves(curves)
    ax.set_title(f"One set of photographs, {len(shown)} recipes", loc="left")
    path = config.runs_dir() / "learning_curves.png"
    ax.figure.savefig(path, dpi=110, bbox_inches="tight")
    print(path.relative_to(config.project_root()))

    table = runs.table(list(shown.values()))
    for name, row in zip(shown, table.to_dict("records"), strict=True):
        cells = [
            f"`{name}`",
            f"`{row['protocol']}`",
            f"{row['siblings %']:.0f} %",
            f"{row['accuracy %']} % ({row['95 % interval']})",
            f"{row['balanced %']} %",
            f"{row['last epoch %']} %",
            PUBLISHED.get(name, "none"),
            f"{row['minutes']:.0f}",
            f"`{shown[name].command}`",
        ]
        print("| " + " | ".join(cells) + " |")

    whole = [runs.Run(folder) for folder in sorted(config.runs_dir().glob("*_cv"))]
    whole = [run for run in whole if run.finished]
    named = None
    for run, row in zip(whole, crossval.table(whole).to_dict("records"), strict=True):
        if (of := run.info["data"]["name"]) != named:
            print(f"\n{of}")
            named = of
        place = f"outputs/runs/{run.name}"
        cells = [
            f"`{run.name}`",
            f"{row['balanced %']} % ({row['95 % interval']})",
            f"{row['accuracy %']} %",
            f"{row['macro AUC']:.3f}",
            f"{row['sensitivity at 95 % specificity']} %",
            f"{row['AUC against nevus']:.3f}",
            f"{row['… numbers alike']:.3f}",
            f"{row['minutes']:.0f}",
            f"`{run.command if 'members' in run.info else f'{run.command} --out {place}'}`",
        ]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
