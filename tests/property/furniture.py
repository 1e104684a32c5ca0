"""Keys, a role and an assignment that requests can be about."""
import uuid

from rig import AUTHZ, DEFINITION_ID

ROLE = "11111111-2222-4333-8444-555555555555"
GRANT = "22222222-2222-4333-8444-555555555555"
PRINCIPAL = "33333333-2222-4333-8444-555555555555"
KEYS = {"rsa": {"kty": "RSA"}, "ec": {"kty": "EC"}, "oct": {"kty": "oct"}, "gone": {"kty": "EC"}}
DIGEST, BLOCK = "A" * 43, "A" * 22
ROTATE = {"trigger": {"timeAfterCreate": "P50D"}, "action": {"type": "Rotate"}}
NOTIFY = {"trigger": {"timeBeforeExpiry": "P30D"}, "action": {"type": "Notify"}}
POLICIES = [{"lifetimeActions": [ROTATE, NOTIFY], "attributes": {"expiryTime": "P90D"}}, {"lifetimeActions": [ROTATE]},
            {"lifetimeActions": [NOTIFY], "attributes": {"expiryTime": "P1Y"}}, {"attributes": {"expiryTime": "P28D"}},
            {"lifetimeActions": []}]


class Furniture:
    """Put back after requests that changed or removed it; what such requests made is removed."""

    def __init__(self, rig):
        self.rig = rig
        self.versions, self.ops = {}, {}
        self.restore()
        self.backup = self.backup_of("moved")

    def restore(self):
        rig = self.rig
        there = {i["kid"].rsplit("/", 1)[1] for i in rig.every("/keys")}
        gone = {i["kid"].rsplit("/", 1)[1] for i in rig.every("/deletedkeys")}
        for name in sorted(gone - {"gone"}):
            rig.ok("DELETE", f"/deletedkeys/{name}")
        for name in sorted(there - KEYS.keys()):
            rig.ok("DELETE", f"/keys/{name}")
            rig.ok("DELETE", f"/deletedkeys/{name}")
        for name, body in KEYS.items():
            if name == "gone":
                self.restore_gone(name in there, name in gone)
                continue
            bundle = rig.ok("GET", f"/keys/{name}") if name in there else None
            if bundle is None or self.versions.get(name) != bundle["key"]["kid"].rsplit("/", 1)[1]:
                bundle = rig.ok("POST", f"/keys/{name}/create", body)
                self.ops[name] = bundle["key"]["key_ops"]
            self.versions[name] = bundle["key"]["kid"].rsplit("/", 1)[1]
            rig.ok("PATCH", f"/keys/{name}", {"attributes": {"enabled": True, "nbf": 0, "exp": 2 ** 33}, "tags": {},
                                             "key_ops": self.ops[name]})
        rig.ok("PUT", "/keys/ec/rotationpolicy", POLICIES[0])
        rig.ok("PUT", f"{AUTHZ}/roleDefinitions/{ROLE}", {"properties": {"roleName": "R"}})
        rig.call("PUT", f"/keys/ec{AUTHZ}/roleAssignments/{GRANT}", self.assignment())

    def restore_gone(self, is_there, is_gone):
        if not is_there and not is_gone:
            self.rig.ok("POST", "/keys/gone/create", KEYS["gone"])
        if not is_gone:
            self.rig.ok("DELETE", "/keys/gone")

    def backup_of(self, name):
        """Of a key that is not there any more, so that it can come back."""
        self.rig.ok("POST", f"/keys/{name}/create", {"kty": "EC", "tags": {"a": "b"}})
        self.rig.ok("POST", f"/keys/{name}/create", {"kty": "oct"})
        value = self.rig.ok("POST", f"/keys/{name}/backup")["value"]
        self.rig.ok("DELETE", f"/keys/{name}")
        self.rig.ok("DELETE", f"/deletedkeys/{name}")
        return value

    @staticmethod
    def assignment():
        return {"properties": {"roleDefinitionId": DEFINITION_ID + ROLE, "principalId": PRINCIPAL}}

    def bodies(self):
        """(operation without version, key name, a body that it takes)"""
        def made(key, op, body):
            return self.rig.ok("POST", f"/keys/{key}/{op}", body)
        rows = [("sign", "rsa", {"alg": "PS256", "value": DIGEST}), ("sign", "ec", {"alg": "ES256", "value": DIGEST}),
                ("sign", "oct", {"alg": "HS256", "value": "AAAA"}), ("encrypt", "rsa", {"alg": "RSA-OAEP", "value": "AAAA"}),
                ("encrypt", "oct", {"alg": "A256GCM", "value": "AAAA", "aad": "AA"}),
                ("encrypt", "oct", {"alg": "A256CBCPAD", "value": "AAAA", "iv": BLOCK}),
                ("wrapkey", "oct", {"alg": "A256KW", "value": BLOCK}), ("wrapkey", "rsa", {"alg": "RSA-OAEP-256", "value": BLOCK})]
        back = {"sign": "verify", "encrypt": "decrypt", "wrapkey": "unwrapkey"}
        for op, key, body in list(rows):
            done = made(key, op, body)
            more = {"digest": body["value"]} if op == "sign" else {k: done[k] for k in ("iv", "aad", "tag") if k in done}
            rows.append((back[op], key, {"alg": done["alg"], "value": done["value"], **more}))
        rows += [("create", key, body) for key, body in KEYS.items() if key != "rsa"]
        rows += [("import", "ec", {"key": {"kty": "oct", "k": BLOCK, "key_ops": ["wrapKey"]}, "tags": {"a": "b"}})]
        rows += [("rotationpolicy", key, body) for key in ("ec", "oct") for body in POLICIES]
        here = self.rig.ok("POST", "/keys/ec/backup")["value"]
        rows += [("restore", None, {"value": v}) for v in (self.backup, here, self.backup[:-4], self.backup[:200] + "A" * 40)]
        rows += [("update", key, {"tags": {"a": "b"}}) for key in KEYS]
        return rows


def free_guid(seed):
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"keyhold test {seed}"))
