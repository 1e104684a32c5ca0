"""Answers with places that the server fills in. match() compares an answer with a template and tells what stood in those places;
fill() makes an answer, for servers that are models themselves."""
import re
import uuid


class Hole:
    """A value that the server chooses. take: what to remember of it, None when it is not acceptable. make: such a value."""

    def __init__(self, name, take, make):
        self.name, self.take, self.make = name, take, make

    def __repr__(self):
        return f"<{self.name}>"


class Derived:
    """A value that follows from what the server chose elsewhere in the same answer."""

    def __init__(self, of):
        self.of = of


class Unordered(list):
    """A list whose order means nothing. key: what tells its elements apart."""

    def __init__(self, items, key=lambda x: x):
        super().__init__(sorted(items, key=key))
        self.key = key


def text(name, pattern, make):
    def take(value):
        m = isinstance(value, str) and re.fullmatch(pattern, value)
        if not m:
            return None
        return m[1] if m.re.groups else value
    return Hole(name, take, make)


def now(clock):
    """A time in seconds between the start and the end of the request, and the seconds around them."""
    def take(value):
        start, end = clock()
        return value if type(value) is int and start - 1 <= value <= end + 1 else None
    return Hole("now", take, lambda: int(clock()[1]))


def new_id():
    return uuid.uuid4().hex


def same(a, b):
    return type(a) is type(b) and a == b


def match(template, actual, bound, at="answer"):
    """Differences as text; bound gets the values of the holes."""
    later = []
    bad = list(differences(template, actual, bound, later, at))
    if not bad:
        for derived, value, where in later:
            if not same(derived.of(bound), value):
                bad.append(f"{where} is {value!r}, not {derived.of(bound)!r}")
    return bad


def differences(template, actual, bound, later, at):
    if isinstance(template, Hole):
        value = template.take(actual)
        if value is None:
            yield f"{at} is {actual!r}, not {template!r}"
        elif bound.setdefault(template.name, value) != value:
            yield f"{at} is {value!r}, and {bound[template.name]!r} elsewhere"
    elif isinstance(template, Derived):
        later.append((template, actual, at))
    elif isinstance(template, dict):
        if not isinstance(actual, dict) or template.keys() != actual.keys():
            yield f"{at} is {shorten(actual)}, not {shorten(template)}"
            return
        for k, v in template.items():
            yield from differences(v, actual[k], bound, later, f"{at}.{k}")
    elif isinstance(template, list):
        if not isinstance(actual, list) or len(actual) != len(template):
            yield f"{at} is {shorten(actual)}, not {shorten(template)}"
            return
        if isinstance(template, Unordered):
            try:
                actual = sorted(actual, key=template.key)
            except (KeyError, TypeError):
                yield f"{at} is {shorten(actual)}, not {shorten(template)}"
                return
        for i, v in enumerate(template):
            yield from differences(v, actual[i], bound, later, f"{at}[{i}]")
    elif not same(template, actual):
        yield f"{at} is {shorten(actual)}, not {shorten(template)}"


def shorten(value):
    t = repr(value)
    return t if len(t) < 300 else t[:300] + "…"


def fill(template, bound):
    """The template with every hole filled; bound gets the values as match() would find them."""
    later = []

    def walk(t):
        if isinstance(t, Hole):
            if t.name == "now" and "now" in bound:
                return bound["now"]
            value = t.make()
            bound[t.name] = t.take(value)
            return value
        if isinstance(t, Derived):
            later.append(t)
            return t
        if isinstance(t, dict):
            return {k: walk(v) for k, v in t.items()}
        if isinstance(t, list):
            return [walk(v) for v in t]
        return t
    doc = walk(template)

    def finish(t):
        if isinstance(t, Derived):
            return t.of(bound)
        if isinstance(t, dict):
            return {k: finish(v) for k, v in t.items()}
        return [finish(v) for v in t] if isinstance(t, list) else t
    return finish(doc)
