"""The Azure CLI as people use it, on a pool that it activates itself."""
import base64
import hashlib
import itertools
import json

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

import keyhold

HSM = "kv-mhsm-prod"
BUILT_IN = {"Managed HSM Administrator", "Managed HSM Crypto Officer", "Managed HSM Crypto User",
            "Managed HSM Policy Administrator", "Managed HSM Crypto Auditor",
            "Managed HSM Crypto Service Encryption User",
            "Managed HSM Crypto Service Release User", "Managed HSM Backup User"}


@pytest.fixture(scope="module")
def fresh():
    p = keyhold.Pool(name=HSM)
    try:
        p.start(activate=False)
        yield p
    finally:
        p.stop()


def login(az, env):
    """Also somebody without any right in the subscription, who is then not shown it."""
    return az("login", "--service-principal", "--allow-no-subscriptions", "-u", env["KEYHOLD_CLIENT_ID"], "-p",
              env["KEYHOLD_CLIENT_SECRET"], "-t", env["KEYHOLD_TENANT"])


@pytest.fixture(scope="module")
def new_az(fresh, make_az):
    """The cloud found by discovery from the resource manager; nobody logged in."""
    env = fresh.client_env()
    del env["ARM_CLOUD_METADATA_URL"]
    az = make_az(env)
    az("cloud", "register", "--name", "Keyhold", "--endpoint-resource-manager",
       env["KEYHOLD_ORIGIN"])
    az("cloud", "set", "--name", "Keyhold")
    return az


@pytest.fixture(scope="module")
def logged_in(fresh, new_az):
    return new_az, login(new_az, fresh.env)


@pytest.fixture(scope="module")
def domain(logged_in, custodians, tmp_path_factory):
    """Path of the security domain; downloading it activates the pool."""
    file = tmp_path_factory.mktemp("domain") / "sd.json"
    logged_in[0]("keyvault", "security-domain", "download", "--hsm-name", HSM,
                 "--sd-wrapping-keys", *custodians.certificates, "--sd-quorum", 2,
                 "--security-domain-file", file)
    return file


@pytest.fixture(scope="module")
def az(logged_in, domain, fresh):
    """Active, and the administrator may use keys."""
    az = logged_in[0]
    for role in ("Managed HSM Crypto User", "Managed HSM Crypto Officer"):
        made = az("keyvault", "role", "assignment", "create", "--hsm-name", HSM, "--role", role,
                  "--assignee-object-id", fresh.env["KEYHOLD_ADMIN_OID"],
                  "--assignee-principal-type", "ServicePrincipal", "--scope", "/")
        assert made["roleName"] == role
    return az


def key(az, *args):
    return az("keyvault", "key", *args, "--hsm-name", HSM)


# ---- login and activation

def test_login(fresh, logged_in):
    accounts = logged_in[1]
    assert [a["tenantId"] for a in accounts] == [fresh.env["KEYHOLD_TENANT"]]
    assert accounts[0]["state"] == "Enabled" and accounts[0]["cloudName"] == "Keyhold"
    assert accounts[0]["user"] == {"name": fresh.env["KEYHOLD_CLIENT_ID"],
                                   "type": "servicePrincipal"}


def test_login_with_a_wrong_secret(fresh, make_az):
    other = make_az(fresh.client_env())
    status, text = other.fails("login", "--service-principal", "-u",
                               fresh.env["KEYHOLD_CLIENT_ID"], "-p", "wrong", "-t",
                               fresh.env["KEYHOLD_TENANT"])
    assert status == 1 and "AADSTS7000215" in text


def test_before_activation_keys_are_refused(fresh, logged_in):
    if fresh.status()["state"] == "Active":
        pytest.fail("this test must run before the security domain is downloaded")
    status, text = logged_in[0].fails("keyvault", "key", "list", "--hsm-name", HSM)
    assert status == 1 and "(Forbidden)" in text and "not activated" in text


def test_the_security_domain_opens_with_every_quorum(fresh, domain, custodians, oracle):
    assert fresh.status()["state"] == "Active"
    opened = [oracle.open_domain(domain.read_text(), dict(pair))
              for pair in itertools.combinations(custodians.keys.items(), 2)]
    assert len(opened) == 3 and all(o == opened[0] for o in opened) and opened[0][1]


def test_a_quorum_above_the_custodians_is_refused_by_the_pool(logged_in, domain, custodians,
                                                              tmp_path):
    file = tmp_path / "no.json"
    status, text = logged_in[0].fails(
        "keyvault", "security-domain", "download", "--hsm-name", HSM, "--sd-wrapping-keys",
        *custodians.certificates, "--sd-quorum", 5, "--security-domain-file", file)
    assert status == 1 and "BadParameter" in text
    assert not file.exists() or not file.read_text()


def test_the_cli_rebuilds_a_restore_blob_from_the_file(logged_in, domain, custodians, oracle,
                                                       tmp_path):
    exchange = custodians.vector["exchange"]
    certificate, blob = tmp_path / "exchange.cer", tmp_path / "blob.json"
    certificate.write_text(exchange["certificate_pem"])
    logged_in[0]("keyvault", "security-domain", "restore-blob", "--sd-exchange-key", certificate,
                 "--sd-file", domain, "--sd-wrapping-keys", *custodians.private[1:],
                 "--sd-file-restore-blob", blob)
    value = json.loads(blob.read_text())["value"] if '"value"' in blob.read_text()[:20] else \
        blob.read_text()
    _, items = oracle.open_restore(value, oracle.key(exchange["private_key_pem"]),
                                   oracle.thumb(exchange["certificate_pem"]))
    assert items == oracle.open_domain(domain.read_text(), custodians.keys)[1]


# ---- roles

def role(az, kind, verb, *args):
    return az("keyvault", "role", kind, verb, "--hsm-name", HSM, *args)


def test_role_definitions(az):
    names = {d["roleName"] for d in role(az, "definition", "list")}
    assert BUILT_IN <= names
    for scope in ("/", "/keys", "/keys/some-key"):
        assert BUILT_IN <= {d["roleName"] for d in role(az, "definition", "list", "--scope", scope)}
    assert role(az, "definition", "list", "--custom-role-only", "true") == []


def test_custom_role(az, tmp_path):
    file = tmp_path / "role.json"
    actions = ["Microsoft.KeyVault/managedHsm/keys/read/action",
               "Microsoft.KeyVault/managedHsm/keys/sign/action"]
    file.write_text(json.dumps({"roleName": "Signers", "description": "may sign",
                                "actions": [], "notActions": [], "dataActions": actions,
                                "notDataActions": []}))
    made = role(az, "definition", "create", "--role-definition", file)
    assert (made["roleName"], made["roleType"]) == ("Signers", "CustomRole")
    assert set(made["permissions"][0]["dataActions"]) == set(actions)
    changed = {"name": made["name"], "roleName": "Signers", "description": "sign and verify",
               "dataActions": actions + ["Microsoft.KeyVault/managedHsm/keys/verify/action"]}
    role(az, "definition", "update", "--role-definition", json.dumps(changed))
    shown = role(az, "definition", "show", "--name", made["name"])
    assert shown["description"] == "sign and verify"
    assert len(shown["permissions"][0]["dataActions"]) == 3
    custom = role(az, "definition", "list", "--custom-role-only", "true")
    assert [d["name"] for d in custom] == [made["name"]]
    role(az, "definition", "delete", "--name", made["name"])
    assert role(az, "definition", "list", "--custom-role-only", "true") == []
    status, text = az.fails("keyvault", "role", "definition", "show", "--hsm-name", HSM, "--name",
                            made["name"])
    assert status == 3 and "RoleDefinitionNotFound" in text


def test_built_in_roles_cannot_be_changed(az):
    text = az.fails("keyvault", "role", "definition", "update", "--hsm-name", HSM,
                    "--role-definition", json.dumps({"name": keyhold.CRYPTO_USER, "roleName": "x",
                                                     "dataActions": []}))[1]
    assert "BadParameter" in text and "built-in role" in text


@pytest.mark.parametrize("scope", ["/", "/keys", "/keys/guarded"])
def test_role_assignments(az, fresh, scope):
    oid = fresh.env["KEYHOLD_GUEST_OID"]
    made = role(az, "assignment", "create", "--role", "Managed HSM Crypto Auditor", "--assignee",
                oid, "--scope", scope)
    assert made["principalId"] == oid and made["scope"] == scope
    text = az.fails("keyvault", "role", "assignment", "create", "--hsm-name", HSM, "--role",
                    "Managed HSM Crypto Auditor", "--assignee", oid, "--scope", scope)[1]
    assert "MatchingRoleAssignmentExists" in text
    listed = role(az, "assignment", "list", "--scope", scope, "--assignee-object-id", oid)
    assert [(a["name"], a["roleName"], a["scope"]) for a in listed] == [
        (made["name"], "Managed HSM Crypto Auditor", scope)]
    role(az, "assignment", "delete", "--name", made["name"], "--scope", scope)
    assert role(az, "assignment", "list", "--scope", scope, "--assignee-object-id", oid) == []


def test_role_assignment_by_names_that_the_directory_resolves(az, fresh):
    upn = fresh.env["KEYHOLD_USER"]
    made = role(az, "assignment", "create", "--role", "Managed HSM Crypto Auditor", "--assignee",
                upn, "--scope", "/keys")
    assert made["principalId"] == fresh.env["KEYHOLD_USER_OID"]
    assert made["principalName"] == upn
    role(az, "assignment", "delete", "--assignee", upn, "--role", "Managed HSM Crypto Auditor",
         "--scope", "/keys")
    assert role(az, "assignment", "list", "--scope", "/keys", "--assignee", upn) == []


# ---- keys

def test_create_all_kinds(az):
    rsa_key = key(az, "create", "--name", "rsa", "--kty", "RSA-HSM", "--size", 2048)
    assert rsa_key["key"]["kty"] == "RSA-HSM" and len(base64.b64decode(rsa_key["key"]["n"])) == 256
    assert key(az, "create", "--name", "rsa3", "--kty", "RSA-HSM", "--size", 3072)
    for curve, size in (("P-256", 32), ("P-384", 48), ("P-521", 66), ("P-256K", 32)):
        made = key(az, "create", "--name", f"ec-{curve}", "--kty", "EC-HSM", "--curve", curve)
        assert made["key"]["crv"] == curve and len(base64.b64decode(made["key"]["x"])) == size
    for size in (128, 192, 256):
        made = key(az, "create", "--name", f"aes-{size}", "--kty", "oct-HSM", "--size", size)
        assert made["key"]["kty"] == "oct-HSM" and made["key"]["k"] is None
    made = key(az, "create", "--name", "limited", "--kty", "RSA-HSM", "--ops", "sign", "verify",
               "--tags", "team=a", "--expires", "2099-01-01T00:00:00Z", "--not-before",
               "2020-01-01T00:00:00Z", "--disabled", "true")
    assert set(made["key"]["keyOps"]) == {"sign", "verify"}
    assert made["tags"] == {"team": "a"} and made["attributes"]["enabled"] is False
    assert made["attributes"]["expires"].startswith("2099-01-01T00:00:00")
    assert made["attributes"]["recoveryLevel"] == "Recoverable+Purgeable"
    listed = {k["name"] for k in key(az, "list")}
    assert {"rsa", "rsa3", "ec-P-256", "aes-256", "limited"} <= listed


@pytest.mark.parametrize("encrypted", [False, True])
def test_import(az, tmp_path, encrypted):
    """RSA from a PEM file and EC from a string; the client takes the numbers out of it."""
    private = rsa.generate_private_key(65537, 2048)
    kind = serialization.BestAvailableEncryption(b"pass") if encrypted else serialization.NoEncryption()
    file = tmp_path / "rsa.pem"
    file.write_bytes(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, kind))
    made = key(az, "import", "--name", "in-rsa", "--pem-file", file, *(["--pem-password", "pass"] if encrypted else []))
    assert made["key"]["kty"] == "RSA-HSM"
    assert int.from_bytes(base64.b64decode(made["key"]["n"]), "big") == private.public_key().public_numbers().n
    digest = hashlib.sha256(b"message").digest()
    signed = key(az, "sign", "--name", "in-rsa", "--algorithm", "RS256", "--digest", base64.b64encode(digest).decode())
    private.public_key().verify(base64.b64decode(signed["signature"]), digest, padding.PKCS1v15(),
                                utils.Prehashed(hashes.SHA256()))


def test_import_ec_with_options(az):
    private = ec.generate_private_key(ec.SECP384R1())
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL,
                                serialization.NoEncryption()).decode()
    made = key(az, "import", "--name", "in-ec", "--pem-string", pem, "--ops", "sign", "--tags", "a=b", "--disabled", "true")
    assert made["key"]["crv"] == "P-384" and made["key"]["keyOps"] == ["sign"] and made["tags"] == {"a": "b"}
    assert int.from_bytes(base64.b64decode(made["key"]["x"]), "big") == private.public_key().public_numbers().x
    assert made["attributes"]["enabled"] is False


def test_exportable_with_a_policy(az, tmp_path):
    policy = {"version": "1.0.0", "anyOf": [{"authority": "https://attest.example", "allOf": [
        {"claim": "x-ms-isolation-tee.x-ms-attestation-type", "equals": "sevsnpvm"}]}]}
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(policy))
    made = key(az, "create", "--name", "exported", "--kty", "EC-HSM", "--exportable", "true", "--policy", file)
    assert made["attributes"]["exportable"] is True
    assert json.loads(made["releasePolicy"]["encodedPolicy"]) == policy
    assert made["releasePolicy"]["immutable"] is False
    policy["anyOf"][0]["authority"] = "https://other.example"
    changed = key(az, "set-attributes", "--name", "exported", "--policy", json.dumps(policy), "--immutable", "true")
    assert json.loads(changed["releasePolicy"]["encodedPolicy"]) == policy
    status, text = az.fails("keyvault", "key", "set-attributes", "--hsm-name", HSM, "--name", "exported", "--policy",
                            json.dumps({**policy, "version": "0.2"}))
    assert status == 1 and "AKV.SKR.1020" in text
    status, text = az.fails("keyvault", "key", "create", "--hsm-name", HSM, "--name", "nope", "--kty", "EC-HSM",
                            "--exportable", "true")
    assert status == 1 and "Exportable keys must have release policy" in text


def test_backup_and_restore(az, tmp_path):
    made = key(az, "create", "--name", "saved", "--kty", "EC-HSM", "--curve", "P-256")
    file = tmp_path / "saved.backup"
    key(az, "backup", "--name", "saved", "--file", file)
    assert file.read_bytes().count(b".") == 4
    key(az, "delete", "--name", "saved")
    key(az, "purge", "--name", "saved")
    back = key(az, "restore", "--file", file)
    assert back["key"]["kid"] == made["key"]["kid"] and back["key"]["x"] == made["key"]["x"]
    status, text = az.fails("keyvault", "key", "restore", "--hsm-name", HSM, "--file", file)
    assert status == 1 and "already exists" in text
    file.write_bytes(b"nothing of ours")
    status, text = az.fails("keyvault", "key", "restore", "--hsm-name", HSM, "--file", file)
    assert status == 1 and "MalformedBackupBlob" in text


def test_names_arrive_in_lower_case(az, fresh):
    made = az("keyvault", "key", "show", "--hsm-name", HSM.upper(), "--name", "rsa")
    assert made["key"]["kid"].startswith(fresh.pool_url + "/keys/rsa/")


def test_versions(az):
    first = key(az, "create", "--name", "turned", "--kty", "EC-HSM", "--curve", "P-256")
    second = key(az, "create", "--name", "turned", "--kty", "EC-HSM", "--curve", "P-256")
    kids = {first["key"]["kid"], second["key"]["kid"]}
    assert {v["kid"] for v in key(az, "list-versions", "--name", "turned")} == kids
    assert key(az, "show", "--name", "turned")["key"]["kid"] == second["key"]["kid"]
    old = az("keyvault", "key", "show", "--id", first["key"]["kid"])
    assert old["key"]["x"] == first["key"]["x"]


def test_encrypt_and_decrypt_rsa(az):
    value = base64.b64encode(b"thirty-two bytes of a data key!!").decode()
    for algorithm in ("RSA-OAEP-256", "RSA-OAEP", "RSA1_5"):
        sealed = key(az, "encrypt", "--name", "rsa", "--algorithm", algorithm, "--value", value)
        opened = key(az, "decrypt", "--name", "rsa", "--algorithm", algorithm, "--value",
                     sealed["result"])
        assert opened["result"] == value, algorithm


def test_encrypt_and_decrypt_aes_gcm(az):
    value = base64.b64encode(b"any length at all").decode()
    sealed = key(az, "encrypt", "--name", "aes-256", "--algorithm", "A256GCM", "--value", value,
                 "--aad", "101112")
    assert len(sealed["iv"]) == 24 and len(sealed["tag"]) == 32
    args = ["decrypt", "--name", "aes-256", "--algorithm", "A256GCM", "--value", sealed["result"],
            "--iv", sealed["iv"], "--aad", "101112", "--tag"]
    assert key(az, *args, sealed["tag"])["result"] == value
    text = az.fails("keyvault", "key", *args, "00" * 16, "--hsm-name", HSM)[1]
    assert "BadParameter" in text


def number(text):
    return int.from_bytes(base64.b64decode(text), "big")


def test_sign_and_verify(az):
    digest = hashlib.sha256(b"message").digest()
    text = base64.b64encode(digest).decode()
    for name, algorithm in (("rsa", "RS256"), ("rsa", "PS256"), ("ec-P-256", "ES256"),
                            ("ec-P-256K", "ES256K")):
        made = key(az, "sign", "--name", name, "--algorithm", algorithm, "--digest", text)
        ok = key(az, "verify", "--name", name, "--algorithm", algorithm, "--digest", text,
                 "--signature", made["signature"])
        assert ok["isValid"] is True, algorithm
        other = base64.b64encode(bytes(32)).decode()
        bad = key(az, "verify", "--name", name, "--algorithm", algorithm, "--digest", other,
                  "--signature", made["signature"])
        assert bad["isValid"] is False, algorithm


def test_signatures_hold_outside(az):
    digest = hashlib.sha256(b"message").digest()
    text = base64.b64encode(digest).decode()
    prehashed = utils.Prehashed(hashes.SHA256())
    k = key(az, "show", "--name", "rsa")["key"]
    made = key(az, "sign", "--name", "rsa", "--algorithm", "RS256", "--digest", text)
    rsa.RSAPublicNumbers(number(k["e"]), number(k["n"])).public_key().verify(
        base64.b64decode(made["signature"]), digest, padding.PKCS1v15(), prehashed)
    k = key(az, "show", "--name", "ec-P-256")["key"]
    made = key(az, "sign", "--name", "ec-P-256", "--algorithm", "ES256", "--digest", text)
    raw = base64.b64decode(made["signature"])
    der = utils.encode_dss_signature(*(int.from_bytes(raw[i:i + 32], "big") for i in (0, 32)))
    ec.EllipticCurvePublicNumbers(number(k["x"]), number(k["y"]), ec.SECP256R1()).public_key() \
        .verify(der, digest, ec.ECDSA(prehashed))


def test_set_attributes(az):
    key(az, "create", "--name", "changing", "--kty", "RSA-HSM", "--size", 2048)
    changed = key(az, "set-attributes", "--name", "changing", "--enabled", "false", "--tags",
                  "a=1", "b=2", "--ops", "sign", "--expires", "2098-02-03T04:05:06Z")
    assert changed["attributes"]["enabled"] is False
    assert changed["tags"] == {"a": "1", "b": "2"} and changed["key"]["keyOps"] == ["sign"]
    shown = key(az, "show", "--name", "changing")
    assert shown["attributes"]["expires"].startswith("2098-02-03T04:05:06")
    digest = base64.b64encode(bytes(32)).decode()
    text = az.fails("keyvault", "key", "sign", "--hsm-name", HSM, "--name", "changing",
                    "--algorithm", "RS256", "--digest", digest)[1]
    assert "(Forbidden)" in text
    key(az, "set-attributes", "--name", "changing", "--enabled", "true")
    assert key(az, "sign", "--name", "changing", "--algorithm", "RS256", "--digest", digest)


def test_delete_recover_purge(az):
    made = key(az, "create", "--name", "short-lived", "--kty", "oct-HSM", "--size", 256)
    gone = key(az, "delete", "--name", "short-lived")
    assert gone["recoveryId"].endswith("/deletedkeys/short-lived")
    assert az.fails("keyvault", "key", "show", "--hsm-name", HSM, "--name", "short-lived")[0] == 3
    assert "short-lived" in {k["name"] for k in key(az, "list-deleted")}
    shown = key(az, "show-deleted", "--name", "short-lived")
    assert shown["key"]["kid"] == made["key"]["kid"] and shown["scheduledPurgeDate"]
    text = az.fails("keyvault", "key", "create", "--hsm-name", HSM, "--name", "short-lived",
                    "--kty", "oct-HSM", "--size", "256")[1]
    assert "(Conflict)" in text
    back = key(az, "recover", "--name", "short-lived")
    assert back["key"]["kid"] == made["key"]["kid"]
    key(az, "delete", "--name", "short-lived")
    key(az, "purge", "--name", "short-lived")
    status, text = az.fails("keyvault", "key", "show-deleted", "--hsm-name", HSM, "--name",
                            "short-lived")
    assert status == 1 and "(KeyNotFound)" in text, "this command of az has no exit status 3"


def test_a_missing_key(az):
    status, text = az.fails("keyvault", "key", "show", "--hsm-name", HSM, "--name", "missing")
    assert status == 3 and "(KeyNotFound)" in text and "/keys/missing" in text


# ---- rotation

def test_rotation(az, tmp_path):
    def policy(*args):
        return az("keyvault", "key", "rotation-policy", *args, "--hsm-name", HSM, "--name", "turns")
    first = key(az, "create", "--name", "turns", "--kty", "EC-HSM", "--curve", "P-521")
    assert policy("show")["lifetimeActions"] == []
    text = az.fails("keyvault", "key", "rotate", "--hsm-name", HSM, "--name", "turns")[1]
    assert "only while it has a rotation policy" in text
    file = tmp_path / "policy.json"
    file.write_text(json.dumps({
        "lifetimeActions": [{"trigger": {"timeAfterCreate": "P90D", "timeBeforeExpiry": None},
                             "action": {"type": "Rotate"}}],
        "attributes": {"expiryTime": "P2Y"}}))
    assert policy("update", "--value", file)["expiresIn"] == "P2Y"
    shown = policy("show")
    assert shown["expiresIn"] == "P2Y" and len(shown["lifetimeActions"]) == 1
    assert shown["lifetimeActions"][0]["timeAfterCreate"] == "P90D"
    second = key(az, "rotate", "--name", "turns")
    assert second["key"]["kid"] != first["key"]["kid"] and second["key"]["crv"] == "P-521"
    assert len(key(az, "list-versions", "--name", "turns")) == 2


# ---- random bytes, settings

def test_random_bytes(az):
    assert len(base64.b64decode(key(az, "random", "--count", 33)["value"], validate=True)) == 33
    assert key(az, "random", "--count", 16) != key(az, "random", "--count", 16)
    text = az.fails("keyvault", "key", "random", "--hsm-name", HSM, "--count", 129)[1]
    assert "GetRandomBytesRequest: count cannot be greater than 128 or less than 1" in text


def test_settings(az):
    def setting(*args):
        return az("keyvault", "setting", *args, "--hsm-name", HSM)
    name = "AllowKeyManagementOperationsThroughARM"
    listed = setting("list")
    assert [(s["name"], s["settingType"], s["value"]) for s in listed] == [(name, "boolean", "false")]
    for value in ("true", "false"):
        changed = setting("update", "--name", name, "--value", value, "--setting-type", "boolean")
        assert changed["value"] == value and changed["name"] == name
        assert setting("show", "--name", name)["value"] == value
    status, text = az.fails("keyvault", "setting", "show", "--hsm-name", HSM, "--name", "Other")
    assert status == 3 and "NotFound" in text


# ---- other callers, other ways in

def test_a_caller_without_a_role(fresh, az, make_az):
    guest = make_az(fresh.client_env())
    login(guest, {**fresh.env, "KEYHOLD_CLIENT_ID": fresh.env["KEYHOLD_GUEST_CLIENT_ID"],
                  "KEYHOLD_CLIENT_SECRET": fresh.env["KEYHOLD_GUEST_CLIENT_SECRET"]})
    status, text = guest.fails("keyvault", "key", "list", "--hsm-name", HSM)
    assert status == 1 and "(AccessDenied) Not authorized to access " \
        "Microsoft.KeyVault/managedHsm/keys/read/action on /keys" in text
    assert "(AccessDenied)" in guest.fails("keyvault", "key", "create", "--hsm-name", HSM,
                                           "--name", "x", "--kty", "RSA-HSM")[1]
    assert "roleDefinitions/read/action on /" in guest.fails(
        "keyvault", "role", "definition", "list", "--hsm-name", HSM)[1]


def test_managed_identity(fresh, az, make_az):
    env = fresh.client_env(IDENTITY_ENDPOINT=fresh.env["KEYHOLD_IDENTITY_ENDPOINT"],
                           IDENTITY_HEADER="x")
    if "KEYHOLD_IDENTITY_HEADER" in fresh.env:
        env["IDENTITY_HEADER"] = fresh.env["KEYHOLD_IDENTITY_HEADER"]
    machine = make_az(env)
    machine("login", "--identity", "--allow-no-subscriptions")
    assert "(AccessDenied)" in machine.fails("keyvault", "key", "list", "--hsm-name", HSM)[1]
    role(az, "assignment", "create", "--role", "Managed HSM Crypto User", "--assignee-object-id",
         fresh.env["KEYHOLD_MANAGED_OID"], "--scope", "/keys")
    assert "rsa" in {k["name"] for k in machine("keyvault", "key", "list", "--hsm-name", HSM)}


def test_user_and_password(fresh, az, make_az):
    user = make_az(fresh.client_env())
    user("login", "-u", fresh.env["KEYHOLD_USER"], "-p", fresh.env["KEYHOLD_PASSWORD"], "-t",
         fresh.env["KEYHOLD_TENANT"])
    shown = user("ad", "signed-in-user", "show")
    assert shown["id"] == fresh.env["KEYHOLD_USER_OID"]
    assert "(AccessDenied)" in user.fails("keyvault", "key", "list", "--hsm-name", HSM)[1]


def test_environment_only(fresh, az, make_az):
    """No cloud registered: ARM_CLOUD_METADATA_URL alone."""
    plain = make_az(fresh.client_env())
    login(plain, fresh.env)
    assert "rsa" in {k["name"] for k in plain("keyvault", "key", "list", "--hsm-name", HSM)}


def test_names_of_the_public_cloud(fresh, az, make_az):
    """The default cloud, through the proxy."""
    env = fresh.client_env(azure_names=True)
    assert "ARM_CLOUD_METADATA_URL" not in env
    public = make_az(env)
    assert login(public, fresh.env)[0]["cloudName"] == "AzureCloud"
    made = public("keyvault", "key", "create", "--hsm-name", HSM, "--name", "public", "--kty",
                  "RSA-HSM", "--size", 2048)
    assert made["key"]["kid"].startswith(f"https://{HSM}.managedhsm.azure.net/keys/public/")
    assert "public" in {k["name"] for k in public("keyvault", "key", "list", "--hsm-name", HSM)}
    value = base64.b64encode(b"through both names").decode()
    sealed = public("keyvault", "key", "encrypt", "--hsm-name", HSM, "--name", "aes-256",
                    "--algorithm", "A256GCM", "--value", value)
    opened = key(az, "decrypt", "--name", "aes-256", "--algorithm", "A256GCM", "--value",
                 sealed["result"], "--iv", sealed["iv"], "--tag", sealed["tag"])
    assert opened["result"] == value


def test_the_clis_token_outlives_a_restart_of_the_pool(fresh, az):
    fresh.down()
    fresh.up()
    assert "rsa" in {k["name"] for k in key(az, "list")}
