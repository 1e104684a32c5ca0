"""What a pool does, as far as its callers can tell: a reference model of keys, roles and cryptography. Written from the
documentation of the service and from docs/PARITY.md where that is silent; it knows nothing of how the server is made.

handle(operation, caller, **arguments) gives an Answer: status, error code, and a template of the body. commit() then changes the
model by what the server chose. A server that is a Model itself (fake.py) fills the templates."""
import dataclasses
import re
import time

from model_crypto import Cryptography
from model_policies import Policies
from model_roles import Roles
from parts import CIPHER, DEFAULT_OPS, HMAC_OPS, STORED, WIDTH, Answer, Key, Refused, Version, blob, require
from policies import RELEASE
from template import Derived, Hole, Unordered, new_id, now, text

DAY = 86400
RETENTION = 90
PAGE = 25


class Model(Roles, Cryptography, Policies):
    def __init__(self, base, clock=None):
        self.base = base
        self.clock = clock or (lambda: (time.time(), time.time()))
        self.keys = {}          # canonical name -> Key
        self.definitions = {}   # guid -> properties of a custom role
        self.assignments = {}   # guid -> (role guid, principal, scope)
        self.boxes = []
        self.backups = []       # (text, key at that time)
        self.setting = "false"

    def handle(self, operation, who, **arguments):
        try:
            return getattr(self, operation)(who, **arguments)
        except Refused as r:
            return Answer(r.status, code=r.code, about=r.about)

    # ---- keys
    def live(self, name):
        key = self.keys.get(name.lower())
        require(key is not None and key.deleted is None, 404, "KeyNotFound", f"/keys/{name}")
        return key

    def version(self, name, version):
        key = self.live(name)
        found = [v for v in key.versions if version in (None, v.id)]
        require(found, 404, "KeyNotFound", f"/keys/{name}")
        return key, found[-1]

    def attributes(self, v):
        a = {"created": v.created, "enabled": v.enabled, "exportable": v.release is not None, "recoverableDays": RETENTION,
             "recoveryLevel": "Recoverable+Purgeable", "updated": v.updated}
        return {**a, **{k: t for k, t in (("nbf", v.nbf), ("exp", v.exp)) if t is not None}}

    def bundle(self, key, v):
        doc = {"attributes": self.attributes(v), "key": {
            "kid": v.id if isinstance(v.id, Hole) else f"{self.base}/keys/{key.name}/{v.id}", "kty": v.kty,
            "key_ops": Unordered(v.ops), **v.public}}
        if v.release:
            doc["release_policy"] = {"contentType": "application/json; charset=utf-8", "data": v.release, "immutable": v.immutable}
        return {**doc, "tags": v.tags} if v.tags else doc

    def item(self, key, v, versioned):
        doc = {"attributes": self.attributes(v), "kid": f"{self.base}/keys/{key.name}" + (f"/{v.id}" if versioned else "")}
        return {**doc, "tags": v.tags} if v.tags else doc

    def deletion(self, key):
        return {"deletedDate": key.deleted[0], "scheduledPurgeDate": key.deleted[1],
                "recoveryId": f"{self.base}/deletedkeys/{key.name}"}

    def new_kid(self, name):
        prefix = f"{self.base}/keys/{name}/"
        return text("version", re.escape(prefix) + "([0-9a-f]{32})", lambda: prefix + new_id())

    def public_holes(self, kty, crv):
        if kty == "EC-HSM":
            def coordinate(n):
                return text(n, "[0-9A-Za-z_-]{%d}" % WIDTH[crv], lambda: (new_id() * 3)[:WIDTH[crv]])
            return {"crv": crv, "x": coordinate("x"), "y": coordinate("y")}
        if kty == "RSA-HSM":
            return {"n": text("n", "[0-9A-Za-z_-]{342}", lambda: (new_id() * 11)[:342]), "e": "AQAB"}
        return {}

    def add_version(self, name, draft):
        """Answer of what makes a version: the first of a key, or the next and then current one."""
        key = self.keys.get(name.lower())
        require(key is None or key.deleted is None, 409, "Conflict")
        shown = key.name if key else name
        kid, clock = self.new_kid(shown), now(self.clock)
        shape = dataclasses.replace(draft, id=kid, created=clock, updated=clock)

        def effect(b):
            public = {k: b.get(k, v) for k, v in draft.public.items()}
            exp = draft.exp.of(b) if isinstance(draft.exp, Derived) else draft.exp
            made = dataclasses.replace(draft, id=b["version"], created=b["now"], updated=b["now"], exp=exp, public=public)
            if made.material is None:
                made.material = made.id
            self.keys.setdefault(name.lower(), Key(shown, [])).versions.append(made)
        return Answer(200, self.bundle(Key(shown, []), shape), effect=effect)

    @staticmethod
    def check_ops(ops, kty, bits):
        require("import" not in ops or (set(ops) == {"import"} and kty == "RSA-HSM"))
        require(kty != "oct-HSM" or bits in (128, 192, 256) or not CIPHER & set(ops))

    def create(self, who, name, kty, crv=None, size=None, ops=None, enabled=None, nbf=None, exp=None, tags=None,
               exportable=None, release=None, immutable=None):
        require(kty in STORED or kty in STORED.values())
        self.allow(who, "keys/create", "/keys")
        kty = STORED.get(kty, kty)
        require(size is None or kty != "oct-HSM" or size in (128, 192, 256))
        ops = set(ops or DEFAULT_OPS[kty])
        crv = (crv or "P-256") if kty == "EC-HSM" else None
        bits = (size or 256) if kty == "oct-HSM" else 2048 if kty == "RSA-HSM" else None
        self.check_ops(ops, kty, bits)
        return self.add_version(name, Version(None, kty, crv, bits, ops, enabled is not False, nbf, exp, tags or {}, None, None,
                                              self.public_holes(kty, crv), None, self.released(exportable, release),
                                              bool(immutable)))

    @staticmethod
    def released(exportable, release):
        """Exportable keys have a release policy, others have none."""
        require(bool(exportable) == (release is not None))
        require(release is None or RELEASE[release][1])
        return RELEASE[release][1] if release else None

    def import_key(self, who, name, jwk, ops=None, enabled=None, nbf=None, exp=None, tags=None, exportable=None, release=None,
                   immutable=None):
        """jwk: one of jwks.py"""
        self.allow(who, "keys/import/action", "/keys")
        kty = STORED[jwk.kty]
        ops = set(ops or (HMAC_OPS if jwk.is_hmac else DEFAULT_OPS[kty]))
        self.check_ops(ops, kty, jwk.bits)
        return self.add_version(name, Version(None, kty, jwk.crv, jwk.bits, ops, enabled is not False, nbf, exp, tags or {}, None,
                                              None, jwk.public, jwk.name, self.released(exportable, release), bool(immutable)))

    def update(self, who, name, version=None, ops=None, enabled=None, nbf=None, exp=None, tags=None, exportable=None,
               release=None, immutable=None):
        self.allow(who, "keys/write/action", f"/keys/{name}")
        key, v = self.version(name, version)
        if ops:
            self.check_ops(ops, v.kty, v.bits)
        require(exportable in (None, v.release is not None))
        given = {k: x for k, x in (("enabled", enabled), ("nbf", nbf), ("exp", exp), ("tags", tags)) if x is not None}
        if ops:
            given["ops"] = set(ops)
        if release or immutable:
            given |= self.change_of_release(v, release, immutable)
        shape = dataclasses.replace(v, updated=now(self.clock), **given)

        def effect(b):
            key.versions[key.versions.index(v)] = dataclasses.replace(shape, updated=b["now"])
        return Answer(200, self.bundle(key, shape), effect=effect)

    @staticmethod
    def change_of_release(v, release, immutable):
        require(v.release is not None)
        require(release is None or RELEASE[release][1])
        shown = RELEASE[release][1] if release else v.release
        require(not v.immutable or shown == v.release)
        return {"release": shown, "immutable": v.immutable or bool(immutable)}

    def get(self, who, name, version=None):
        self.allow(who, "keys/read/action", f"/keys/{name}")
        return Answer(200, self.bundle(*self.version(name, version)))

    def page(self, entries, size, after):
        """entries: (place, item) in order. A page of those behind a place, and a hole for the link to the next."""
        rest = [e for e in entries if after is None or e[0] > after]
        doc = {"value": [item for _, item in rest[:size or PAGE]]}
        if len(rest) > (size or PAGE):
            doc["nextLink"] = text("link", re.escape(self.base) + r"/.*skiptoken=.*", lambda: f"{self.base}/?$skiptoken={new_id()}")
        return Answer(200, doc)

    def list_keys(self, who, size=None, after=None):
        self.allow(who, "keys/read/action", "/keys")
        there = sorted((k for k in self.keys.values() if k.deleted is None), key=lambda k: k.canonical)
        return self.page([(k.canonical, self.item(k, k.versions[-1], False)) for k in there], size, after)

    def list_deleted(self, who, size=None, after=None):
        self.allow(who, "keys/deletedKeys/read/action", "/keys")
        gone = sorted((k for k in self.keys.values() if k.deleted is not None), key=lambda k: k.canonical)
        return self.page([(k.canonical, {**self.item(k, k.versions[-1], False), **self.deletion(k)}) for k in gone], size, after)

    def list_versions(self, who, name, size=None, after=None):
        self.allow(who, "keys/read/action", f"/keys/{name}")
        key = self.keys.get(name.lower())
        versions = key.versions if key is not None and key.deleted is None else []
        return self.page([(i, self.item(key, v, True)) for i, v in enumerate(versions)], size, after)

    def delete(self, who, name):
        self.allow(who, "keys/delete", f"/keys/{name}")
        key = self.live(name)
        dates = (now(self.clock), Derived(lambda b: b["now"] + RETENTION * DAY))

        def effect(b):
            key.deleted = (b["now"], b["now"] + RETENTION * DAY)
        return Answer(200, {**self.bundle(key, key.versions[-1]), **self.deletion(Key(key.name, [], dates))}, effect=effect)

    def gone(self, name):
        key = self.keys.get(name.lower())
        require(key is not None and key.deleted is not None, 404, "KeyNotFound", f"/deletedkeys/{name}")
        return key

    def get_deleted(self, who, name):
        self.allow(who, "keys/deletedKeys/read/action", f"/keys/{name}")
        key = self.gone(name)
        return Answer(200, {**self.bundle(key, key.versions[-1]), **self.deletion(key)})

    def recover(self, who, name):
        self.allow(who, "keys/deletedKeys/recover/action", f"/keys/{name}")
        key = self.gone(name)

        def effect(_):
            key.deleted = None
        return Answer(200, self.bundle(key, key.versions[-1]), effect=effect)

    def purge(self, who, name):
        self.allow(who, "keys/deletedKeys/delete", f"/keys/{name}")
        key = self.gone(name)
        return Answer(204, effect=lambda _: self.keys.pop(key.canonical))

    # ---- the pool itself
    def rng(self, who, count):
        self.allow(who, "rng/action", "/")
        require(1 <= count <= 128)
        return Answer(200, {"value": blob("value", count)})

    def setting_doc(self):
        return {"name": "AllowKeyManagementOperationsThroughARM", "type": "boolean", "value": self.setting}

    def get_settings(self, who):
        self.allow(who, "settings/read/action", "/")
        return Answer(200, {"settings": [self.setting_doc()]})

    def put_setting(self, who, value):
        self.allow(who, "settings/write/action", "/")
        require(value in ("true", "false"))

        def effect(_):
            self.setting = value
        return Answer(200, {**self.setting_doc(), "value": value}, effect=effect)
