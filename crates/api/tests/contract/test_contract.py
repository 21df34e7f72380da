"""Whatever is sent, documented or not, the answer is a documented one.

    python test_contract.py --cases 500 --seeds 1,2,3
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

import referencing
import referencing.jsonschema
from openapi_schema_validator import OAS31Validator

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
    """The document is one of OpenAPI, in every part, and its examples are what it says itself."""
    text = urllib.request.urlopen(document).read()
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        file.write(text)
        file.flush()
        subprocess.run([TOOLS / "openapi-spec-validator", "--subschema-errors", "all", file.name], check=True)
    check_examples(json.loads(text))


def check_examples(document):
    """Every example, of a schema or of what a schema describes, is valid by that schema."""
    resource = referencing.Resource(document, referencing.jsonschema.DRAFT202012)
    registry = referencing.Registry().with_resource("urn:document", resource)
    checked = 0
    for pointer, schema, example in examples(document, ""):
        validator = OAS31Validator({"$ref": f"urn:document#{pointer}"}, registry=registry)
        wrong = [error.message for error in validator.iter_errors(example)]
        if wrong:
            sys.exit(f"the example at {schema} is not valid: {wrong}")
        checked += 1
    print(f"{checked} examples are valid")


def examples(node, pointer):
    """Pointer of the schema, place, and example, of all below a node."""
    if isinstance(node, list):
        for number, item in enumerate(node):
            yield from examples(item, f"{pointer}/{number}")
    if not isinstance(node, dict):
        return
    if "example" in node:
        # Of a parameter or a body: its schema is beside it. Else it is the schema itself.
        yield pointer + ("/schema" if "schema" in node else ""), pointer, node["example"]
    if "examples" in node and "schema" in node:
        for recorded in node["examples"].values():
            yield f"{pointer}/schema", pointer, recorded["value"]
    for key, value in node.items():
        if key not in ("example", "examples", "default", "enum"):
            yield from examples(value, f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}")


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
