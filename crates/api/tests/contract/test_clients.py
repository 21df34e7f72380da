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
import urllib.parse
import urllib.request

import pandas

import service

TOOLS = pathlib.Path(sys.executable).parent

def main():
    with service.running() as address, tempfile.TemporaryDirectory() as folder:
        document = json.load(urllib.request.urlopen(f"{address}/openapi.json"))
        arguments = what_exists(address)
        read_by_a_generated_client(address, document, arguments, pathlib.Path(folder))
        read_by_pandas(address, document, arguments)
    print("every route was read by a generated client and by pandas")


def what_exists(address):
    """What each route needs to be asked about something that there is, from the service itself."""
    def first(path, member):
        return [row[member] for row in json.load(urllib.request.urlopen(address + path))["data"]]

    runs = first("/runs", "run_id")
    return {
        "/assets/{id}": {"id": "bitcoin"},
        "/assets/{id}/history": {"id": "bitcoin"},
        "/data/{crypto_id}": {"crypto_id": "btc-bitcoin"},
        "/lineage/{id}": {"id": first("/data?limit=1", "id")[0]},
        "/problems/{code}": {"code": "invalid_parameter"},
        "/runs/{id}": {"id": runs[0]},
        "/runs/compare": {"a": runs[1], "b": runs[0]},
    }


def read_by_a_generated_client(address, document, arguments, folder):
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
    needed = {item["get"]["operationId"]: arguments.get(path, {}) for path, item in document["paths"].items()}
    assert {name_of(function) for function in functions} == set(needed), "a function for each operation"
    settings = {"base_url": address, "raise_on_unexpected_status": True}
    with package.Client(**settings) as client:
        for function in functions:
            check(function, function.sync_detailed(client=client, **typed(function, needed)))
    asyncio.run(read_at_once(package.Client(**settings), functions, needed))


async def read_at_once(client, functions, needed):
    async with client:
        calls = (function.asyncio_detailed(client=client, **typed(function, needed)) for function in functions)
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


def name_of(function):
    """The id of the operation: names that Python has itself get an underscore."""
    return function.__name__.rsplit(".", 1)[1].rstrip("_")


def typed(function, needed):
    """The arguments; one that takes one of a few words has a generated type."""
    parameters = inspect.signature(function.sync_detailed).parameters

    def value(name, text):
        annotation = parameters[name].annotation
        return annotation(text) if isinstance(annotation, type) else text

    return {name: value(name, text) for name, text in needed[name_of(function)].items()}


def read_by_pandas(address, document, arguments):
    """read_json takes every JSON answer, read_csv every CSV one."""
    for path, item in document["paths"].items():
        given = dict(arguments.get(path, {}))
        for name in list(given):
            if "{" + name + "}" in path:
                path = path.replace("{" + name + "}", urllib.parse.quote(given.pop(name), safe=""))
        url = address + path + ("?" + urllib.parse.urlencode(given) if given else "")
        content = item["get"]["responses"]["200"].get("content", {})
        if "application/json" in content:
            if path == "/data/export":
                # Supplies of more than 64 bits exist, and pandas refuses the whole text for one; read_csv takes them all.
                url += "?fields=crypto_id,symbol,price_usd,market_cap_usd,observed_at"
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
