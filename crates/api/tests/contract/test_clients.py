"""Clients that know nothing of the service but its address read every route.

    python test_clients.py
"""

import asyncio
import importlib
import inspect
import io
import json
import pathlib
import pkgutil
import subprocess
import sys
import tempfile
import urllib.request

import pandas

import service

TOOLS = pathlib.Path(sys.executable).parent

# What a route needs to be asked about something that exists.
ARGUMENTS = {"crypto_id": "btc-bitcoin", "code": "invalid_parameter"}


def main():
    with service.running() as address, tempfile.TemporaryDirectory() as folder:
        document = json.load(urllib.request.urlopen(f"{address}/openapi.json"))
        read_by_a_generated_client(address, document, pathlib.Path(folder))
        read_by_pandas(address, document)
    print("every route was read by a generated client and by pandas")


def read_by_a_generated_client(address, document, folder):
    """openapi-python-client makes a package of the document; each of its functions is called."""
    path = folder / "openapi.json"
    path.write_text(json.dumps(document))
    generate = [TOOLS / "openapi-python-client", "generate", "--path", path, "--meta", "none"]
    made = subprocess.run(
        [*generate, "--output-path", folder / "kasparro_client", "--fail-on-warning"],
        capture_output=True,
        text=True,
        env={"PATH": f"{TOOLS}:/usr/bin:/bin", "HOME": str(folder)},
    )
    assert made.returncode == 0, made.stdout + made.stderr
    sys.path.insert(0, str(folder))
    package = importlib.import_module("kasparro_client")
    functions = [module for module in modules(importlib.import_module("kasparro_client.api"))]
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len(functions) == len(operations), f"{len(functions)} functions for {len(operations)} operations"
    settings = {"base_url": address, "raise_on_unexpected_status": True}
    with package.Client(**settings) as client:
        for function in functions:
            check(function, function.sync_detailed(client=client, **needed_by(function)))
    asyncio.run(read_at_once(package.Client(**settings), functions))


async def read_at_once(client, functions):
    async with client:
        calls = (function.asyncio_detailed(client=client, **needed_by(function)) for function in functions)
        for function, response in zip(functions, await asyncio.gather(*calls)):
            check(function, response)


def check(function, response):
    assert response.status_code == 200, (function.__name__, response)
    assert response.parsed is not None, (function.__name__, response)


def modules(api):
    for module in pkgutil.walk_packages(api.__path__, "kasparro_client.api."):
        functions = importlib.import_module(module.name)
        if hasattr(functions, "sync_detailed"):
            yield functions


def needed_by(function):
    """The parameters that have to be given."""
    parameters = inspect.signature(function.sync_detailed).parameters.items()
    needed = [(name, p) for name, p in parameters if name != "client" and p.default is inspect.Parameter.empty]
    return {name: typed(parameter.annotation, ARGUMENTS[name]) for name, parameter in needed}


def typed(annotation, value):
    """The generated type of a parameter that takes one of a few words."""
    return annotation(value) if isinstance(annotation, type) else value


def read_by_pandas(address, document):
    """read_json takes every JSON answer, read_csv every CSV one."""
    for path, item in document["paths"].items():
        url = address + path
        for name, value in ARGUMENTS.items():
            url = url.replace("{" + name + "}", value)
        content = item["get"]["responses"]["200"].get("content", {})
        if "application/json" in content:
            frame = pandas.read_json(url, typ="series" if is_object(url) else "frame")
            assert len(frame) > 0, url
        if "application/x-ndjson" in content:
            assert len(pandas.read_json(with_format(url, "ndjson"), lines=True)) > 0, url
        if "text/csv" in content:
            frame = pandas.read_csv(with_format(url, "csv"), dtype=str, keep_default_na=False)
            assert len(frame) > 0 and list(frame.columns), url


def is_object(url):
    return isinstance(json.load(io.TextIOWrapper(urllib.request.urlopen(url))), dict)


def with_format(url, name):
    return f"{url}{'&' if '?' in url else '?'}format={name}"


if __name__ == "__main__":
    main()
