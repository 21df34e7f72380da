"""A service with data: the simulator plays both APIs, the loader loads once, the service serves on a free port.

BIN names the folder of the programs, KASPARRO_TEST_CLUSTER_DIR the throwaway server (kasparro-localpg scratch).
"""

import contextlib
import os
import pathlib
import subprocess
import sys
import threading

BIN = pathlib.Path(os.environ.get("BIN", "target/debug")).resolve()
QUIET = {"RUST_LOG": "warn,kasparro_api::serve=info"}


@contextlib.contextmanager
def program(name, *arguments, **variables):
    """Runs a program of the workspace, without the developer's settings, until the end of the block."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    process = subprocess.Popen(
        [BIN / name, *arguments],
        env={**kept, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def line_with(process, text):
    """Reads until a line has the text, and the rest in the background: a full pipe would stop the program."""
    for line in process.stdout:
        if text in line:
            threading.Thread(target=forward, args=(process.stdout,), daemon=True).start()
            return line.strip()
    sys.exit(f"{process.args[0]} ended without saying {text!r}")


def forward(lines):
    for line in lines:
        if "ERROR" in line or "a bug" in line:
            print(line, end="", file=sys.stderr)


def finish(name, *arguments, **variables):
    """Runs a program to its end, which has to be a good one."""
    with program(name, *arguments, **variables) as process:
        said = process.stdout.read()
        if process.wait() != 0:
            sys.exit(f"{name} {' '.join(arguments)} ended with {process.returncode}:\n{said}")


def new_database():
    """The address of a database in the throwaway server."""
    server = ("--directory", os.environ["KASPARRO_TEST_CLUSTER_DIR"], "--database", f"contract_{os.getpid()}")
    made = subprocess.run([BIN / "kasparro-localpg", "start", *server], stdout=subprocess.PIPE, text=True, check=True)
    return made.stdout.strip()


@contextlib.contextmanager
def running():
    """The address of a service that has data."""
    database = {"DATABASE_URL": new_database()}
    with program("kasparro-simulator", "--coins", "60") as simulator:
        urls = {}
        while len(urls) < 2:
            key, value = simulator.stdout.readline().strip().split("=", 1)
            urls[key] = value
        threading.Thread(target=forward, args=(simulator.stdout,), daemon=True).start()
        sample = pathlib.Path(__file__).resolve().parents[4] / "data" / "crypto_sample.csv"
        finish("kasparro-etl", "migrate", **database)
        # Twice, so that there are launches to compare.
        for _ in range(2):
            finish("kasparro-etl", "run", CSV_FILE_PATH=str(sample), **database, **urls)
    arguments = ("--bind", "127.0.0.1", "--port", "0", "--metrics-port", "off")
    with program("kasparro-api", *arguments, **database, **QUIET) as service:
        line = line_with(service, "serving http://")
        address = line.split("serving ", 1)[1].split("/ ", 1)[0]
        yield address
        if service.poll() is not None:
            sys.exit(f"the service ended by itself: {service.returncode}")
