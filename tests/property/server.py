"""Two things that answer the operations of the model: a running pool over HTTPS, and a model that fills its own templates."""
import json
import urllib.parse

from model import Model
from model_roles import AUTHZ, DEFINITION_ID
from parts import b64u
from policies import RELEASE, ROTATION
from template import fill
from test_roles_matrix import PREFIX

SETTING = "AllowKeyManagementOperationsThroughARM"


def given(**members):
    return {k: v for k, v in members.items() if v is not None}


def key_body(a):
    """Members that create, import and update share."""
    attributes = given(enabled=a.get("enabled"), nbf=a.get("nbf"), exp=a.get("exp"), exportable=a.get("exportable"))
    policy = given(data=RELEASE[a["release"]][0] if a.get("release") else None, immutable=a.get("immutable"))
    return given(attributes=attributes or None, tags=a.get("tags"), release_policy=policy or None)


def rotation_body(a):
    if a["policy"] is None:
        return {"attributes": {}, "lifetimeActions": []}
    after, expiry, _ = ROTATION[a["policy"]]
    actions = [{"trigger": {"timeAfterCreate": after}, "action": {"type": "Rotate"}}] if after else []
    return {"attributes": given(expiryTime=expiry), "lifetimeActions": actions}


def crypto(op, a):
    body = {k: b64u(v) if isinstance(v, bytes) else v for k, v in a.items() if k not in ("name", "version") and v is not None}
    if "plain" in body:
        body["value"] = body.pop("plain")
    if op == "sign":
        body["value"] = body.pop("digest")
    at = f"/keys/{a['name']}" + (f"/{a['version']}" if a.get("version") else "")
    path = {"wrap": "wrapkey", "unwrap": "unwrapkey"}.get(op, op)
    return "POST", f"{at}/{path}", body


def page(path, a):
    return "GET", path + (f"?maxresults={a['size']}" if a.get("size") else ""), None


def scoped(a, kind):
    prefix = "" if a["scope"] == "/" else a["scope"]
    return f"{prefix}{AUTHZ}/{kind}" + (f"/{a['guid']}" if "guid" in a else "")


def definition_body(a):
    permissions = None if a.get("actions") is None else [given(
        dataActions=[PREFIX + x for x in a["actions"]],
        notDataActions=None if a.get("not_actions") is None else [PREFIX + x for x in a["not_actions"]])]
    return {"properties": given(roleName=a.get("name"), description=a.get("description"), permissions=permissions)}


def filtered(a):
    f = "atScope()" if a.get("at_scope") else f"principalId eq '{a['principal']}'" if a.get("principal") else None
    return scoped(a, "roleAssignments") + (f"?$filter={urllib.parse.quote(f)}" if f else "")


REQUESTS = {
    "create": lambda a: ("POST", f"/keys/{a['name']}/create", {**given(kty=a["kty"], crv=a.get("crv"), key_size=a.get("size"),
                                                                      key_ops=a.get("ops")), **key_body(a)}),
    "import_key": lambda a: ("PUT", f"/keys/{a['name']}", {
        "key": {"kty": a["jwk"].kty, **a["jwk"].jwk, **given(key_ops=a.get("ops"))}, **key_body(a)}),
    "update": lambda a: ("PATCH", f"/keys/{a['name']}/{a.get('version') or ''}", {**given(key_ops=a.get("ops")), **key_body(a)}),
    "get": lambda a: ("GET", f"/keys/{a['name']}/{a.get('version') or ''}", None),
    "list_keys": lambda a: page("/keys", a), "list_deleted": lambda a: page("/deletedkeys", a),
    "list_versions": lambda a: page(f"/keys/{a['name']}/versions", a),
    "delete": lambda a: ("DELETE", f"/keys/{a['name']}", None),
    "get_deleted": lambda a: ("GET", f"/deletedkeys/{a['name']}", None),
    "recover": lambda a: ("POST", f"/deletedkeys/{a['name']}/recover", None),
    "purge": lambda a: ("DELETE", f"/deletedkeys/{a['name']}", None),
    **{op: lambda a, op=op: crypto(op, a) for op in ("encrypt", "decrypt", "wrap", "unwrap", "sign", "verify")},
    "get_policy": lambda a: ("GET", f"/keys/{a['name']}/rotationpolicy", None),
    "put_policy": lambda a: ("PUT", f"/keys/{a['name']}/rotationpolicy", rotation_body(a)),
    "rotate": lambda a: ("POST", f"/keys/{a['name']}/rotate", None),
    "backup": lambda a: ("POST", f"/keys/{a['name']}/backup", None),
    "restore": lambda a: ("POST", "/keys/restore", {"value": a["value"]}),
    "rng": lambda a: ("POST", "/rng", {"count": a["count"]}),
    "get_settings": lambda a: ("GET", "/settings", None),
    "put_setting": lambda a: ("PATCH", f"/settings/{SETTING}", {"value": a["value"]}),
    "list_definitions": lambda a: ("GET", scoped(a, "roleDefinitions"), None),
    "get_definition": lambda a: ("GET", scoped(a, "roleDefinitions"), None),
    "put_definition": lambda a: ("PUT", scoped(a, "roleDefinitions"), definition_body(a)),
    "delete_definition": lambda a: ("DELETE", scoped(a, "roleDefinitions"), None),
    "list_assignments": lambda a: ("GET", filtered(a), None),
    "get_assignment": lambda a: ("GET", scoped(a, "roleAssignments"), None),
    "put_assignment": lambda a: ("PUT", scoped(a, "roleAssignments"), {"properties": {
        "roleDefinitionId": DEFINITION_ID + a["role"], "principalId": a["principal"]}}),
    "delete_assignment": lambda a: ("DELETE", scoped(a, "roleAssignments"), None),
}


class Pool:
    """A running pool. After every example it is as it was before."""

    def __init__(self, rig):
        self.rig = rig
        self.base = rig.pool.pool_url
        self.administrator = rig.admin
        self.first = {a["name"]: a for a in rig.every(f"{AUTHZ}/roleAssignments")}

    def assignments(self):
        """guid -> (role, principal, scope) before the first example."""
        return {g: (a["properties"]["roleDefinitionId"].removeprefix(DEFINITION_ID), a["properties"]["principalId"],
                    a["properties"]["scope"]) for g, a in self.first.items()}

    def call(self, operation, who, link=None, **arguments):
        """(status, document)"""
        token = self.rig.callers.token(who)
        if link:
            status, _, raw = self.rig.send("GET", link.removeprefix(self.base), token=token)
            return status, json.loads(raw)
        return self.rig.call(*REQUESTS[operation](arguments), token=token)

    def reset(self, assignments, definitions):
        """assignments: {(scope, guid)} that may have been made; definitions: guids."""
        rig = self.rig
        for scope, guid in sorted(assignments):
            rig.call("DELETE", scoped({"scope": scope, "guid": guid}, "roleAssignments"))
        for guid in sorted(definitions):
            rig.call("DELETE", scoped({"scope": "/", "guid": guid}, "roleDefinitions"))
        for item in rig.every("/keys"):
            rig.ok("DELETE", item["kid"].removeprefix(self.base))
        for item in rig.every("/deletedkeys"):
            rig.ok("DELETE", item["recoveryId"].removeprefix(self.base))
        rig.ok("PATCH", f"/settings/{SETTING}", {"value": "false"})


class Fake:
    """A server that is a model: what the machine finds in a wrong one it would find in a wrong pool."""

    base = "https://fake.example"
    administrator = "00000000-0000-4000-8000-000000000001"

    def __init__(self, model=Model, meddle=None):
        self.make, self.meddle = model, meddle
        self.reset((), ())

    def assignments(self):
        from test_roles_matrix import ROLES
        roles = ["Managed HSM Administrator", "Managed HSM Crypto User", "Managed HSM Crypto Officer"]
        return {f"00000000-0000-4000-8000-00000000010{i}": (ROLES[r], self.administrator, "/") for i, r in enumerate(roles)}

    def reset(self, assignments, definitions):
        self.model = self.make(self.base)
        self.model.assignments = self.assignments()

    def call(self, operation, who, link=None, **arguments):
        answer = self.model.handle(operation, who, **arguments)
        if answer.code:
            error = {"code": answer.code, "message": f"{answer.about or 'refused'} (Activity ID: x)"}
            return self.changed(operation, arguments, answer.status, {"error": error})
        bound = {}
        doc = fill(answer.body, bound)
        answer.commit(bound)
        return self.changed(operation, arguments, answer.status, doc)

    def changed(self, operation, arguments, status, doc):
        return self.meddle(operation, arguments, status, doc) if self.meddle else (status, doc)
