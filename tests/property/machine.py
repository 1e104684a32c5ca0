"""Random sequences of operations by several callers, on a server and on the model. The first answer that differs ends the
sequence; shortest.py makes it as short as it can be."""
import functools
import itertools
import time
import uuid

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from jwks import JWKS
from model import Model
from policies import RELEASE, ROTATION
from template import match, shorten
from test_roles_matrix import ROLES

WHO = st.sampled_from(["alice", "alice", "alice", "alice", "bob", "carol", "admin"])
NAME = st.sampled_from(["a", "b", "B", "c"])
KEY = st.integers(0, 3) | NAME  # the n-th there is, or one by name
SCOPE = st.sampled_from(["/", "/keys", "/keys/a", "/keys/b", "/keys/B"])
VERSION = st.none() | st.integers(0, 5)  # the current one, or the n-th that was ever made
OPS = st.sampled_from([None, None, None, None, [], ["sign"], ["encrypt", "decrypt"], ["wrapKey", "unwrapKey", "verify"], ["import"], ["import", "sign"]])
TAGS = st.sampled_from([None, {}, {"x": "1"}, {"x": "2", "\u00e4": ""}])
WINDOW = st.sampled_from([{}, {}, {}, {"nbf": 1, "exp": 2 ** 33}, {"nbf": 2 ** 33}, {"exp": 1}])
ENABLED = st.sampled_from([None, None, None, True, False])
SIZE = st.sampled_from([None, 1, 2, 25])
SLOT, ROLE_SLOT = st.integers(0, 5), st.integers(0, 2)
BYTES = [b"sixteen bytes !!", b"", b"short", b"three times eight bytes!", b"x" * 33, b"y" * 250]
DIGESTS = [bytes(32), b"d" * 32, b"d" * 48, b"short"]
IVS = [None, b"i" * 16, b"i" * 12]
ALGS = {
    "oct-HSM": ["A{}GCM", "A{}KW", "A{}CBC", "A{}CBCPAD", "A128KW", "A192GCM", "RSA-OAEP", "A80KW"],
    "RSA-HSM": ["RSA-OAEP-256", "RSA-OAEP", "A256KW"], "EC-HSM": ["RSA-OAEP", "A256GCM"]}
SIGN_ALGS = {"oct-HSM": ["HS256", "HS384", "ES256"], "RSA-HSM": ["PS256", "RS384", "HS256"], "EC-HSM": ["ES256", "ES384", "ES257"]}
ACTIONS = ["keys/read/action", "keys/sign/action", "keys/delete", "keys/deletedKeys/read/action", "keys/deletedKeys/recover/action",
           "rng/action", "roleAssignments/read/action", "keys/create", "keys/write/action", "keys/verify/action", "keys/encrypt/action",
           "keys/decrypt/action", "keys/wrap/action", "keys/unwrap/action", "keys/deletedKeys/delete", "keys/import/action",
           "roleAssignments/write/action", "roleDefinitions/read/action"]
ACTION_LISTS = st.lists(st.sampled_from(ACTIONS), max_size=4, unique=True)
ROLE = ROLE_SLOT | st.sampled_from(sorted(ROLES))
BETWEEN = {"disabled": {"enabled": False}, "expired": {"exp": 1}, "not yet": {"nbf": 2 ** 33},
           "one way": {"ops": ["encrypt", "wrapKey", "sign"]}, "back only": {"ops": ["decrypt", "unwrapKey", "verify"], "exp": 1}}
counter = itertools.count(1)


def step(when=None, **arguments):
    """A rule whose calls are recorded, so that they can be done again. when: what must be so before it."""
    def decorate(f):
        @functools.wraps(f)
        def recorded(self, **kwargs):
            self.trace.append((f.__name__, kwargs))
            self.log.append(f"{f.__name__}({', '.join(f'{k}={v!r}' for k, v in kwargs.items())})")
            return f(self, **kwargs)
        recorded.when = when or (lambda self: True)
        made = rule(**arguments)(recorded)
        return precondition(when)(made) if when else made
    return decorate


class Machine(RuleBasedStateMachine):
    server = None  # of subclasses
    last = None    # the machine that was made last

    def __init__(self):
        super().__init__()
        self.prefix = f"s{next(counter)}-"
        self.times = (0, 0)
        self.model = Model(self.server.base, lambda: self.times)
        self.model.assignments = self.server.assignments()
        self.oids = {w: self.guid(w) for w in ("alice", "bob", "carol")} | {"admin": self.server.administrator}
        self.versions, self.links, self.made = [], {}, set()
        self.differs = False
        self.trace, self.log = [], []  # steps; steps and what came of them
        type(self).last = self

    def guid(self, of):
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.prefix}{of}"))

    def real(self, name):
        return self.prefix + name

    def scope(self, scope):
        return scope if scope in ("/", "/keys") else "/keys/" + self.real(scope.rsplit("/", 1)[1])

    def version(self, index):
        if index is None:
            return None
        return self.versions[index % len(self.versions)] if self.versions else "0" * 32

    def do(self, operation, who, link=None, **arguments):
        """The operation on both; what the server chose."""
        oid = self.oids[who]
        start = time.time()
        self.times = (start, start)
        status, doc = self.server.call(operation, oid, link=link, **arguments)
        self.times = (start, time.time())
        want = self.model.handle(operation, oid, **arguments)
        shown = ", ".join(f"{k}={v!r}" for k, v in arguments.items() if v is not None)
        self.log.append(f"    {operation}({shown}) as {who}: {status} {shorten(doc)}")
        where = f"{operation}({shown}) as {who}"
        self.differs = True
        if want.or_else:
            assert status in (want.status, *want.or_else), f"{where}: {status} {doc}, expected one of {want.status, *want.or_else}"
            self.differs = False
            return {}
        code = doc["error"]["code"] if status >= 400 else None
        assert (status, code) == (want.status, want.code), f"{where}: {status} {doc}, expected {want.status} {want.code}"
        if want.code:
            assert (want.about or "") in doc["error"]["message"], f"{where}: {doc}, expected {want.about}"
            self.differs = False
            return {}
        bound = {}
        bad = match(want.body, doc, bound)
        assert not bad, f"{where}: " + "; ".join(bad)
        want.commit(bound)
        self.differs = False
        if "version" in bound:
            self.versions.append(bound["version"])
        return bound

    @initialize()
    def first_roles(self):
        for slot, (who, role, scope) in enumerate([("alice", "Managed HSM Crypto User", "/"), ("bob", "Managed HSM Crypto User", "/keys"),
                                                   ("alice", "Managed HSM Crypto Officer", "/")]):
            self.put_role("admin", scope, slot, role, who)

    # ---- keys
    @step(who=WHO, name=NAME, kty=st.sampled_from(["oct", "EC", "oct-HSM"]),
          size=st.sampled_from([None, 128, 192, 256, 100]),
          crv=st.sampled_from([None, "P-256", "P-384"]), ops=OPS, enabled=ENABLED, window=WINDOW, tags=TAGS,
          exportable=st.sampled_from([None, None, None, False, True]))
    def create(self, who, name, kty, size, crv, ops, enabled, window, tags, exportable):
        shape = {"crv": crv} if kty == "EC" else {"size": size}
        self.make("create", who, name, exportable, kty=kty, **shape, ops=ops, enabled=enabled, tags=tags, exportable=exportable,
                  **window)

    def those(self, deleted=False, kty=tuple(ALGS)):
        return [k.name for k in self.model.keys.values() if (k.deleted is not None) == deleted and k.versions[-1].kty in kty]

    def key(self, key, **which):
        """The real name of KEY: of keys of a kind that are there, or deleted."""
        if isinstance(key, str):
            return self.real(key)
        found = self.those(**which)
        return found[key % len(found)] if found else self.real("a")

    def make(self, operation, who, name, wrong, **arguments):
        key = self.model.keys.get(self.real(name).lower())
        if wrong and key is not None and key.deleted:
            return  # which of two reasons is told is not said anywhere
        self.do(operation, who, name=self.real(name), **arguments)

    @step(who=WHO, name=NAME, kty=st.sampled_from(["oct", "EC"]))
    def create_simply(self, who, name, kty):
        self.make("create", who, name, False, kty=kty)

    @step(who=WHO, name=NAME, jwk=st.sampled_from([j.name for j in JWKS]), ops=OPS, enabled=ENABLED, window=WINDOW,
          tags=TAGS)
    def import_key(self, who, name, jwk, ops, enabled, window, tags):
        chosen = next(j for j in JWKS if j.name == jwk)
        wrong = bool(ops) and ("import" in ops or chosen.is_hmac)
        self.make("import_key", who, name, wrong, jwk=chosen, ops=ops, enabled=enabled, tags=tags, **window)

    @step(who=WHO, name=NAME, kty=st.sampled_from(["oct", "EC"]), release=st.sampled_from([*RELEASE, None]),
          immutable=st.sampled_from([None, None, True]), jwk=st.booleans())
    def make_exportable(self, who, name, kty, release, immutable, jwk):
        wrong = release is None or RELEASE[release][1] is None
        what = {"jwk": JWKS[0]} if jwk else {"kty": kty}
        self.make("import_key" if jwk else "create", who, name, wrong, **what, exportable=True, release=release,
                  immutable=immutable if release else None)

    @step(lambda self: self.those(), who=WHO, name=st.integers(0, 3), version=st.none() | VERSION,
          release=st.sampled_from([*RELEASE, None]), immutable=st.sampled_from([None, True]))
    def change_release(self, who, name, version, release, immutable):
        key = self.model.keys[self.key(name).lower()]
        if self.version(version) in (None, *(v.id for v in key.versions)):
            self.do("update", who, name=key.name, version=self.version(version), release=release, immutable=immutable)

    @step(lambda self: self.those(), who=WHO, name=KEY, version=VERSION, ops=OPS, enabled=ENABLED, window=WINDOW, tags=TAGS,
          exportable=st.sampled_from([None, None, None, False, True]))
    def update(self, who, name, version, ops, enabled, window, tags, exportable):
        wrong = exportable or (ops and "import" in ops)
        key = self.model.keys.get(self.key(name).lower())
        if wrong and (key is None or key.deleted or self.version(version) not in (None, *(v.id for v in key.versions))):
            return
        self.do("update", who, name=self.key(name), version=self.version(version), ops=ops, enabled=enabled, tags=tags,
                exportable=exportable, **window)

    @step(lambda self: self.model.keys, who=WHO, name=KEY, version=VERSION)
    def get(self, who, name, version):
        self.do("get", who, name=self.key(name), version=self.version(version))

    @step(lambda self: self.those(), who=WHO, name=KEY)
    def delete(self, who, name):
        self.do("delete", who, name=self.key(name))

    @step(lambda self: self.those(), who=WHO, name=KEY)
    def remove(self, who, name):
        name = self.key(name)
        self.do("delete", who, name=name)
        self.do("purge", who, name=name)

    @step(who=WHO, name=KEY, operation=st.sampled_from(["recover", "purge", "get_deleted"]))
    def after_deletion(self, who, name, operation):
        self.do(operation, who, name=self.key(name, deleted=True))

    @step(who=WHO, operation=st.sampled_from(["list_keys", "list_deleted"]), size=SIZE)
    def first_page(self, who, operation, size):
        self.turn(operation, who, size, None, None)

    @step(who=WHO, operation=st.sampled_from(["list_keys", "list_deleted"]))
    def next_page(self, who, operation):
        """Of a list that was begun, whatever happened since."""
        if operation in self.links:
            self.turn(operation, who, *self.links[operation])

    def turn(self, operation, who, size, after, link):
        answer = self.model.handle(operation, self.oids[who], size=size, after=after)
        bound = self.do(operation, who, link=link, size=size, after=after)
        if "link" in bound:
            last = answer.body["value"][-1]["kid"].rsplit("/", 1)[1].lower()
            self.links[operation] = (size, last, bound["link"])

    @step(lambda self: self.model.keys, who=WHO, name=KEY, size=SIZE)
    def all_versions(self, who, name, size):
        after, link = None, None
        while True:
            bound = self.do("list_versions", who, link=link, name=self.key(name), size=size, after=after)
            if "link" not in bound:
                return
            after, link = (-1 if after is None else after) + (size or 25), bound["link"]

    @step(who=WHO, name=KEY, policy=st.sampled_from([*ROTATION, None]), rotate=st.booleans())
    def rotation(self, who, name, policy, rotate):
        name = self.key(name)
        key = self.model.keys.get(name.lower())
        if policy is None or ROTATION[policy][2] is not None or (key and not key.deleted):  # else two reasons for a refusal
            self.do("put_policy", who, name=name, policy=policy)
        self.do("get_policy", who, name=name)
        if rotate:
            self.do("rotate", who, name=name)

    @step(who=WHO, name=KEY)
    def rotate(self, who, name):
        self.do("rotate", who, name=self.key(name))

    @step(who=WHO, name=KEY)
    def back_up(self, who, name):
        self.do("backup", who, name=self.key(name))

    @step(lambda self: self.model.backups, who=WHO, backup=st.integers(0, 5), first=st.sampled_from([None, "delete", "purge"]),
          damage=st.sampled_from([False, False, False, True]))
    def put_back(self, who, backup, first, damage):
        """Restore, perhaps after the key was removed."""
        value, key = self.model.backups[-1 - backup % len(self.model.backups)]
        for operation in ["delete", "purge"][:[None, "delete", "purge"].index(first)]:
            self.do(operation, "admin", name=key.name)
        if damage:
            value = value[:60] + ("A" if value[60] != "A" else "B") + value[61:]
        self.do("restore", who, value=value)

    # ---- cryptography
    def kind(self, name, version):
        """Type and size of a version, as far as there is one."""
        key = self.model.keys.get(name.lower())
        found = [v for v in key.versions if self.version(version) in (None, v.id)] if key else []
        return (found[-1].kty, found[-1].bits) if found else ("EC-HSM", None)

    def algorithm(self, table, name, version, index):
        kty, bits = self.kind(name, version)
        return table[kty][index % len(table[kty])].format(bits if bits in (128, 192, 256) else 256)

    @step(lambda self: self.those(kty=("oct-HSM", "RSA-HSM")), who=WHO,
          operation=st.sampled_from([None, None, "encrypt", "wrap"]), name=KEY, version=st.none() | VERSION,
          alg=st.integers(0, 7), plain=st.sampled_from(BYTES), iv=st.sampled_from(IVS), aad=st.sampled_from([None, b"aad"]))
    def seal(self, who, operation, name, version, alg, plain, iv, aad):
        self.seal_in(who, operation, name, version, alg, plain, iv, aad)

    def seal_in(self, who, operation, name, version, alg, plain, iv, aad):
        name = self.key(name, kty=("oct-HSM", "RSA-HSM"))
        alg = self.algorithm(ALGS, name, version, alg)
        operation = operation or ("wrap" if alg.endswith("KW") else "encrypt")
        if "CBC" in alg and iv is None:
            iv = b"i" * 16
        elif iv == b"i" * 16 or not alg.endswith("GCM"):
            iv = None
        self.do(operation, who, name=name, version=self.version(version), alg=alg, plain=plain, iv=iv,
                aad=aad if alg.endswith("GCM") else None)

    @step(lambda self: self.those(kty=("oct-HSM", "RSA-HSM")), who=WHO, back=WHO, name=st.integers(0, 3),
          alg=st.integers(0, 3), plain=st.sampled_from(BYTES),
          other=st.none() | st.integers(0, 3), between=st.sampled_from([None, None, None, *BETWEEN]))
    def there_and_back(self, who, back, name, alg, plain, other, between):
        """One caller encrypts, another decrypts, perhaps with another key, perhaps after a change of the key."""
        before = len(self.model.boxes)
        self.seal_in(who, None, name, None, alg, plain, None, None)
        if len(self.model.boxes) > before:
            box = self.chosen_box(0, False)
            self.change_between(self.home_of(box), between)
            self.open_box(back, None, 0, other is None, self.another_like(self.home_of(box)[0], other).removeprefix(self.prefix), None,
                          None)

    def home_of(self, box):
        """Name and version where the key of a box is, or was."""
        for key in self.model.keys.values():
            for v in key.versions:
                if v.material == box.material:
                    return key.name, v.id
        return None

    def chosen_box(self, box, signatures):
        """The n-th of those, counted from the last one."""
        boxes = [b for b in self.model.boxes if b.is_signature == signatures]
        return boxes[-1 - box % len(boxes)] if boxes else None

    @step(lambda self: self.chosen_box(0, False), who=WHO, operation=st.sampled_from(["decrypt", "unwrap", None]),
          box=st.integers(0, 9), own=st.sampled_from([True, True, False]), name=KEY,
          version=VERSION, damage=st.sampled_from([None, None, "value", "tag", "aad", "iv"]))
    def open(self, who, operation, box, own, name, version, damage):
        self.open_box(who, operation, box, own, name, version, damage)

    def open_box(self, who, operation, box, own, name, version, damage):
        b = self.chosen_box(box, False)
        at = (own and self.home_of(b)) or (self.key(name), self.version(version))
        parts = {"value": b.value, "iv": b.iv, "aad": b.aad, "tag": b.tag}
        if damage and parts[damage]:
            parts[damage] = parts[damage][:-1] + bytes([parts[damage][-1] ^ 1])
        operation = operation or ("unwrap" if b.alg.endswith("KW") else "decrypt")
        self.do(operation, who, name=at[0], version=at[1], alg=b.alg, **parts)

    @step(lambda self: self.those(), who=WHO, name=KEY, version=st.none() | VERSION, alg=st.integers(0, 2),
          digest=st.sampled_from(DIGESTS))
    def sign(self, who, name, version, alg, digest):
        self.sign_with(who, name, version, alg, digest)

    def sign_with(self, who, name, version, alg, digest):
        name = self.key(name)
        self.do("sign", who, name=name, version=self.version(version), alg=self.algorithm(SIGN_ALGS, name, version, alg),
                digest=digest)

    def another_like(self, home, index):
        """Another key with the same kind of key inside, made if there is none."""
        if index is None:
            return home
        key = self.model.keys[home.lower()]
        like = key.versions[-1]

        def found():
            return [k.name for k in self.model.keys.values() if k is not key and k.deleted is None
                    and (k.versions[-1].kty, k.versions[-1].bits) == (like.kty, like.bits)]
        if not found() and like.kty == "oct-HSM" and like.bits in (128, 192, 256):
            self.do("create", "admin", name=self.real("d"), kty="oct", size=like.bits)
        others = found()
        return others[index % len(others)] if others else home

    def change_between(self, home, between):
        if between:
            self.do("update", "admin", name=home[0], version=home[1], **BETWEEN[between])

    @step(lambda self: self.those(), who=WHO, back=WHO, name=st.integers(0, 3), alg=st.integers(0, 2),
          between=st.sampled_from([None, None, None, *BETWEEN]))
    def sign_and_verify(self, who, back, name, alg, between):
        before = len(self.model.boxes)
        self.sign_with(who, name, None, alg, DIGESTS[0])
        if len(self.model.boxes) > before:
            self.change_between(self.home_of(self.chosen_box(0, True)), between)
            self.verify_box(back, 0, True, name, None, None)

    @step(lambda self: self.chosen_box(0, True), who=WHO, box=st.integers(0, 9), own=st.sampled_from([True, True, False]),
          name=KEY, version=VERSION, damage=st.sampled_from([None, None, "value", "digest"]))
    def verify(self, who, box, own, name, version, damage):
        self.verify_box(who, box, own, name, version, damage)

    def verify_box(self, who, box, own, name, version, damage):
        b = self.chosen_box(box, True)
        at = (own and self.home_of(b)) or (self.key(name), self.version(version))
        parts = {"value": b.value, "digest": b.plain}
        if damage:
            parts[damage] = parts[damage][:-1] + bytes([parts[damage][-1] ^ 1])
        self.do("verify", who, name=at[0], version=at[1], alg=b.alg, **parts)

    # ---- roles
    def role(self, role):
        return ROLES[role] if isinstance(role, str) else self.guid(f"role {role}")

    @step(who=WHO, scope=st.sampled_from(["/", "/", "/", "/keys"]), slot=ROLE_SLOT, named=st.booleans(),
          actions=st.none() | ACTION_LISTS, without=st.integers(0, 2))
    def define(self, who, scope, slot, named, actions, without):
        """without: how many of the actions are taken away again."""
        self.do("put_definition", who, scope=self.scope(scope), guid=self.role(slot), name=f"{self.prefix}{slot}" if named else None,
                actions=actions, not_actions=(actions or [])[:without])

    @step(who=WHO, scope=st.sampled_from(["/", "/", "/keys"]), role=ROLE)
    def undefine(self, who, scope, role):
        self.do("delete_definition", who, scope=self.scope(scope), guid=self.role(role))

    @step(who=WHO, scope=SCOPE, slot=SLOT, role=ROLE, principal=WHO)
    def assign(self, who, scope, slot, role, principal):
        self.put_role(who, scope, slot, role, principal)

    @step(who=WHO, slot=SLOT, twin=st.integers(0, 5))
    def assign_again(self, who, slot, twin):
        """What is assigned already, perhaps under another name."""
        mine = [self.guid(f"slot {i}") for i in range(6)]
        there = [self.model.assignments[g] for g in mine if g in self.model.assignments]
        if there:
            role, principal, scope = there[twin % len(there)]
            if role in ROLES.values() or role in self.model.definitions:
                self.made.add((scope, mine[slot]))
                self.do("put_assignment", who, scope=scope, guid=mine[slot], role=role, principal=principal)

    @step(who=st.sampled_from(["carol", "bob"]), scope=SCOPE, slot=ROLE_SLOT, actions=st.lists(st.sampled_from(ACTIONS[:7]),
          max_size=4,
          unique=True), without=st.integers(0, 2), name=KEY)
    def employ(self, who, scope, slot, actions, without, name):
        """A role of its own for somebody, who then tries what it is worth."""
        self.do("put_definition", "admin", scope="/", guid=self.role(slot), actions=actions, not_actions=actions[:without])
        self.put_role("admin", scope, slot + 3, slot, who)
        self.attempts(who, self.key(name))

    def put_role(self, who, scope, slot, role, principal):
        guid = self.guid(f"slot {slot}")
        if guid in self.model.assignments and self.role(role) not in self.model.definitions and not isinstance(role, str):
            return  # which of two reasons is told is not said anywhere
        self.made.add((self.scope(scope), guid))
        self.do("put_assignment", who, scope=self.scope(scope), guid=guid, role=self.role(role), principal=self.oids[principal])

    @step(who=WHO, scope=SCOPE, slot=SLOT)
    def unassign(self, who, scope, slot):
        self.do("delete_assignment", who, scope=self.scope(scope), guid=self.guid(f"slot {slot}"))

    @step(who=WHO, scope=SCOPE, slot=SLOT, role=ROLE, principal=WHO,
          what=st.sampled_from(["definition", "definitions", "assignment", "assignments", "at scope", "of one"]))
    def read_roles(self, who, scope, slot, role, principal, what):
        scope = self.scope(scope)
        if what == "definition":
            self.do("get_definition", who, scope=scope, guid=self.role(role))
        elif what == "definitions":
            self.do("list_definitions", who, scope=scope)
        elif what == "assignment":
            self.do("get_assignment", who, scope=scope, guid=self.guid(f"slot {slot}"))
        elif what == "of one":
            self.do("list_assignments", who, scope="/", principal=self.oids[principal])
        else:
            self.do("list_assignments", who, scope=scope, at_scope=what == "at scope")

    @step(who=WHO, name=KEY)
    def try_all(self, who, name):
        """What the caller's roles are worth."""
        self.attempts(who, self.key(name))

    def attempts(self, who, name):
        for operation in ("get", "delete", "get_deleted", "recover"):
            self.do(operation, who, name=name)
        for operation in ("list_keys", "list_deleted", "get_settings"):
            self.do(operation, who)
        self.do("sign", who, name=name, alg="ES256", digest=DIGESTS[0])
        self.do("rng", who, count=1)
        for scope in ("/", "/keys", f"/keys/{name}"):
            self.do("list_assignments", who, scope=scope)

    # ---- the pool itself
    @step(who=WHO, count=st.sampled_from([None, 16, 1, 128, 0, 129]), value=st.sampled_from([None, "true", "false", "yes"]))
    def pool_itself(self, who, count, value):
        if count is not None:
            self.do("rng", who, count=count)
            return
        if value is not None:
            self.do("put_setting", who, value=value)
        self.do("get_settings", who)

    # ---- the end
    def teardown(self):
        try:
            if not self.differs:
                self.compare_everything()
        finally:
            self.server.reset(self.made, {self.guid(f"role {i}") for i in range(3)})

    def compare_everything(self):
        """All that the administrator can see is what the model says."""
        for operation in ("list_keys", "list_deleted", "get_settings"):
            self.do(operation, "admin")
        for key in list(self.model.keys.values()):
            if key.deleted:
                self.do("get_deleted", "admin", name=key.name)
                continue
            self.do("list_versions", "admin", name=key.name)
            self.do("get_policy", "admin", name=key.name)
            for v in list(key.versions):
                self.do("get", "admin", name=key.name, version=v.id)
        for scope in ("/", "/keys", self.scope("/keys/a"), self.scope("/keys/b")):
            self.do("list_assignments", "admin", scope=scope)
        self.do("list_definitions", "admin", scope="/")
