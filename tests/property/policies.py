"""Policies that tests send: of release, with what the pool makes of them, and of rotation."""
import json

from parts import b64u

AUTHORITY = "https://attestation.example"
CLAIM = {"claim": "x-ms-attestation-type", "equals": "sevsnpvm"}


def canonical(policy):
    return b64u(json.dumps(policy, sort_keys=True, separators=(",", ":")).encode())


# name -> (what is sent, what is shown; None: refused)
RELEASE = {}
for name, document, spaces in (
        ("one", {"version": "1.0.0", "anyOf": [{"authority": AUTHORITY, "allOf": [CLAIM]}]}, True),
        ("two", {"anyOf": [{"authority": AUTHORITY, "anyOf": [CLAIM, {"claim": "a.b", "equals": True}]}], "version": "1.0.0"}, False)):
    RELEASE[name] = (b64u(json.dumps(document, indent=1 if spaces else None).encode()), canonical(document))
RELEASE["without version"] = (b64u(json.dumps({"anyOf": [{"authority": AUTHORITY, "allOf": [CLAIM]}]}).encode()), None)

# name -> (timeAfterCreate, expiryTime, days of expiryTime; None: refused)
ROTATION = {
    "yearly": ("P365D", None, 0), "with end": ("P90D", "P180D", 180), "soon": ("P28D", "P28D", 28), "only end": (None, "P90D", 90),
    "too soon": ("P27D", None, None), "ends too soon": ("P90D", "P27D", None), "no duration": ("90 days", None, None),
}
