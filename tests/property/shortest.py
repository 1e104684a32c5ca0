"""The shortest form of a sequence that ends in a difference: no step can be left out, and no argument made simpler."""

SIMPLER = {"who": "alice", "back": "alice", "tags": None, "ops": None, "enabled": None, "exportable": None, "window": {},
           "version": None, "size": None, "crv": None, "damage": None, "other": None, "between": None, "immutable": None, "first": None, "rotate": False, "iv": None, "aad": None, "named": False,
           "at_scope": False, "without": 0, "name": 0, "slot": 0, "role": 0, "box": 0, "scope": "/"}


def replay(machine, trace):
    """The machine after these steps, and the exception that ended it, or None."""
    m = machine()
    error = None
    try:
        m.first_roles()
        for name, arguments in trace:
            f = getattr(m, name)
            if f.when(m):
                f(**arguments)
    except Exception as e:  # whatever it is, it is what we look for
        error = e
    try:
        m.teardown()
    except Exception as e:
        error = error or e
    return m, error


def without_pieces(trace, size, fails):
    """The trace without those pieces of this size that it does not need."""
    at = 0
    while at < len(trace):
        candidate = trace[:at] + trace[at + size:]
        if fails(candidate):
            trace = candidate
        else:
            at += size
    return trace


def shorten(machine, trace):
    """A trace whose steps are all needed, and end in the same kind of exception."""
    kind = type(replay(machine, trace)[1])

    def fails(candidate):
        return kind is not type(None) and isinstance(replay(machine, candidate)[1], kind)
    before = None
    while trace != before:
        before = trace
        size = max(1, len(trace) // 2)
        while size:
            trace = without_pieces(trace, size, fails)
            size //= 2
    for i, (name, arguments) in enumerate(trace):
        for k in arguments:
            simple = {**arguments, k: SIMPLER.get(k, arguments[k])}
            different_type = isinstance(arguments[k], str) != isinstance(simple[k], str) and k in ("name", "role")
            if simple[k] != arguments[k] and not different_type and fails([*trace[:i], (name, simple), *trace[i + 1:]]):
                arguments = simple
                trace = [*trace[:i], (name, simple), *trace[i + 1:]]
    return trace
