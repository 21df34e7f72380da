"""What a schema cannot say: rules between parameters, and that a cursor comes from a page.

`positive_data_acceptance` lets 422 pass (schemathesis.toml), and this check takes its place for them: a request that
the schema allows may be refused only for one of these rules, and only if the request does break it.
"""

from decimal import Decimal

import schemathesis

NARROWING = ("crypto_id", "symbol")


@schemathesis.check
def refused_for_a_documented_rule(ctx, response, case):
    positive = case.meta is not None and case.meta.generation.mode.is_positive
    if not positive or response.status_code != 422:
        return None
    query = {name: as_sent(value) for name, value in (case.query or {}).items()}
    for error in response.json()["errors"]:
        if not breaks_a_rule(error["parameter"], query):
            raise AssertionError(f"valid data is refused: {error}, sent {query}")
    return None


def as_sent(value):
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def breaks_a_rule(name, query):
    if name not in query:
        return False
    if name == "cursor":
        # No page of the service has handed out what was made up.
        return True
    if name == "offset":
        return "cursor" in query
    if name == "b":
        return query.get("a") == query["b"]
    kind, _, amount = name.partition("_")
    if kind in ("min", "max", "from", "to"):
        narrowed = any(other in query for other in NARROWING) or query.get("latest") == "true"
        return not narrowed or above(query, f"min_{amount}", f"max_{amount}", Decimal) or above(query, "from", "to", str)
    return False


def above(query, least, most, read):
    if least not in query or most not in query:
        return False
    # Texts of times are not compared: they may have any offset. That there are two of them is what counts.
    return read is str or read(query[least]) > read(query[most])
