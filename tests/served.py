"""A service as a user runs it: a process of its own, on a port of its own."""

import asyncio
import contextlib
import json
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
def serve(*words, limits=None, **environment):
    """Run `skincnn serve WORDS` until the block is left; with `limits`, a model in others."""
    home = {key: os.environ[key] for key in os.environ if not key.startswith(("AIP_", "SKINCNN_"))}
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    home |= {"PYTHONPATH": os.pathsep.join(paths), **environment}
    command = [*COMMAND, "serve", *map(str, words), *([] if "PORT" in home else ["--port", "0"])]
    if limits is not None:
        command = [sys.executable, __file__, *map(str, words), json.dumps(limits)]
    with tempfile.NamedTemporaryFile("w", suffix=".log") as log:
        process = subprocess.Popen(
            command,
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


def main(model: str, changed: str) -> None:
    from skincnn import listening, predictor, service
    from skincnn.limits import Limits

    limits = Limits(**json.loads(changed))
    app = service.create(predictor.load(model), service.Settings(limits=limits))

    def ready(address):
        print(f"it answers at {address}", flush=True)

    asyncio.run(listening.serve(app, "127.0.0.1", 0, limits, ready))


if __name__ == "__main__":
    main(*sys.argv[1:])
