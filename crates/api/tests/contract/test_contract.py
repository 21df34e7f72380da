"""Whatever is sent, documented or not, the answer is a documented one.

    python test_contract.py --cases 500 --seeds 1,2,3
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

import service

HERE = pathlib.Path(__file__).resolve().parent
TOOLS = pathlib.Path(sys.executable).parent


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=500, help="cases of each operation, for each seed")
    parser.add_argument("--seeds", default="1,2,3")
    given = parser.parse_args()
    with service.running() as address:
        document = f"{address}/openapi.json"
        lint(document)
        failed = [seed for seed in given.seeds.split(",") if not clean(document, given.cases, seed)]
    if failed:
        sys.exit(f"the service breaks its contract, by the seeds {', '.join(failed)}")


def lint(document):
    """The document is one of OpenAPI, in every part."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        file.write(urllib.request.urlopen(document).read())
        file.flush()
        subprocess.run([TOOLS / "openapi-spec-validator", "--subschema-errors", "all", file.name], check=True)


def clean(document, cases, seed):
    """All checks, data that is allowed and data that is not."""
    command = [
        *(TOOLS / "schemathesis", "--config-file", HERE / "schemathesis.toml", "run", document),
        *("--checks", "all", "--mode", "all", "--phases", "examples,coverage,fuzzing,stateful"),
        *("--max-examples", str(cases), "--seed", seed, "--generation-database", "none"),
        *("--suppress-health-check", "filter_too_much,too_slow", "--no-color"),
    ]
    print(f"== seed {seed}, {cases} cases of each operation", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            "PATH": "/usr/bin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "SCHEMATHESIS_HOOKS": str(HERE / "hooks.py"),
        }
        return subprocess.run(command, env=environment, cwd=folder).returncode == 0


if __name__ == "__main__":
    main()
