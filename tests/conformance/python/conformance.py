"""The scenario of tests/conformance/scenario.py with the Azure SDK for Python. One line of JSON for each step."""
import base64
import datetime
import hashlib
import json
import os
import sys
import traceback
import uuid

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.identity import ClientSecretCredential
from azure.keyvault.administration import (KeyVaultAccessControlClient, KeyVaultDataAction, KeyVaultPermission,
                                           KeyVaultRoleScope, KeyVaultSetting, KeyVaultSettingsClient)
from azure.keyvault.keys import JsonWebKey, KeyClient, KeyRotationLifetimeAction, KeyRotationPolicy
from azure.keyvault.keys.crypto import CryptographyClient, EncryptionAlgorithm, KeyWrapAlgorithm, SignatureAlgorithm

ENV = os.environ
URL = ENV["KEYHOLD_POOL_URL"]
MADE = json.load(open(ENV["KEYHOLD_MATERIAL"]))
NAME = "conf-python-"
MANY = 28
DIGEST = {bits: hashlib.new(f"sha{bits}", b"message").digest() for bits in (256, 384, 512)}
ENCRYPTION_USER = "33413926-3206-4cdd-b39a-83574fe37a17"


def unb64u(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def b64u(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def credential_of(prefix, **more):
    return ClientSecretCredential(ENV["KEYHOLD_TENANT"], ENV[f"{prefix}_CLIENT_ID"], ENV[f"{prefix}_CLIENT_SECRET"],
                                  **more)


CREDENTIAL, GUEST = credential_of("KEYHOLD"), credential_of("KEYHOLD_GUEST")
keys, access, settings = (c(URL, CREDENTIAL)
                          for c in (KeyClient, KeyVaultAccessControlClient, KeyVaultSettingsClient))
guest = KeyClient(URL, GUEST)


def refused(error, call, *args, status=None, **kw):
    """The call must raise exactly this error of the client."""
    try:
        call(*args, **kw)
    except error as e:
        assert status is None or e.status_code == status, e
        return e
    raise AssertionError(f"{call.__name__} was not refused")


def crypto(key, credential=CREDENTIAL):
    return CryptographyClient(key, credential)


# ---- keys

def own_names():
    own = credential_of("KEYHOLD", authority=ENV["KEYHOLD_ORIGIN"], disable_instance_discovery=True)
    made = keys.create_oct_key(NAME + "own", size=256)
    with KeyClient(ENV["KEYHOLD_OWN_URL"], own) as client:
        shown = client.get_key(NAME + "own")
    assert shown.properties.version == made.properties.version and shown.id.startswith(ENV["KEYHOLD_OWN_URL"])


def create_rsa():
    made = keys.create_rsa_key(NAME + "rsa", size=2048, hardware_protected=True, tags={"by": "python"})
    assert made.key_type == "RSA-HSM" and len(made.key.n) == 256 and made.key.e == b"\x01\x00\x01"
    assert made.key.d is None and made.properties.tags == {"by": "python"}


def create_ec():
    for curve, size in (("P-256", 32), ("P-384", 48), ("P-521", 66), ("P-256K", 32)):
        made = keys.create_ec_key(NAME + curve, curve=curve, hardware_protected=True)
        assert made.key_type == "EC-HSM" and made.key.crv == curve
        assert len(made.key.x) == len(made.key.y) == size and made.key.d is None


def create_oct():
    for size in (128, 192, 256):
        made = keys.create_oct_key(f"{NAME}oct-{size}", size=size, hardware_protected=True)
        assert made.key_type == "oct-HSM" and made.key.k is None


def imported(kind, kty, members, **more):
    given = {m: unb64u(MADE[kind][m]) for m in members}
    made = keys.import_key(NAME + "import-" + kind, JsonWebKey(kty=kty, **given, **more), hardware_protected=True)
    assert made.key_type == kty and made.properties.enabled
    return made


def import_rsa():
    made = imported("rsa", "RSA-HSM", ("n", "e", "d", "p", "q", "dp", "dq", "qi"), key_ops=["decrypt", "encrypt"])
    assert b64u(made.key.n) == MADE["rsa"]["n"] and made.key.d is None
    assert sorted(made.key_operations) == ["decrypt", "encrypt"]
    opened = crypto(made).decrypt(EncryptionAlgorithm.rsa_oaep_256, unb64u(MADE["rsa"]["ciphertext"]))
    assert opened.plaintext == unb64u(MADE["rsa"]["plaintext"])


def import_ec():
    made = imported("ec", "EC-HSM", ("x", "y", "d"), crv="P-256", key_ops=["sign", "verify"])
    assert b64u(made.key.x) == MADE["ec"]["x"] and made.key.d is None
    digest, signature = unb64u(MADE["ec"]["digest"]), unb64u(MADE["ec"]["signature"])
    assert crypto(made).verify(SignatureAlgorithm.es256, digest, signature).is_valid
    assert not crypto(made).verify(SignatureAlgorithm.es256, digest[::-1], signature).is_valid
    return signature_proof(made, "ES256", digest)


def import_oct():
    made = imported("oct", "oct-HSM", ("k",), key_ops=["encrypt", "decrypt"])
    assert made.key.k is None
    m = {k: unb64u(v) for k, v in MADE["oct"].items()}
    opened = crypto(made).decrypt(EncryptionAlgorithm.a256_gcm, m["ciphertext"], iv=m["iv"], authentication_tag=m["tag"],
                                  additional_authenticated_data=m["aad"])
    assert opened.plaintext == m["plaintext"]


def get():
    first = keys.create_ec_key(NAME + "get", curve="P-256")
    second = keys.create_ec_key(NAME + "get", curve="P-256")
    assert keys.get_key(NAME + "get").id == second.id
    old = keys.get_key(NAME + "get", first.properties.version)
    assert old.id == first.id and old.key.x == first.key.x != second.key.x


def update():
    keys.create_oct_key(NAME + "update", size=128, tags={"one": "1"})
    end = datetime.datetime(2099, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    keys.update_key_properties(NAME + "update", enabled=False, expires_on=end, tags={"two": "2"})
    shown = keys.get_key(NAME + "update").properties
    assert (shown.enabled, shown.expires_on, shown.tags) == (False, end, {"two": "2"})
    assert keys.update_key_properties(NAME + "update", enabled=True).properties.enabled


def many():
    return {f"{NAME}many-{i:02}" for i in range(MANY)}


def list_keys():
    for name in many():
        keys.create_oct_key(name, size=128)
    pages = [[k.name for k in page] for page in keys.list_properties_of_keys().by_page()]
    listed = [n for page in pages for n in page]
    assert len(pages) > 1 and len(listed) == len(set(listed)) and many() <= set(listed)


def list_versions():
    made = {keys.create_oct_key(NAME + "versions", size=128).id for _ in range(MANY)}
    pages = [[v.id for v in page] for page in keys.list_properties_of_key_versions(NAME + "versions").by_page()]
    assert len(pages) == 2 and {i for page in pages for i in page} == made


# ---- cryptography

def encrypt_rsa():
    client = crypto(keys.get_key(NAME + "rsa"))
    sealed = client.encrypt(EncryptionAlgorithm.rsa_oaep_256, b"secret").ciphertext
    assert client.decrypt(EncryptionAlgorithm.rsa_oaep_256, sealed).plaintext == b"secret"
    refused(HttpResponseError, client.decrypt, EncryptionAlgorithm.rsa_oaep_256, bytes(256), status=400)


def encrypt_gcm():
    client = crypto(keys.get_key(NAME + "oct-256"))
    sealed = client.encrypt(EncryptionAlgorithm.a256_gcm, b"secret", additional_authenticated_data=b"about")
    args = {"iv": sealed.iv, "authentication_tag": sealed.tag}
    opened = client.decrypt(EncryptionAlgorithm.a256_gcm, sealed.ciphertext, **args, additional_authenticated_data=b"about")
    assert opened.plaintext == b"secret"
    refused(HttpResponseError, client.decrypt, EncryptionAlgorithm.a256_gcm, sealed.ciphertext, **args,
            additional_authenticated_data=b"other", status=400)


class Remote:
    """A client without the right to read the key: this SDK computes AES-CBC and AES-KW of oct-HSM keys itself,
    with a random key, once it could read the key. Without, it asks the service."""

    def __init__(self, *actions):
        self.actions = [f"Microsoft.KeyVault/managedHsm/keys/{a}/action" for a in actions]

    def __enter__(self):
        self.scope = f"/keys/{NAME}oct-256"
        self.role = access.set_role_definition(KeyVaultRoleScope.GLOBAL, role_name=NAME + "remote",
                                               permissions=[KeyVaultPermission(data_actions=self.actions)])
        self.assignment = access.create_role_assignment(self.scope, self.role.id, ENV["KEYHOLD_GUEST_OID"])
        return crypto(keys.get_key(NAME + "oct-256").id, GUEST)

    def __exit__(self, *exc):
        access.delete_role_assignment(self.scope, self.assignment.name)
        access.delete_role_definition(KeyVaultRoleScope.GLOBAL, self.role.name)


def encrypt_cbc():
    with Remote("encrypt", "decrypt") as client:
        sealed = client.encrypt(EncryptionAlgorithm.a256_cbcpad, b"secret", iv=bytes(16))
        assert len(sealed.ciphertext) == 16
        opened = client.decrypt(EncryptionAlgorithm.a256_cbcpad, sealed.ciphertext, iv=sealed.iv)
        assert opened.plaintext == b"secret"
    return {"note": "without the right to read the key; with it, the client computes this itself, with a random key"}


def wrap_rsa():
    client = crypto(keys.get_key(NAME + "rsa"))
    wrapped = client.wrap_key(KeyWrapAlgorithm.rsa_oaep_256, b"k" * 32).encrypted_key
    assert client.unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, wrapped).key == b"k" * 32


def wrap_aes():
    with Remote("wrap", "unwrap") as client:
        wrapped = client.wrap_key(KeyWrapAlgorithm.aes_256, b"k" * 32).encrypted_key
        assert len(wrapped) == 40 and client.unwrap_key(KeyWrapAlgorithm.aes_256, wrapped).key == b"k" * 32
        refused(HttpResponseError, client.unwrap_key, KeyWrapAlgorithm.aes_256, bytes(40), status=400)
    return {"note": "without the right to read the key; with it, the client computes this itself, with a random key"}


def signature_proof(key, algorithm, digest):
    client = crypto(key)
    signature = client.sign(SignatureAlgorithm(algorithm), digest).signature
    assert client.verify(SignatureAlgorithm(algorithm), digest, signature).is_valid
    assert not client.verify(SignatureAlgorithm(algorithm), digest[::-1], signature).is_valid
    public = {m: b64u(getattr(key.key, m)) for m in ("n", "e", "x", "y") if getattr(key.key, m)}
    return {"proof": {"alg": algorithm, "crv": key.key.crv, "digest": b64u(digest), "signature": b64u(signature),
                      **public}}


def sign(algorithm, name):
    return lambda: signature_proof(keys.get_key(NAME + name), algorithm, DIGEST[int(algorithm[2:5])])


# ---- life of a key

def rotation_policy():
    keys.create_rsa_key(NAME + "rotate", size=2048, tags={"kept": "yes"})
    policy = KeyRotationPolicy(expires_in="P90D",
                               lifetime_actions=[KeyRotationLifetimeAction("Rotate", time_before_expiry="P30D")])
    put = keys.update_key_rotation_policy(NAME + "rotate", policy)
    got = keys.get_key_rotation_policy(NAME + "rotate")
    assert put.updated_on == got.updated_on and put.expires_in == got.expires_in == "P90D"
    assert [(a.action, a.time_before_expiry) for a in got.lifetime_actions] == [("Rotate", "P30D")]


def rotate():
    old = keys.get_key(NAME + "rotate")
    new = keys.rotate_key(NAME + "rotate")
    assert new.id != old.id and new.key_type == "RSA-HSM" and len(new.key.n) == 256 and new.key.n != old.key.n
    assert new.properties.tags == {"kept": "yes"}
    assert new.properties.expires_on - new.properties.created_on == datetime.timedelta(days=90)
    assert keys.get_key(NAME + "rotate").id == new.id
    assert keys.get_key(NAME + "rotate", old.properties.version).key.n == old.key.n


def delete():
    keys.create_ec_key(NAME + "gone", curve="P-256")
    keys.begin_delete_key(NAME + "gone").wait()
    refused(ResourceNotFoundError, keys.get_key, NAME + "gone")
    refused(ResourceExistsError, keys.create_ec_key, NAME + "gone", curve="P-256", status=409)


def get_deleted():
    shown = keys.get_deleted_key(NAME + "gone")
    assert shown.recovery_id.endswith(f"/deletedkeys/{NAME}gone")
    days = (shown.scheduled_purge_date - shown.deleted_date).days
    assert days == shown.properties.recoverable_days


def list_deleted():
    for name in many():
        keys.begin_delete_key(name)
    pages = [[k.name for k in page] for page in keys.list_deleted_keys().by_page()]
    assert len(pages) > 1 and many() <= {n for page in pages for n in page}


def recover():
    before = keys.get_deleted_key(NAME + "gone")
    assert keys.begin_recover_deleted_key(NAME + "gone").result().id == before.id
    assert keys.get_key(NAME + "gone").key.x == before.key.x


def purge():
    old = keys.get_key(NAME + "gone")
    keys.begin_delete_key(NAME + "gone").wait()
    keys.purge_deleted_key(NAME + "gone")
    refused(ResourceNotFoundError, keys.get_deleted_key, NAME + "gone")
    assert keys.create_ec_key(NAME + "gone", curve="P-256").id != old.id


def backup_restore():
    old = keys.create_ec_key(NAME + "backup", curve="P-256", tags={"kept": "yes"})
    signature = crypto(old).sign(SignatureAlgorithm.es256, DIGEST[256]).signature
    blob = keys.backup_key(NAME + "backup")
    refused(ResourceExistsError, keys.restore_key_backup, blob, status=409)
    keys.begin_delete_key(NAME + "backup").wait()
    keys.purge_deleted_key(NAME + "backup")
    back = keys.restore_key_backup(blob)
    assert back.id == old.id and back.properties.tags == {"kept": "yes"}
    assert crypto(back).verify(SignatureAlgorithm.es256, DIGEST[256], signature).is_valid


# ---- the pool

def random_bytes():
    one, two = keys.get_random_bytes(32), keys.get_random_bytes(32)
    assert len(one) == len(two) == 32 and one != two


SETTING = "AllowKeyManagementOperationsThroughARM"


def settings_list():
    found = {s.name: s for s in settings.list_settings()}
    assert found[SETTING].value == settings.get_setting(SETTING).value
    assert found[SETTING].setting_type == "boolean"


def settings_update():
    before = settings.get_setting(SETTING)
    other = not before.getboolean()
    try:
        changed = settings.update_setting(KeyVaultSetting(SETTING, other, "boolean"))
        assert changed.getboolean() == settings.get_setting(SETTING).getboolean() == other
    finally:
        settings.update_setting(before)


def role_definitions():
    found = {d.role_name: d for d in access.list_role_definitions(KeyVaultRoleScope.GLOBAL)}
    user = found["Managed HSM Crypto User"]
    assert user.role_type == "AKVBuiltInRole" and user.permissions[0].data_actions
    assert found["Managed HSM Crypto Service Encryption User"].name == ENCRYPTION_USER


def role_definition_custom():
    read = [KeyVaultPermission(data_actions=[KeyVaultDataAction.READ_HSM_KEY])]
    made = access.set_role_definition(KeyVaultRoleScope.GLOBAL, role_name=NAME + "readers", permissions=read)
    assert made.role_type == "CustomRole" and made.permissions[0].data_actions == read[0].data_actions
    access.set_role_definition(KeyVaultRoleScope.GLOBAL, name=made.name, role_name=NAME + "nobody", permissions=[])
    shown = access.get_role_definition(KeyVaultRoleScope.GLOBAL, made.name)
    assert shown.role_name == NAME + "nobody" and shown.id == made.id
    access.delete_role_definition(KeyVaultRoleScope.GLOBAL, made.name)
    refused(ResourceNotFoundError, access.get_role_definition, KeyVaultRoleScope.GLOBAL, made.name)


GUARDED, ASSIGNMENT = NAME + "guarded", str(uuid.uuid4())


def guest_is_refused():
    e = refused(HttpResponseError, guest.get_key, GUARDED, status=403)
    assert e.error.code == "AccessDenied" and "Not authorized" in e.message, e


def guest_refused():
    keys.create_oct_key(GUARDED, size=256)
    guest_is_refused()


def role_assignment_create():
    role = access.get_role_definition(KeyVaultRoleScope.GLOBAL, ENCRYPTION_USER)
    made = access.create_role_assignment(f"/keys/{GUARDED}", role.id, ENV["KEYHOLD_GUEST_OID"], name=ASSIGNMENT)
    assert made.name == ASSIGNMENT and made.properties.scope == f"/keys/{GUARDED}"


def role_assignment_get():
    shown = access.get_role_assignment(f"/keys/{GUARDED}", ASSIGNMENT)
    assert shown.properties.principal_id == ENV["KEYHOLD_GUEST_OID"]
    assert shown.properties.role_definition_id.endswith(ENCRYPTION_USER)


def role_assignment_list():
    assert ASSIGNMENT in {a.name for a in access.list_role_assignments(f"/keys/{GUARDED}")}


def accepted():
    assert guest.get_key(GUARDED).name == GUARDED
    refused(HttpResponseError, guest.get_key, NAME + "rsa", status=403)


def role_assignment_delete():
    access.delete_role_assignment(f"/keys/{GUARDED}", ASSIGNMENT)
    guest_is_refused()


def not_found():
    e = refused(ResourceNotFoundError, keys.get_key, NAME + "never-made", status=404)
    assert e.error.code == "KeyNotFound", e


STEPS = {
    "own-names": own_names, "create-rsa": create_rsa, "create-ec": create_ec, "create-oct": create_oct,
    "import-rsa": import_rsa, "import-ec": import_ec, "import-oct": import_oct, "get": get, "update": update,
    "list-keys": list_keys, "list-versions": list_versions, "encrypt-RSA-OAEP-256": encrypt_rsa,
    "encrypt-A256GCM": encrypt_gcm, "encrypt-A256CBCPAD": encrypt_cbc, "wrap-RSA-OAEP-256": wrap_rsa,
    "wrap-A256KW": wrap_aes, "sign-RS256": sign("RS256", "rsa"), "sign-PS256": sign("PS256", "rsa"),
    "sign-ES256": sign("ES256", "P-256"), "sign-ES384": sign("ES384", "P-384"), "sign-ES512": sign("ES512", "P-521"),
    "sign-ES256K": sign("ES256K", "P-256K"), "rotation-policy": rotation_policy, "rotate": rotate, "delete": delete,
    "get-deleted": get_deleted, "list-deleted": list_deleted, "recover": recover, "purge": purge,
    "backup-restore": backup_restore, "random-bytes": random_bytes, "settings-list": settings_list,
    "settings-update": settings_update, "role-definitions": role_definitions,
    "role-definition-custom": role_definition_custom, "refused": guest_refused,
    "role-assignment-create": role_assignment_create, "role-assignment-get": role_assignment_get,
    "role-assignment-list": role_assignment_list, "accepted": accepted,
    "role-assignment-delete": role_assignment_delete, "not-found": not_found,
}

for step, function in STEPS.items():
    try:
        line = {"step": step, "ok": True, **(function() or {})}
    except Exception as e:  # the next steps go on, and fail where they need this one
        where = traceback.extract_tb(e.__traceback__)[1:2]
        line = {"step": step, "ok": False, "detail": f"{type(e).__name__}: {e} (line {where[0].lineno if where else 0})"}
    print(json.dumps(line))
    sys.stdout.flush()
