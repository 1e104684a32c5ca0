"""Answers of a pool against docs/openapi.yaml: status, headers and body. keyhold.Pool.call() uses it for every answer, so all
tests that speak REST keep the description true."""
import functools
import json
import pathlib
import re
import urllib.parse

import jsonschema
import yaml

FILE = pathlib.Path(__file__).resolve().parent.parent / "docs/openapi.yaml"
METHODS = ("get", "put", "post", "patch", "delete")
# What a body has wherever it fails, before or after an operation is known.
UNKNOWN_PLACE = {400: "BadRequest", 401: "Unauthorized", 404: "NotFound", 405: "BadRequest", 408: "RequestTimeout",
                 413: "TooLarge", 421: "Misdirected", 429: "Throttled", 431: "HeadTooLarge", 503: "Unavailable"}


class Operation:
    def __init__(self, method, path, spec):
        self.method, self.path, self.spec = method, path, spec
        self.id = spec["operationId"]
        self.status = spec.get("x-keyhold-status", "done")
        self.segments = [s if s.startswith("{") else s.lower() for s in path.strip("/").split("/")]
        self.responses = {int(code): r["$ref"].rsplit("/", 1)[1] for code, r in spec["responses"].items()}
        assert (501 in self.responses) == (self.status != "done"), (self.id, self.status)

    def matches(self, segments):
        return len(segments) == len(self.segments) and all(
            want.startswith("{") or want == got.lower() for want, got in zip(self.segments, segments))

    def literals(self):
        return sum(not s.startswith("{") for s in self.segments)


class Description:
    def __init__(self, path=FILE):
        self.doc = yaml.safe_load(path.read_text())
        self.operations = [Operation(m.upper(), p, item[m]) for p, item in self.doc["paths"].items()
                           for m in METHODS if m in item]
        self.by_id = {o.id: o for o in self.operations}
        assert len(self.by_id) == len(self.operations), "an operationId is there twice"

    def find(self, method, path):
        """The operation of a path as it was sent, or None."""
        segments = [s for s in urllib.parse.unquote(path.split("?")[0]).split("/") if s]
        found = [o for o in self.operations if o.method == method and o.matches(segments)]
        return max(found, key=Operation.literals, default=None)

    @functools.cache
    def validator(self, name):
        """Of a schema, by its name below components."""
        doc = {"$ref": f"#/components/{name}", "components": self.doc["components"]}
        return jsonschema.Draft202012Validator(doc)

    def response(self, name):
        return self.doc["components"]["responses"][name]

    def errors(self, method, path, status, headers, body):
        """What is wrong with an answer, as a list of sentences."""
        op = self.find(method, path)
        where = f"docs/openapi.yaml: {method} {op.path if op else path}: {status}"
        name = (op.responses if op and status != 405 else UNKNOWN_PLACE).get(status)
        if name is None:
            return [f"{where} is not described: {body[:200]!r}"]
        return [f"{where}: {text}" for text in (*self.header_errors(name, headers),
                                                *self.body_errors(name, method, status, headers, body))]

    def header_errors(self, name, headers):
        for header, spec in self.response(name).get("headers", {}).items():
            schema = "headers/" + spec["$ref"].rsplit("/", 1)[1] + "/schema"
            if header not in headers:
                yield f"header {header} is missing"
            elif not self.validator(schema).is_valid(headers[header]):
                yield f"header {header} is {headers[header]!r}"

    def body_errors(self, name, method, status, headers, body):
        if status == 401 and body in (b"OK", b""):
            if body != (b"OK" if method == "GET" else b""):
                yield f"body {body!r} of a challenge"
            return
        if status == 204 or method == "HEAD":
            if body:
                yield f"there is a body: {body[:200]!r}"
            return
        if headers.get("content-type") != "application/json; charset=utf-8":
            yield f"content-type is {headers.get('content-type')!r}"
        try:
            doc = json.loads(body)
        except ValueError:
            yield f"no JSON: {body[:200]!r}"
            return
        content = self.response(name).get("content")
        schema = content["application/json"]["schema"]["$ref"].rsplit("/", 1)[1] if content else "Error"
        for e in self.validator("schemas/" + schema).iter_errors(doc):
            best = jsonschema.exceptions.best_match([e])
            yield f"at {'/'.join(map(str, best.absolute_path)) or 'top'}: {best.message[:300]}"
        if status >= 400 and not re.search(rf"\(Activity ID: {re.escape(headers['x-ms-request-id'])}\)$",
                                           doc["error"]["message"]):
            yield "the message does not end with the request id"


@functools.cache
def description():
    return Description()


def check(method, path, response):
    """Of requests.Response; raises AssertionError."""
    bad = description().errors(method, path, response.status_code, response.headers, response.content)
    assert not bad, "\n".join(bad)
