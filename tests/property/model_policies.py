"""Rotation, backup and restore of the reference model."""
import copy
import dataclasses

from parts import Answer, Key, Refused, blob, require
from policies import ROTATION
from template import Derived, Hole, now

DAY = 86400


class Policies:
    # ---- rotation
    def policy(self, key):
        """As it is shown. key.policy: (name, created, updated)"""
        name, created, updated = key.policy or (None, None, None)
        doc = {"id": f"{self.base}/keys/{key.name}/rotationpolicy", "lifetimeActions": [], "attributes": {}}
        if name:
            after, expiry, _ = ROTATION[name]
            doc["attributes"] = {"created": created, "updated": updated}
            if expiry:
                doc["attributes"]["expiryTime"] = expiry
            if after:
                doc["lifetimeActions"] = [{"trigger": {"timeAfterCreate": after}, "action": {"type": "Rotate"}}]
        return doc

    def get_policy(self, who, name):
        self.allow(who, "keys/read/action", f"/keys/{name}")
        return Answer(200, self.policy(self.live(name)))

    def put_policy(self, who, name, policy=None):
        """None: an empty one, which removes it."""
        self.allow(who, "keys/write/action", f"/keys/{name}")
        key = self.live(name)
        require(policy is None or ROTATION[policy][2] is not None)
        times = (key.policy[1] if key.policy else now(self.clock), now(self.clock))
        shape = dataclasses.replace(key, policy=(policy, *times) if policy else None)

        def effect(b):
            first = key.policy[1] if key.policy else b.get("now")
            key.policy = (policy, first, b["now"]) if policy else None
        return Answer(200, self.policy(shape), effect=effect)

    def rotate(self, who, name):
        self.allow(who, "keys/rotate/action", f"/keys/{name}")
        key, v = self.version(name, None)
        require(key.policy)
        days = ROTATION[key.policy[0]][2]
        made = dataclasses.replace(v, nbf=None, exp=Derived(lambda b: b["now"] + days * DAY) if days else None, tags=dict(v.tags),
                                   public=self.public_holes(v.kty, v.crv), material=None)
        return self.add_version(name, made)

    # ---- backup and restore
    def backup(self, who, name):
        self.allow(who, "keys/backup/action", f"/keys/{name}")
        key = self.live(name)

        def effect(b):
            self.backups.append((b["backup"], copy.deepcopy(key)))
        # As long as it takes; what is inside is the pool's secret.
        value = Hole("backup", lambda x: x if isinstance(x, str) and len(x) > 100 and "=" not in x else None,
                     lambda: blob("backup", 150).make())
        return Answer(200, {"value": value}, effect=effect)

    def restore(self, who, value):
        self.allow(who, "keys/restore/action", "/keys")
        known = [key for text, key in self.backups if text == value]
        if not known:
            raise Refused(400, "MalformedBackupBlob")
        key: Key = copy.deepcopy(known[-1])
        require(key.canonical not in self.keys, 409, "Conflict")

        def effect(_):
            self.keys[key.canonical] = key
        return Answer(200, self.bundle(key, key.versions[-1]), effect=effect)
