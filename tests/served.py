"""A service as a user runs it: a process of its own, on a port of its own."""

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

COMMAND = [sys.executable, "-c", "from skincnn.cli import main; main()"]
ROOT = Path(__file__).resolve().parent.parent


class Served:
    """A running service: its address, its process, and what it has written to its log."""

    def __init__(self, process, address, log):
        self.process, self.address, self._log = process, address, log

    @property
    def log(self) -> str:
        return Path(self._log.name).read_text(encoding="utf-8")

    @property
    def memory(self) -> int:
        """Bytes in memory now."""
        import psutil

        return psutil.Process(self.process.pid).memory_info().rss


@contextlib.contextmanager
def serve(*words, **environment):
    """Run `skincnn serve WORDS` until the block is left."""
    home = {key: os.environ[key] for key in os.environ if not key.startswith(("AIP_", "SKINCNN_"))}
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    home |= {"PYTHONPATH": os.pathsep.join(paths), **environment}
    with tempfile.NamedTemporaryFile("w", suffix=".log") as log:
        process = subprocess.Popen(
            [*COMMAND, "serve", *map(str, words), *([] if "PORT" in home else ["--port", "0"])],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=home,
        )
        try:
            lines = []
            for line in process.stdout:
                lines.append(line)
                if " answers at " in line:
                    break
            else:
                raise RuntimeError("".join(lines) + Path(log.name).read_text(encoding="utf-8"))
            yield Served(process, lines[-1].split()[-1], log)
        finally:
            process.terminate()
            process.wait(20)
            process.stdout.close()
