"""Would a test notice if a line said something else? Small changes of a module, each tried alone.

    pip install mutmut==3.8.1          # for its list of changes; nothing else here needs it
    python benchmarks/mutants.py splits [evaluate …] [--sample 200] [--seed 0] [--only 12 40]

The changes are mutmut's: another number, operator, text, an argument dropped or None, a branch
never or always taken. The runner is this file's, because starting pandas or TensorFlow for each of
a thousand mutants takes hours: one process has all libraries imported and is forked for each
mutant, whose child imports the package with the changed module and runs, quickest first, those
tests that run the changed line, until one fails.

What no test should notice is left as it is, by rule (`mutations.py`). What cannot be noticed for
other reasons is not sorted out by hand: it counts as survived. A mutant that no longer comes to an
end is killed. Told are the survivors by number (`--only` tries them again), and the share that was
killed, with its 95 % interval (Wilson) where a sample was drawn.
"""

import argparse
import contextlib
import hashlib
import importlib
import importlib.util
import json
import math
import os
import pickle
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import mutations
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")
os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
ROOT = Path(__file__).resolve().parents[1]
TESTS = {
    "splits": ["splits", "leakage"],
    "leakage": ["leakage"],
    "audit": ["audit"],
    "evaluate": ["evaluate"],
    "paired": ["paired"],
    "tfrecords": ["tfrecords_index", "tfrecords"],
    "records": ["records", "tfrecords"],
    "stream": ["tfrecords", "train_shards"],
    "shards": ["shards", "tfrecords"],
}
# Slow, and not what is changed: an answer is kept for the same question.
KEPT = {"audit": [("sketches", "measure"), ("shortcuts", "table"), ("duplicates", "pairs")]}
SECONDS = 20  # of computing that each test may take at least


# --- what runs in a child ------------------------------------------------------------------------


class Watch:
    """A plugin of pytest: which test runs which line and how long it takes; or, once that is known,
    that none computes ten times as long as it did, or waits for ever."""

    def __init__(self, coverage=None, known: dict | None = None):
        self.coverage, self.known, self.tests, self.now = coverage, known or {}, {}, ""

    def _turn(self, context: str) -> None:
        if self.coverage:
            self.coverage.switch_context(context)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        if item.nodeid in self.known:
            seconds = max(SECONDS, 10 * self.known[item.nodeid]["seconds"])
            signal.setitimer(signal.ITIMER_PROF, seconds)
            signal.setitimer(signal.ITIMER_REAL, 10 * seconds)
        self.now = item.nodeid
        self._turn(self.now)
        start = time.process_time()
        answer = yield
        seconds = time.process_time() - start
        self.tests[item.nodeid] = {"seconds": seconds, "asks": list(item.fixturenames)}
        self._turn("")
        return answer

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        """What a fixture of several tests runs belongs to all that ask for it."""
        if fixturedef.scope != "function":
            self._turn(f"fixture {fixturedef.argname}")
        answer = yield
        if fixturedef.scope != "function":
            self._turn(self.now)
        return answer


def remembered(function, folder: Path):
    """A function whose answers are kept on disk, for child after child."""
    import numpy as np
    import pandas as pd

    def text(value) -> str:
        if isinstance(value, pd.DataFrame):
            return value.to_csv() + str(sorted(value.attrs.items()))
        if isinstance(value, np.ndarray):
            return hashlib.sha256(value.tobytes()).hexdigest() + str(value.shape)
        return repr(value)

    def asked(*args, **options):
        question = "\n".join([function.__qualname__, *map(text, args), repr(options)])
        file = folder / hashlib.sha256(question.encode()).hexdigest()
        if not file.exists():
            answer = function(*args, **options)
            file.write_bytes(pickle.dumps(list(answer) if hasattr(answer, "send") else answer))
        return pickle.loads(file.read_bytes())

    return asked


def load(module: str, source: str, kept: Path) -> None:
    """Import the package with this source in the module's place."""
    import skincnn

    name = f"skincnn.{module}"
    spec = importlib.util.find_spec(name)
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    setattr(skincnn, module, made)
    exec(compile(source, spec.origin, "exec"), made.__dict__)
    for other, function in KEPT.get(module, []):
        place = importlib.import_module(f"skincnn.{other}")
        setattr(place, function, remembered(getattr(place, function), kept))


def run(tests: list[str], scratch: Path, plugin: Watch) -> int:
    options = ["-x", "-q", "-p", "no:cacheprovider", f"--basetemp={scratch}", "--no-header"]
    return pytest.main([*options, "--rootdir", str(ROOT), *tests], plugins=[plugin])


def child(work, log: Path) -> int:
    """Do it in a forked process; its exit code, negative where a signal ended it."""
    number = os.fork()
    if not number:
        code = 70
        try:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(out, 1), os.dup2(out, 2)
            code = work()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(code)
    status = os.waitpid(number, 0)[1]
    with contextlib.suppress(ProcessLookupError):
        os.killpg(number, signal.SIGKILL)  # whatever it started and left
    return os.waitstatus_to_exitcode(status)


# --- one module ----------------------------------------------------------------------------------


def baseline(module: str, path: Path, files: list[str], scratch: Path) -> dict:
    """The unchanged module's tests: seconds of each, lines of each, and the libraries it took."""
    answer = scratch / "baseline.json"

    def work() -> int:
        import coverage

        measured = coverage.Coverage(include=[str(path)], data_file=None, config_file=False)
        measured.start()
        load(module, path.read_text(), scratch)
        watch = Watch(coverage=measured)
        code = run(files, scratch / "tests", watch)
        measured.stop()
        lines = measured.get_data().contexts_by_lineno(str(path))
        own = tuple(str(ROOT / folder) for folder in ("skincnn", "tests", "conftest.py"))
        files_of = {n: str(getattr(m, "__file__", None)) for n, m in sys.modules.items()}
        libraries = [name for name, file in files_of.items() if not file.startswith(own)]
        answer.write_text(json.dumps({"tests": watch.tests, "lines": lines, "lib": libraries}))
        return int(code)

    if code := child(work, scratch / "log"):
        raise SystemExit(f"{(scratch / 'log').read_text()[-3000:]}\ntests fail unchanged: {code}")
    return json.loads(answer.read_text())


def chosen(first: int, last: int, known: dict) -> list[str]:
    """The tests that run one of these lines, all where none is known to; quickest first."""
    tests, lines = known["tests"], known["lines"]

    def running(numbers) -> set[str]:
        contexts = {c for n in numbers for c in lines.get(str(n), [])}
        shared = {c.removeprefix("fixture ") for c in contexts if c.startswith("fixture ")}
        return {n for n, test in tests.items() if n in contexts or shared & {*test["asks"]}}

    of = running(range(first, last + 1))
    files = list(dict.fromkeys(name.split("::")[0] for name in tests))
    order = sorted(of or tests, key=lambda n: (files.index(n.split("::")[0]), tests[n]["seconds"]))
    return [str(ROOT / name) for name in order]


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    p, scale = hits / n, 1 + z**2 / n
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return (p + z**2 / (2 * n) - half) / scale, (p + z**2 / (2 * n) + half) / scale


def changed(before: str, after: str) -> str:
    """The lines that differ, in one."""
    old, new = before.splitlines(), after.splitlines()
    start = next(i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b)
    rest = zip(reversed(old[start:]), reversed(new[start:]), strict=False)
    end = next((i for i, (a, b) in enumerate(rest) if a != b), 0)
    sides = [" ".join(map(str.strip, s[start : len(s) - end])) for s in (old, new)]
    return f"{start + 1}: {sides[0]}\n          → {sides[1]}"


def measure(module: str, sample: int, seed: int, only: list[int]) -> None:
    path = ROOT / "skincnn" / f"{module}.py"
    source = path.read_text()
    files = [str(ROOT / "tests" / f"test_{name}.py") for name in TESTS[module]]
    every = mutations.every(source)
    numbers = list(range(len(every)))
    if sample and sample < len(every):
        numbers = sorted(random.Random(seed).sample(numbers, sample))
    numbers = only or numbers
    with tempfile.TemporaryDirectory(prefix="mutants") as folder:
        scratch = Path(folder)
        known = baseline(module, path, files, scratch)
        for name in known["lib"]:
            if name not in sys.modules:
                try:
                    __import__(name)
                except Exception:  # part of a library that is not meant to be asked for by name
                    continue

        def tried(code: str, first: int = 0, last: int = 0) -> int:
            def work() -> int:
                try:
                    load(module, code, scratch)
                except Exception:
                    return 1
                tests = chosen(first, last, known)
                return int(run(tests, scratch / "tests", Watch(known=known["tests"])))

            return child(work, scratch / "log")

        if code := tried(source):  # or every mutant would look killed
            said = (scratch / "log").read_text()[-3000:]
            raise SystemExit(f"{said}\ntests fail unchanged in a fork: {code}")
        print(f"{module}: {len(every)} mutants, {len(numbers)} tried", flush=True)
        outcomes = {}
        for number in numbers:
            first, last, make = every[number]
            code = make()
            outcomes[number] = tried(code, first, last)
            if outcomes[number] == 0:
                print(f"  {number:5d} survives {path.name}:{changed(source, code)}", flush=True)
            elif outcomes[number] not in (1, 2, -signal.SIGPROF, -signal.SIGALRM):
                said = (scratch / "log").read_text()[-600:]
                print(f"  {number:5d} ended with {outcomes[number]}: {said}", flush=True)
    alive, n = sum(code == 0 for code in outcomes.values()), len(outcomes)
    endless = sum(code in (-signal.SIGPROF, -signal.SIGALRM) for code in outcomes.values())
    text = f"{module}: {n - alive} of {n} killed ({endless} never ended): {(n - alive) / n:.1%}"
    if n < len(every) and not only:
        low, high = wilson(n - alive, n)
        text += f", a sample of {len(every)}: {low:.1%} to {high:.1%}"
    print(text, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("modules", nargs="*", help=f"of {', '.join(TESTS)}; default all")
    parser.add_argument("--sample", type=int, default=200, help="mutants a module; 0 for all")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--only", type=int, nargs="*", default=[], help="these numbers alone")
    asked = parser.parse_args()
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    for wanted in asked.modules or TESTS:
        measure(wanted, asked.sample, asked.seed, asked.only)
