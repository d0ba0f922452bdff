"""Files that are there whole or not at all, and what is said where they cannot be."""

import errno
import os
import subprocess
import sys

import pytest

from skincnn import atomic


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_has_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "answers.csv"
    with atomic.writing(path) as temporary:
        temporary.write_text("half")
        assert not path.exists() and temporary.suffix == ".csv"
    assert names(path.parent) == ["answers.csv"] and path.read_text() == "half"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_failure_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "set"
    path.mkdir()
    (path / "old").touch()
    with pytest.raises(error), atomic.writing(path) as temporary:
        temporary.mkdir()
        (temporary / "new").touch()
        raise error
    assert names(tmp_path) == ["set"] and names(path) == ["old"]


def test_a_folder_takes_the_place_of_a_folder(tmp_path):
    for name in ("old", "new"):
        with atomic.writing(tmp_path / "set") as temporary:
            temporary.mkdir()
            (temporary / name).touch()
    assert names(tmp_path) == ["set"] and names(tmp_path / "set") == ["new"]


def test_what_a_killed_process_left_is_removed_and_what_lives_is_not(tmp_path):
    code = (
        "import os, sys; from skincnn import atomic\n"
        "with atomic.writing(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    print('begun', flush=True)\n"
        "    sys.stdin.read() and os.kill(os.getpid(), 9)"
    )
    path = tmp_path / "a[1]*.csv"
    command = [sys.executable, "-c", code, path]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    dead, alive = (subprocess.Popen(command, **pipes) for _ in range(2))
    for process in (dead, alive):
        assert process.stdout.readline() == "begun\n"
    dead.communicate("now")
    assert len(names(tmp_path)) == 2
    atomic.write_text(path, "whole")
    assert len(names(tmp_path)) == 2 and path.read_text() == "whole"
    alive.communicate("")
    assert names(tmp_path) == [path.name] and path.read_text() == "half"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full: free some space"),
        (OSError(errno.EROFS, "Read-only file system"), "can only be read: choose another"),
        (RuntimeError(f"{os.strerror(errno.ENOSPC)}; deep/in/a/library.cc:123"), "is full"),
    ],
)
def test_a_disks_trouble_is_told_with_the_file_and_what_to_do(tmp_path, error, says):
    path = tmp_path / "model.keras"
    with pytest.raises(atomic.WriteError, match=says) as caught, atomic.writing(path):
        raise error
    assert str(caught.value).startswith(f"{path}: ") and "library" not in str(caught.value)


def test_another_files_trouble_is_not_taken_for_the_ones_that_is_written(tmp_path):
    error = PermissionError(errno.EACCES, "Permission denied", "/elsewhere/photo.jpg")
    with pytest.raises(PermissionError) as caught, atomic.writing(tmp_path / "answers.csv"):
        raise error
    assert caught.value is error
    assert atomic.explained(error).startswith("/elsewhere/photo.jpg: permission denied")
    assert atomic.explained(KeyError()) == "KeyError"
