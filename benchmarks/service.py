"""Photographs a second and latency of the service, of a plain one, and of a loop with no server.

    python benchmarks/service.py RUN [--photographs FOLDER] [--requests 400] [--rounds 3]

RUN is a trained run's folder. The plain service is FastAPI with Keras's `model.predict` a request;
the loop is ONNX Runtime on the same files, decoding included, one after the other. All decode with
the same decoder and send the same photographs, one a request. They take turns, 1, 8 and 32 clients
each; told are medians over the rounds, with ratios taken within a round. Clients share the
machine's cores with the services.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import clients
import numpy as np
from rows import row

CLIENTS = (1, 8, 32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--photographs", type=Path, default=Path("data/sample/Test"))
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plain", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--loop", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.loop:
        files = clients.photographs(asked.photographs)
        print(json.dumps(loop(asked.run / f"{asked.run.name}.onnx", files, asked.requests)))
        return
    if asked.plain:
        plain(asked.run)
        return
    from skincnn import export, runs

    model = asked.run / f"{asked.run.name}.onnx"
    if not model.is_file():
        export.write(runs.Run(asked.run), "onnx", model)
    files = clients.photographs(asked.photographs)
    found = {}  # (way, clients): rates, p50, p99 by round
    memory = {}
    ours = clients.served(model)
    theirs = [sys.executable, __file__, str(asked.run), "--plain"]
    for turn in range(asked.rounds):
        for way, command, path in (
            ("service", ours, "/api/classify"),
            ("plain", theirs, "/predict"),
        ):
            requests = [clients.upload(file, path) for file in files]
            with clients.running(command) as (address, pid):
                held = clients.Memory(pid)
                asyncio.run(clients.load(address, requests, 2, 20))  # warm
                for number in CLIENTS:
                    told = asyncio.run(clients.load(address, requests, number, asked.requests))
                    found.setdefault((way, number), []).append(told)
                time.sleep(4)
                memory.setdefault(way, []).append((held.first, held.most, held.now))
        words = [str(asked.run), "--photographs", str(asked.photographs)]
        words = [sys.executable, __file__, *words, "--requests", str(asked.requests), "--loop"]
        said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        found.setdefault(("loop", 1), []).append(json.loads(said))
        print(f"round {turn + 1} of {asked.rounds}", file=sys.stderr)
    tell(found, memory)


def plain(folder: Path) -> None:
    """What many would write: a photograph a request, a call of the network each."""
    import socket

    import uvicorn
    from fastapi import FastAPI, UploadFile

    from skincnn import images, runs, views

    run = runs.Run(folder)
    size, settings, model = run.config.image_size, run.config, run.model
    app = FastAPI()

    @app.post("/predict")
    def predict(photographs: UploadFile):
        pixels = images.resize(images.decode(photographs.file.read()), size)
        found = views.probabilities(
            lambda batch: model.predict(batch, verbose=0), pixels[None], settings.views, 32
        )
        return dict(zip(run.classes, np.asarray(found)[0].tolist(), strict=True))

    # Named, or asyncio lets answers wait for acknowledgements, 40 ms each.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    print(f"plain answers at http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    server.run(sockets=[listener])


def loop(model: Path, files: list[bytes], total: int) -> dict:
    """One after the other, memory kept as the service keeps it."""
    from skincnn import listening, predictor

    listening.give_memory_back()
    network, seconds = predictor.load(model), []
    for file in files[:10]:
        network.photograph(file)
    began = time.perf_counter()
    for number in range(total):
        start = time.perf_counter()
        network.photograph(files[number % len(files)])
        seconds.append(time.perf_counter() - start)
    cuts = statistics.quantiles(seconds, n=100)
    rate = total / (time.perf_counter() - began)
    return {"rate": rate, "p50": 1000 * cuts[49], "p99": 1000 * cuts[98]}


def tell(found: dict, memory: dict) -> None:
    def median(way, number, what):
        return statistics.median(told[what] for told in found[way, number])

    print("way      clients  photographs/s  p50 ms  p99 ms  to plain  to the loop")
    for way, number in found:
        told = [median(way, number, what) for what in ("rate", "p50", "p99")]
        ratios = {}
        for other, theirs in (("plain", number), ("loop", 1)):
            pairs = zip(found[way, number], found.get((other, theirs), []), strict=False)
            ratios[other] = [one["rate"] / two["rate"] for one, two in pairs]
            of = statistics.median(ratios[other]) if ratios[other] and way != other else np.nan
            told.append(of)
        print(f"{way:8} {number:7} {told[0]:14.1f} {told[1]:7.1f} {told[2]:7.1f}", end=" ")
        print(f"{told[3]:9.2f} {told[4]:12.2f}")
        if way == "service":
            rate = f"{told[0]:.0f}/s, p99 {told[2]:.0f} ms"
            for other, theirs, name in (
                ("plain", number, "FastAPI and `model.predict`"),
                ("loop", 1, "ONNX Runtime in a loop, no server"),
            ):
                against = f"{median(other, theirs, 'rate'):.0f}/s: {name}"
                row(f"service, {number} clients", rate, against, ratios[other])
    for way, rounds in memory.items():
        first, most, last = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"{way}: {first:.0f} MB before, {most:.0f} at most, {last:.0f} after")


if __name__ == "__main__":
    main()
