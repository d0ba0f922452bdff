"""Run folders as files: the command that makes a run again."""

import shlex

import pytest
import typer.testing

from skincnn import atomic, cli, config, crossval, options, presets, runs, train


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"image_size": 64, "precision": "float32", "folds": 3, "seed": 7},
        {"model": "EfficientNetLite0", "weights": "a b.keras", "hair_removal": True, "ema": 0.98},
        {"pretrain": "", "augment": "dermoscopy+erasing", "weight_decay": 1e-5},
    ],
)
@pytest.mark.parametrize("seeds", [None, 1, 2])  # None: a single run
def test_a_run_tells_the_command_that_makes_it_again(changes, seeds, tmp_path, monkeypatch):
    settings = presets.get("transfer_dermoscopy", **changes)
    info = {"config": settings.asdict(), "classes": [], "precision_used": "float32"}
    info |= {"data": {"name": "isic9"}} | ({"seeds": [*range(seeds)]} if seeds else {})
    atomic.write_json(tmp_path / "config.json", info)
    words = shlex.split(runs.Run(tmp_path).command)
    asked = {}

    def stand_in(settings, index, *args, **more):
        asked.update(settings=settings, seeds=len(more.get("seeds", ())) or None, data=index)
        raise KeyboardInterrupt

    monkeypatch.setattr(options, "load", lambda name, *others: name)
    monkeypatch.setattr(options, "shards_in", lambda name: None)  # no set is needed
    for module, function in ((crossval, "run"), (train, "fit")):
        monkeypatch.setattr(module, function, stand_in)
    typer.testing.CliRunner().invoke(cli.app, [*words[1:], "--json", "--out", str(tmp_path)])
    assert words[0] == "skincnn"
    assert asked == {"settings": settings, "seeds": seeds, "data": "isic9"}


def test_an_ensemble_tells_its_members_and_other_runs_nothing(tmp_path):
    both = config.runs_dir() / "both"
    members = [{"folder": "../isic9_a_cv"}, {"folder": str(tmp_path / "b cv")}]
    run = runs.Run(both)
    vars(run)["info"] = {"members": members, "how": "rank"}
    places = f"outputs/runs/isic9_a_cv {shlex.quote(str(tmp_path / 'b cv'))}"
    assert run.command == f"skincnn ensemble {places} --how rank --out outputs/runs/both"
    vars(run)["info"] = {"config": {"preset": "pretrain_ham10000"}}
    assert run.command == ""
