"""The Azure SDK for Python with its defaults: challenge resource verification stays on."""
import datetime
import hashlib
import itertools
import json
import uuid

import pytest
from azure.core.exceptions import (ClientAuthenticationError, HttpResponseError,
                                   ResourceExistsError, ResourceNotFoundError)
from azure.identity import ClientSecretCredential, DefaultAzureCredential
from azure.keyvault.administration import (KeyVaultAccessControlClient, KeyVaultDataAction,
                                           KeyVaultPermission, KeyVaultRoleScope,
                                           KeyVaultSettingsClient, KeyVaultSettingType)
from azure.keyvault.keys import (JsonWebKey, KeyClient, KeyOperation, KeyReleasePolicy, KeyRotationLifetimeAction,
                                 KeyRotationPolicy, KeyRotationPolicyAction)
from azure.keyvault.keys.crypto import (CryptographyClient, EncryptionAlgorithm, KeyWrapAlgorithm,
                                        SignatureAlgorithm)
from azure.keyvault.securitydomain import SecurityDomainClient
from azure.keyvault.securitydomain.models import CertificateInfo, SecurityDomainJsonWebKey
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

import keyhold

VARIABLES = ("HTTPS_PROXY", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "AZURE_AUTHORITY_HOST",
             "AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "IDENTITY_ENDPOINT",
             "IDENTITY_HEADER", "http_proxy", "https_proxy", "NO_PROXY", "no_proxy")


def use(patch, settings):
    for name in VARIABLES:
        patch.delenv(name, raising=False)
    for name in ("HTTPS_PROXY", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "AZURE_AUTHORITY_HOST"):
        patch.setenv(name, settings[name])


@pytest.fixture(autouse=True)
def environment(pool, monkeypatch):
    """As after eval "$(keyhold env)". Pools of a test's own set theirs themselves."""
    use(monkeypatch, pool.env)


def credential_of(env, guest=False, authority=None):
    prefix = "KEYHOLD_GUEST" if guest else "KEYHOLD"
    return ClientSecretCredential(env["KEYHOLD_TENANT"], env[f"{prefix}_CLIENT_ID"],
                                  env[f"{prefix}_CLIENT_SECRET"],
                                  authority=authority or env["KEYHOLD_ORIGIN"],
                                  disable_instance_discovery=True)


@pytest.fixture(scope="module")
def credential(pool):
    return credential_of(pool.env)


@pytest.fixture(scope="module")
def keys(pool, credential):
    with KeyClient(pool.pool_url, credential) as client:
        yield client


@pytest.fixture(scope="module")
def access(pool, credential):
    with KeyVaultAccessControlClient(pool.pool_url, credential) as client:
        yield client


def crypto(key, credential):
    return CryptographyClient(key, credential)


# ---- keys

def test_every_kind_of_key(keys):
    for size in (2048, 3072, 4096):
        made = keys.create_rsa_key(f"sdk-rsa-{size}", size=size, hardware_protected=True)
        assert made.key_type == "RSA-HSM" and len(made.key.n) * 8 == size
        assert made.key.e == b"\x01\x00\x01" and made.key.d is None
    for curve, size in (("P-256", 32), ("P-384", 48), ("P-521", 66), ("P-256K", 32)):
        made = keys.create_ec_key(f"sdk-{curve}", curve=curve, hardware_protected=True)
        assert made.key_type == "EC-HSM" and made.key.crv == curve
        assert len(made.key.x) == len(made.key.y) == size
    for size in (128, 192, 256):
        made = keys.create_oct_key(f"sdk-aes-{size}", size=size, hardware_protected=True)
        assert made.key_type == "oct-HSM" and made.key.k is None
    for kty in ("RSA", "EC", "oct"):  # a pool makes HSM keys of them
        assert keys.create_key(f"sdk-soft-{kty}", kty).key_type == f"{kty}-HSM"


def test_attributes(keys, pool):
    start = datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    end = datetime.datetime(2099, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    made = keys.create_rsa_key("sdk-attributes", size=2048, not_before=start, expires_on=end,
                               enabled=False, tags={"one": "1", "two": "ü"},
                               key_operations=[KeyOperation.sign, KeyOperation.verify])
    p = made.properties
    assert (p.not_before, p.expires_on, p.enabled) == (start, end, False)
    assert p.tags == {"one": "1", "two": "ü"} and set(made.key_operations) == {"sign", "verify"}
    assert p.recoverable_days == 90 and p.recovery_level == "Recoverable+Purgeable"
    assert p.exportable is False and p.created_on == p.updated_on
    assert made.id == f"{pool.pool_url}/keys/sdk-attributes/{p.version}"
    later = end + datetime.timedelta(days=1)
    changed = keys.update_key_properties("sdk-attributes", expires_on=later, enabled=True,
                                         tags={"three": "3"}, key_operations=["sign"])
    assert changed.properties.expires_on == later and changed.properties.enabled is True
    assert changed.properties.tags == {"three": "3"} and changed.key_operations == ["sign"]
    shown = keys.get_key("sdk-attributes")
    assert shown.properties.not_before == start and shown.key.n == made.key.n
    assert shown.properties.updated_on >= shown.properties.created_on


def test_import(keys, credential):
    private = rsa.generate_private_key(65537, 2048)
    n = private.private_numbers()
    numbers = {"n": n.public_numbers.n, "e": n.public_numbers.e, "d": n.d, "p": n.p, "q": n.q, "dp": n.dmp1,
               "dq": n.dmq1, "qi": n.iqmp}
    material = JsonWebKey(kty="RSA-HSM", key_ops=["sign", "verify"],
                          **{k: v.to_bytes((v.bit_length() + 7) // 8, "big") for k, v in numbers.items()})
    made = keys.import_key("sdk-import", material, hardware_protected=True, tags={"a": "b"})
    assert made.key_type == "RSA-HSM" and made.key.n == material.n and made.key.d is None
    assert made.key_operations == ["sign", "verify"] and made.properties.tags == {"a": "b"}
    digest = hashlib.sha256(b"message").digest()
    signed = crypto(made, credential).sign(SignatureAlgorithm.ps256, digest).signature
    private.public_key().verify(signed, digest, padding.PSS(padding.MGF1(hashes.SHA256()), 32),
                                utils.Prehashed(hashes.SHA256()))
    again = keys.import_key("sdk-import", JsonWebKey(kty="oct-HSM", k=bytes(range(32))))
    assert again.key_type == "oct-HSM" and again.key.k is None
    assert [v.version for v in keys.list_properties_of_key_versions("sdk-import")] == [
        made.properties.version, again.properties.version]
    with pytest.raises(HttpResponseError, match="k property of oct key is too large, maximum size is 64"):
        keys.import_key("sdk-import", JsonWebKey(kty="oct-HSM", k=bytes(65)))


def test_release_policy(keys):
    def policy(claim):
        return json.dumps({"anyOf": [{"anyOf": [{"claim": claim, "equals": "true"}], "authority": "https://a.example/"}],
                           "version": "1.0.0"}).encode()
    made = keys.create_rsa_key("sdk-export", hardware_protected=True, exportable=True,
                               release_policy=KeyReleasePolicy(policy("sdk-test")))
    assert made.properties.exportable is True
    shown = keys.get_key("sdk-export").properties.release_policy
    assert json.loads(shown.encoded_policy) == json.loads(policy("sdk-test")) and shown.immutable is False
    changed = keys.update_key_properties("sdk-export", release_policy=KeyReleasePolicy(policy("other"), immutable=True))
    assert json.loads(changed.properties.release_policy.encoded_policy) == json.loads(policy("other"))
    with pytest.raises(HttpResponseError, match="AKV.SKR.1020: Immutable Key Release Policy cannot be modified."):
        keys.update_key_properties("sdk-export", release_policy=KeyReleasePolicy(policy("sdk-test")))
    with pytest.raises(HttpResponseError, match="Exportable keys must have release policy"):
        keys.create_ec_key("sdk-export", exportable=True)
    with pytest.raises(HttpResponseError, match="Non-exportable keys must not have release policy"):
        keys.create_ec_key("sdk-export", release_policy=KeyReleasePolicy(policy("sdk-test")))


def test_backup_and_restore(keys, credential):
    made = [keys.create_ec_key("sdk-backup", curve="P-256", tags={"a": "b"}), keys.create_rsa_key("sdk-backup", size=2048)]
    blob = keys.backup_key("sdk-backup")
    assert isinstance(blob, bytes) and blob.count(b".") == 4
    with pytest.raises(ResourceExistsError, match="already exists"):
        keys.restore_key_backup(blob)
    keys.begin_delete_key("sdk-backup").wait()
    with pytest.raises(ResourceExistsError, match="deleted but recoverable"):
        keys.restore_key_backup(blob)
    keys.purge_deleted_key("sdk-backup")
    back = keys.restore_key_backup(blob)
    assert back.id == made[1].id and back.key.n == made[1].key.n
    assert back.properties.created_on == made[1].properties.created_on
    old = keys.get_key("sdk-backup", made[0].properties.version)
    assert old.key.x == made[0].key.x and old.properties.tags == {"a": "b"}
    digest = hashlib.sha256(b"message").digest()
    signed = crypto(back, credential).sign(SignatureAlgorithm.rs256, digest).signature
    assert crypto(back, credential).verify(SignatureAlgorithm.rs256, digest, signed).is_valid
    with pytest.raises(HttpResponseError, match="Backup blob belongs to a different crypto domain"):
        keys.restore_key_backup(blob[:-1] + b"A")


def test_lists_of_more_than_a_page(keys, pool):
    names = {f"sdk-page-{i:02}" for i in range(60)}
    for name in names:
        pool.ok("POST", f"/keys/{name}/create", {"kty": "oct-HSM", "key_size": 256})
    pages = [list(page) for page in keys.list_properties_of_keys().by_page()]
    listed = [k.name for page in pages for k in page]
    assert len(pages) >= 3 and max(map(len, pages)) == 25
    assert len(listed) == len(set(listed)) and names <= set(listed)
    small = keys.list_properties_of_keys(max_page_size=7).by_page()
    assert len(list(next(small))) == 7 and len(list(next(small))) == 7
    for k in keys.list_properties_of_keys():
        assert k.vault_url == pool.pool_url and k.version is None


def test_versions_of_more_than_a_page(keys):
    made = [keys.create_oct_key("sdk-versions", size=128) for _ in range(30)]
    versions = [v.version for v in keys.list_properties_of_key_versions("sdk-versions")]
    assert sorted(versions) == sorted(k.properties.version for k in made)
    assert keys.get_key("sdk-versions").properties.version == made[-1].properties.version
    old = keys.get_key("sdk-versions", made[0].properties.version)
    assert old.id == made[0].id
    keys.update_key_properties("sdk-versions", version=made[0].properties.version, enabled=False)
    states = {v.version: v.enabled for v in keys.list_properties_of_key_versions("sdk-versions")}
    assert states.pop(made[0].properties.version) is False and all(states.values())
    assert list(keys.list_properties_of_key_versions("sdk-never-made")) == []


def test_delete_recover_purge(keys):
    made = keys.create_ec_key("sdk-gone", curve="P-256")
    deleted = keys.begin_delete_key("sdk-gone").result()
    assert deleted.recovery_id.endswith("/deletedkeys/sdk-gone") and deleted.deleted_date
    assert deleted.scheduled_purge_date - deleted.deleted_date == datetime.timedelta(days=90)
    with pytest.raises(ResourceNotFoundError):
        keys.get_key("sdk-gone")
    with pytest.raises(ResourceExistsError, match="deleted but recoverable"):
        keys.create_ec_key("sdk-gone", curve="P-256")
    assert "sdk-gone" in {k.name for k in keys.list_deleted_keys()}
    assert keys.get_deleted_key("sdk-gone").id == made.id
    assert keys.begin_recover_deleted_key("sdk-gone").result().id == made.id
    assert keys.get_key("sdk-gone").key.x == made.key.x
    keys.begin_delete_key("sdk-gone").wait()
    keys.purge_deleted_key("sdk-gone")
    with pytest.raises(ResourceNotFoundError):
        keys.get_deleted_key("sdk-gone")
    assert keys.create_ec_key("sdk-gone", curve="P-256").id != made.id


def test_deleted_lists_of_more_than_a_page(keys, pool):
    names = {f"sdk-deleted-{i:02}" for i in range(28)}
    for name in names:
        pool.ok("POST", f"/keys/{name}/create", {"kty": "oct-HSM"})
        pool.ok("DELETE", f"/keys/{name}")
    assert names <= {k.name for k in keys.list_deleted_keys()}


# ---- cryptography

def test_rsa(keys, credential, pool):
    key = keys.create_rsa_key("sdk-crypt-rsa", size=2048, hardware_protected=True)
    client = crypto(key, credential)
    public = rsa.RSAPublicNumbers(int.from_bytes(key.key.e, "big"),
                                  int.from_bytes(key.key.n, "big")).public_key()
    for algorithm in (EncryptionAlgorithm.rsa_oaep_256, EncryptionAlgorithm.rsa_oaep,
                      EncryptionAlgorithm.rsa1_5):
        sealed = client.encrypt(algorithm, b"secret").ciphertext  # the client computes this itself
        assert client.decrypt(algorithm, sealed).plaintext == b"secret"
    wrapped = client.wrap_key(KeyWrapAlgorithm.rsa_oaep_256, b"k" * 32)
    unwrapped = client.unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, wrapped.encrypted_key)
    assert unwrapped.key == b"k" * 32 and unwrapped.key_id == key.id
    for bits in (256, 384, 512):
        made = getattr(hashes, f"SHA{bits}")()
        digest = hashlib.new(f"sha{bits}", b"message").digest()
        pkcs1 = client.sign(SignatureAlgorithm(f"RS{bits}"), digest)
        public.verify(pkcs1.signature, digest, padding.PKCS1v15(), utils.Prehashed(made))
        pss = client.sign(SignatureAlgorithm(f"PS{bits}"), digest)
        public.verify(pss.signature, digest, padding.PSS(padding.MGF1(made), bits // 8),
                      utils.Prehashed(made))
        assert client.verify(SignatureAlgorithm(f"PS{bits}"), digest, pss.signature).is_valid
    with pytest.raises(HttpResponseError):
        client.decrypt(EncryptionAlgorithm.rsa_oaep_256, bytes(256))


@pytest.mark.parametrize("curve,algorithm,made", [
    ("P-256", "ES256", ec.SECP256R1), ("P-384", "ES384", ec.SECP384R1),
    ("P-521", "ES512", ec.SECP521R1), ("P-256K", "ES256K", ec.SECP256K1)])
def test_ec(keys, credential, curve, algorithm, made):
    key = keys.create_ec_key(f"sdk-sign-{curve}", curve=curve, hardware_protected=True)
    client = crypto(key, credential)
    name = {"ES256": "SHA256", "ES256K": "SHA256", "ES384": "SHA384", "ES512": "SHA512"}[algorithm]
    digest = hashlib.new(name.lower(), b"message").digest()
    raw = client.sign(SignatureAlgorithm(algorithm), digest).signature
    half = len(raw) // 2
    assert half == len(key.key.x)
    public = ec.EllipticCurvePublicNumbers(int.from_bytes(key.key.x, "big"),
                                           int.from_bytes(key.key.y, "big"), made()).public_key()
    der = utils.encode_dss_signature(int.from_bytes(raw[:half], "big"),
                                     int.from_bytes(raw[half:], "big"))
    public.verify(der, digest, ec.ECDSA(utils.Prehashed(getattr(hashes, name)())))
    assert client.verify(SignatureAlgorithm(algorithm), digest, raw).is_valid
    assert not client.verify(SignatureAlgorithm(algorithm), digest[::-1], raw).is_valid


@pytest.mark.parametrize("size", [128, 192, 256])
def test_aes_gcm(keys, credential, size):
    key = keys.create_oct_key(f"sdk-gcm-{size}", size=size, hardware_protected=True)
    client = crypto(key, credential)
    algorithm = EncryptionAlgorithm(f"A{size}GCM")
    seen = set()
    for length in (0, 1, 16, 1000, 20000):
        sealed = client.encrypt(algorithm, b"x" * length, additional_authenticated_data=b"about")
        assert len(sealed.iv) == 12 and len(sealed.tag) == 16 and len(sealed.ciphertext) == length
        seen.add(sealed.iv)
        args = {"iv": sealed.iv, "authentication_tag": sealed.tag}
        opened = client.decrypt(algorithm, sealed.ciphertext, **args,
                                additional_authenticated_data=b"about")
        assert opened.plaintext == b"x" * length
        with pytest.raises(HttpResponseError):
            client.decrypt(algorithm, sealed.ciphertext, **args,
                           additional_authenticated_data=b"other")
    assert len(seen) == 5


def test_disabled_and_limited_keys(keys, credential):
    key = keys.create_oct_key("sdk-limited", size=256, key_operations=["encrypt"])
    client = crypto(key.id, credential)
    sealed = client.encrypt(EncryptionAlgorithm.a256_gcm, b"x")
    with pytest.raises(HttpResponseError):
        client.decrypt(EncryptionAlgorithm.a256_gcm, sealed.ciphertext, iv=sealed.iv,
                       authentication_tag=sealed.tag)
    keys.update_key_properties("sdk-limited", enabled=False)
    with pytest.raises(HttpResponseError) as e:
        crypto(key.id, credential).encrypt(EncryptionAlgorithm.a256_gcm, b"x")
    assert e.value.status_code == 403 and e.value.error.code == "Forbidden"


# ---- rotation

def test_rotation_policy(keys):
    made = keys.create_ec_key("sdk-rotated", curve="P-384", hardware_protected=True,
                              tags={"a": "b"})
    empty = keys.get_key_rotation_policy("sdk-rotated")
    assert empty.id.endswith("/keys/sdk-rotated/rotationpolicy") and empty.lifetime_actions == []
    assert empty.expires_in is None and empty.created_on is None
    actions = [KeyRotationLifetimeAction(KeyRotationPolicyAction.rotate, time_after_create="P18M"),
               KeyRotationLifetimeAction(KeyRotationPolicyAction.notify, time_before_expiry="P30D")]
    put = keys.update_key_rotation_policy("sdk-rotated", KeyRotationPolicy(), expires_in="P2Y",
                                          lifetime_actions=actions)
    got = keys.get_key_rotation_policy("sdk-rotated")
    for policy in (put, got):
        assert policy.expires_in == "P2Y" and policy.created_on == policy.updated_on
        assert [(a.action, a.time_after_create, a.time_before_expiry)
                for a in policy.lifetime_actions] == [
                    (KeyRotationPolicyAction.rotate, "P18M", None),
                    (KeyRotationPolicyAction.notify, None, "P30D")]
    with pytest.raises(HttpResponseError) as refused:
        keys.update_key_rotation_policy("sdk-rotated", KeyRotationPolicy(), expires_in="P27D",
                                        lifetime_actions=[])
    assert refused.value.status_code == 400
    assert "expiryTime must be at least 28 days." in refused.value.error.message
    rotated = keys.rotate_key("sdk-rotated")
    assert rotated.properties.version != made.properties.version
    assert rotated.key.crv == "P-384" and rotated.key.x != made.key.x
    assert rotated.properties.tags == {"a": "b"}
    lifetime = rotated.properties.expires_on - rotated.properties.created_on
    assert lifetime.days in (730, 731)
    gone = keys.update_key_rotation_policy("sdk-rotated", KeyRotationPolicy(), lifetime_actions=[])
    assert gone.lifetime_actions == [] and gone.created_on is None
    with pytest.raises(HttpResponseError):
        keys.rotate_key("sdk-rotated")


# ---- random bytes, settings

def test_random_bytes(keys):
    drawn = {keys.get_random_bytes(n) for n in (1, 16, 128) for _ in range(2)}
    assert {len(value) for value in drawn} == {1, 16, 128} and len(drawn) >= 5
    with pytest.raises(HttpResponseError) as refused:
        keys.get_random_bytes(129)
    assert refused.value.status_code == 400
    assert refused.value.error.code == "BadParameter"
    assert refused.value.error.message.startswith(
        "GetRandomBytesRequest: count cannot be greater than 128 or less than 1 (Activity ID: ")


def test_settings(pool, credential):
    name = "AllowKeyManagementOperationsThroughARM"
    with KeyVaultSettingsClient(pool.pool_url, credential) as settings:
        listed = list(settings.list_settings())
        assert [s.name for s in listed] == [name] and listed[0].getboolean() is False
        setting = settings.get_setting(name)
        assert setting.setting_type == KeyVaultSettingType.BOOLEAN and setting.value == "false"
        for value in (True, False):
            setting.value = str(value).lower()
            assert settings.update_setting(setting).getboolean() is value
            assert settings.get_setting(name).getboolean() is value
        with pytest.raises(ResourceNotFoundError):
            settings.get_setting("NoSuchSetting")


# ---- roles

def test_role_definitions(access):
    names = {d.role_name: d for d in access.list_role_definitions(KeyVaultRoleScope.GLOBAL)}
    user = names["Managed HSM Crypto User"]
    assert user.name == keyhold.CRYPTO_USER and user.role_type == "AKVBuiltInRole"
    assert user.assignable_scopes == ["/"] and user.permissions[0].data_actions
    permission = KeyVaultPermission(data_actions=[KeyVaultDataAction.READ_HSM_KEY])
    made = access.set_role_definition(KeyVaultRoleScope.GLOBAL, role_name="Readers",
                                      description="read", permissions=[permission])
    assert (made.role_type, made.role_name) == ("CustomRole", "Readers")
    changed = access.set_role_definition(KeyVaultRoleScope.GLOBAL, name=made.name, permissions=[],
                                         role_name="Nobody")
    assert changed.id == made.id and changed.role_name == "Nobody" and not changed.permissions
    assert access.get_role_definition(KeyVaultRoleScope.GLOBAL, made.name).role_name == "Nobody"
    access.delete_role_definition(KeyVaultRoleScope.GLOBAL, made.name)
    access.delete_role_definition(KeyVaultRoleScope.GLOBAL, made.name)  # a second time: no error
    with pytest.raises(ResourceNotFoundError):
        access.get_role_definition(KeyVaultRoleScope.GLOBAL, made.name)
    with pytest.raises(HttpResponseError, match="built-in role"):
        access.delete_role_definition(KeyVaultRoleScope.GLOBAL, keyhold.CRYPTO_USER)


@pytest.mark.parametrize("scope", [KeyVaultRoleScope.GLOBAL, KeyVaultRoleScope.KEYS,
                                   "/keys/sdk-guarded"])
def test_role_assignments(access, keys, pool, scope):
    keys.create_oct_key("sdk-guarded", size=256)
    guest = KeyClient(pool.pool_url, credential_of(pool.env, guest=True))
    with pytest.raises(HttpResponseError) as e:
        guest.get_key("sdk-guarded")
    assert e.value.status_code == 403 and e.value.error.code == "AccessDenied"
    definition = next(d for d in access.list_role_definitions(scope)
                      if d.role_name == "Managed HSM Crypto Service Encryption User")
    name = str(uuid.uuid4())
    made = access.create_role_assignment(scope, definition.id, pool.env["KEYHOLD_GUEST_OID"],
                                         name=name)
    assert made.name == name and made.properties.scope == scope
    assert made.properties.role_definition_id == definition.id
    assert guest.get_key("sdk-guarded").name == "sdk-guarded"
    if scope == "/keys/sdk-guarded":
        with pytest.raises(HttpResponseError):
            guest.get_key("sdk-guarded2")
    assert name in {a.name for a in access.list_role_assignments(scope)}
    assert access.get_role_assignment(scope, name).role_assignment_id == made.role_assignment_id
    with pytest.raises(HttpResponseError, match="already exists"):
        access.create_role_assignment(scope, definition.id, pool.env["KEYHOLD_GUEST_OID"],
                                      name=name)
    access.delete_role_assignment(scope, name)
    access.delete_role_assignment(scope, name)  # a second time: no error
    with pytest.raises(HttpResponseError) as e:  # at once, with the token it already has
        guest.get_key("sdk-guarded")
    assert e.value.status_code == 403


# ---- credentials

def test_a_wrong_secret(pool):
    bad = ClientSecretCredential(pool.env["KEYHOLD_TENANT"], pool.env["KEYHOLD_CLIENT_ID"], "no",
                                 authority=pool.env["KEYHOLD_ORIGIN"],
                                 disable_instance_discovery=True)
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        KeyClient(pool.pool_url, bad).get_key("x")


def test_default_credential_from_the_environment(pool, monkeypatch, keys):
    keys.create_oct_key("sdk-default", size=256)
    for name in ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET"):
        monkeypatch.setenv(f"AZURE_{name}", pool.env[f"KEYHOLD_{name.removesuffix('_ID')}"
                                                     if name == "TENANT_ID" else f"KEYHOLD_{name}"])
    client = KeyClient(pool.pool_url, DefaultAzureCredential(disable_instance_discovery=True))
    assert client.get_key("sdk-default").name == "sdk-default"


def test_all_defaults_with_the_names_of_the_public_cloud(pool, monkeypatch, keys):
    """Not one option: what a program written for the cloud does."""
    keys.create_oct_key("sdk-default", size=256)
    use(monkeypatch, pool.read_env("--azure-names"))
    plain = ClientSecretCredential(pool.env["KEYHOLD_TENANT"], pool.env["KEYHOLD_CLIENT_ID"],
                                   pool.env["KEYHOLD_CLIENT_SECRET"])
    url = f"https://{pool.name}.managedhsm.azure.net"
    key = KeyClient(url, plain).get_key("sdk-default")
    assert key.id.startswith(url + "/keys/sdk-default/")
    sealed = CryptographyClient(key, plain).encrypt(EncryptionAlgorithm.a256_gcm, b"x")
    assert sealed.key_id == key.id


# ---- security domain

def certificate_info(vector, required):
    certificates = [SecurityDomainJsonWebKey(json.loads(json.dumps(c)))
                    for c in vector["download_request"]["certificates"]]
    return CertificateInfo(certificates=certificates, required=required)


def test_security_domain_of_a_fresh_pool(custodians, oracle, monkeypatch):
    fresh = keyhold.Pool(name="sdk-fresh")
    try:
        fresh.start(activate=False)
        use(monkeypatch, fresh.env)
        client = SecurityDomainClient(fresh.pool_url, credential_of(fresh.env))
        with pytest.raises(HttpResponseError) as e:
            client.begin_download(certificate_info(custodians.vector, 4))
        assert e.value.status_code == 400 and fresh.status()["state"] == "NotActivated"
        poller = client.begin_download(certificate_info(custodians.vector, 2))
        text = poller.result().value
        assert poller.status().lower() in ("success", "succeeded", "finished")
        assert fresh.status()["state"] == "Active"
        opened = [oracle.open_domain(text, dict(pair))
                  for pair in itertools.combinations(custodians.keys.items(), 2)]
        assert all(o == opened[0] for o in opened) and opened[0][1]
        assert client.get_download_status().status == "Success"
    finally:
        fresh.stop()
