"""Two commands in one folder at the same time, as processes of their own: the second finds what the
first made, or is refused with what to do; who is killed is in nobody's way."""

import hashlib
import json
import subprocess
import sys
import time

import killed_run

from skincnn import atomic

HELD = "Another process writes in {}: waiting for it."


def started(root, *words, how="go"):
    """The command line on a checkout that is ROOT; `wait` stops it in the second epoch."""
    command = [sys.executable, killed_run.__file__, root, how, 1, *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(list(map(str, command)), text=True, **pipes)


def ended(process):
    """Exit code, what it printed, and its last line on standard error."""
    out, err = process.communicate()
    assert "Traceback" not in err, err
    return process.returncode, out, err.splitlines()[-1] if err else ""


def content(folder):
    """Name -> digest of what lies in a folder, hidden files too."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_second_training_is_refused_or_waits_and_goes_on_after_a_kill(tiny, home, tmp_path):
    """The first is held in its second epoch, so nothing here depends on who is quicker."""
    run, alone = home / "run", tmp_path / "alone"
    alone.mkdir()
    words = ["train", "--preset", "tiny", "--epochs", "3", "--data", tiny, "--out"]
    whole = started(alone, *words, alone / "run")
    first = started(home, *words, run, how="wait")
    while first.poll() is None and not (home / "waiting").exists():
        time.sleep(0.1)
    other = started(home, *words, run, "--batch-size", "4")
    same = started(home, *words, run)
    code, _, line = ended(other)
    assert code == 2 and line == (
        f"skincnn: {run} holds another run: batch_size: 8 → 4. "
        "Choose another folder, or remove this one."
    )
    said = ""
    while HELD.format(run) not in said:
        line = same.stderr.readline()
        assert line, said
        said += line
    assert first.poll() is None and len((run / "history.csv").read_text().splitlines()) == 2
    first.kill()
    first.communicate()
    code, said, _ = ended(same)
    assert code == 0 and "Going on after epoch 1 of 3" in said
    assert ended(whole)[0] == 0
    mine, undisturbed = content(run), content(alone / "run")
    assert mine.keys() == undisturbed.keys(), "nothing is left over"
    for name in ("predictions.csv", "predictions_test.csv", "metrics.json", "metrics_test.json"):
        assert mine[name] == undisturbed[name]


def test_two_cross_validations_train_every_fold_once(draw, home, tmp_path):
    place = draw(tmp_path / "set", {"red": 24, "blue": 24})
    words = ["cv", "--preset", "tiny", "--data", place, "--epochs", "1", "--folds", "2"]
    said = [ended(one) for one in [started(home, *words, "--out", home / "cv") for _ in "ab"]]
    assert [code for code, *_ in said] == [0, 0], said
    printed = sorted(out.splitlines() for _, out, _ in said)
    todo = [next(line for line in lines if "to train" in line) for lines in printed]
    assert sorted(todo) == ["0 of 2 folds to train", "2 of 2 folds to train"]
    assert printed[0][-3:] == printed[1][-3:], "the same scores"
    assert not [name for name in content(home / "cv") if "writing" in name]


def test_three_writers_of_shards(tiny, home):
    """Two of them ask for the same; whoever is first, the others' shards are not mixed in."""
    words = ["tfrecords", "--from", tiny, "--shards", "3", "--out", home / "shards", "--size"]
    *same, other = map(ended, [started(home, *words, size) for size in (32, 32, 24)])
    codes = [code for code, *_ in same]
    assert codes == [0, 0] if other[0] else codes == [2, 2]
    for code, _, line in (*same, other):
        assert code == 0 or "holds shards of another request (size differ): choose" in line
    there = content(home / "shards")
    manifest = json.loads((home / "shards/manifest.json").read_text("utf-8"))
    del there["manifest.json"]
    assert {shard["name"]: shard["sha256"] for shard in manifest["shards"]} == there


def test_a_report_waits_until_the_folder_is_free(tiny, home):
    """Or its four files would be of two audits."""
    out = home / "report"
    code = (
        "import pathlib, sys; from skincnn import audit, config, data, report;"
        "config.project_root = lambda: pathlib.Path(sys.argv[2]);"
        "found = audit.run(data.load(sys.argv[1], progress=False), False, False);"
        "report.write(found, sys.argv[3])"
    )
    words = [sys.executable, "-c", code, str(tiny), str(home), str(out)]
    with atomic.alone_in(out):
        process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        assert HELD.format(out) in process.stderr.readline()
        assert not content(out)
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert set(content(out)) == {"audit.json", "findings.csv", "pairs.csv", "report.html"}


def test_two_that_copy_photographs_draw_them_once(tiny, home):
    """The copies are part of a training, and no command of their own."""
    code = (
        "import pathlib, sys; from skincnn import balance, config, data;"
        "config.project_root = lambda: pathlib.Path(sys.argv[2]);"
        "index = data.load(sys.argv[1], progress=False);"
        "index = balance.add(index, 20, out=pathlib.Path(sys.argv[2], 'copies'), progress=False);"
        "print(data.fingerprint(index, ['file', 'sha256']))"
    )
    words = [sys.executable, "-c", code, str(tiny), str(home)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    several = [subprocess.Popen(words, **pipes) for _ in range(2)]
    said = [one.communicate() for one in several]
    assert [one.returncode for one in several] == [0, 0], said
    assert said[0][0] == said[1][0] != ""
    assert sum(name.endswith(".jpg") for name in content(home / "copies")) == 60
