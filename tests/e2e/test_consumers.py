"""Resources of services that use a key, by the commands that people have for them. az has no command that takes a
database's key from a host of another name: there it is `az rest`."""
import json

import pytest

import keyhold

GROUP, HSM = "rg-consumers", "consumers"
VERSION = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def pool():
    p = keyhold.Pool(name=HSM)
    try:
        p.start()
        yield p
    finally:
        p.stop()


@pytest.fixture(scope="module")
def az(pool, make_az):
    az = make_az(pool.client_env())
    az("login", "--service-principal", "-u", pool.env["KEYHOLD_CLIENT_ID"], "-p", pool.env["KEYHOLD_CLIENT_SECRET"],
       "-t", pool.env["KEYHOLD_TENANT"])
    az("group", "create", "-n", GROUP, "-l", "local")
    return az


def key_url(pool, version=VERSION):
    return f"{pool.pool_url}/keys/Contoso-CMK/{version}"


def rest(az, pool, method, path, body=None, version="2023-08-01"):
    url = f"{pool.env['KEYHOLD_ORIGIN']}/subscriptions/{az('account', 'show')['id']}/resourceGroups/{GROUP}/providers/{path}?api-version={version}"
    return az("rest", "--method", method, "--url", url, "--resource", pool.env["KEYHOLD_ORIGIN"],
              *(["--body", json.dumps(body)] if body is not None else []))


def test_identity(az):
    made = az("identity", "create", "-g", GROUP, "-n", "id-storage", "-l", "local")
    assert made["principalId"] and made["clientId"] and made["type"] == "Microsoft.ManagedIdentity/userAssignedIdentities"
    assert az("identity", "show", "-g", GROUP, "-n", "id-storage")["principalId"] == made["principalId"]
    assert [i["name"] for i in az("identity", "list", "-g", GROUP)] == ["id-storage"]


def test_disk_encryption_set(pool, az):
    made = az("disk-encryption-set", "create", "-g", GROUP, "-n", "des1", "-l", "local", "--key-url", key_url(pool))
    assert made["provisioningState"] == "Succeeded" and made["activeKey"]["keyUrl"] == key_url(pool)
    # what people do next: the identity gets its role on the key
    pool.cli("role", "assignment", "create", "--role", "Managed HSM Crypto Service Encryption User", "--assignee",
             made["identity"]["principalId"], "--scope", "/keys/Contoso-CMK")
    az("disk-encryption-set", "update", "-g", GROUP, "-n", "des1", "--key-url", key_url(pool, "f" * 32),
       "--enable-auto-key-rotation", "true")
    shown = az("disk-encryption-set", "show", "-g", GROUP, "-n", "des1")
    assert shown["activeKey"]["keyUrl"] == key_url(pool, "f" * 32) and shown["previousKeys"][0]["keyUrl"] == key_url(pool)
    assert shown["identity"]["principalId"] == made["identity"]["principalId"]
    disk = az("disk", "create", "-g", GROUP, "-n", "d1", "-l", "local", "--size-gb", "4", "--encryption-type",
              "EncryptionAtRestWithCustomerKey", "--disk-encryption-set", "des1")
    assert disk["encryption"]["diskEncryptionSetId"].lower() == made["id"].lower()
    assert az("disk-encryption-set", "list-associated-resources", "-g", GROUP, "-n", "des1") == [disk["id"]]
    _, err = az.fails("disk-encryption-set", "create", "-g", GROUP, "-n", "des2", "-l", "local", "--key-url",
                      f"{pool.pool_url}/keys/Contoso-CMK")
    assert "InvalidParameter" in err
    az("disk", "delete", "-g", GROUP, "-n", "d1", "--yes")
    az("disk-encryption-set", "delete", "-g", GROUP, "-n", "des1")
    assert az("disk-encryption-set", "list", "-g", GROUP) == []


def test_storage_account(pool, az):
    az("storage", "account", "create", "-g", GROUP, "-n", "contosostore1", "-l", "local", "--sku", "Standard_LRS")
    args = ["storage", "account", "update", "-g", GROUP, "-n", "contosostore1", "--encryption-key-source", "Microsoft.Keyvault",
            "--encryption-key-vault", pool.pool_url, "--encryption-key-name", "Contoso-CMK"]
    az("storage", "account", "update", "-g", GROUP, "-n", "contosostore1", "--assign-identity")
    _, err = az.fails(*args)  # the pool has no purge protection
    assert "KeyVaultPolicyError" in err and "Keyvault policy recoverable is not set" in err
    args[args.index("--encryption-key-vault") + 1] = "https://elsewhere.managedhsm.azure.net"
    done = az(*args)
    assert done["encryption"]["keySource"] == "Microsoft.Keyvault"
    assert done["encryption"]["keyVaultProperties"]["keyName"] == "Contoso-CMK"
    assert done["identity"]["type"] == "SystemAssigned"


def test_storage_account_with_a_key_from_the_start(az):
    identity = az("identity", "create", "-g", GROUP, "-n", "id-new", "-l", "local")["id"]
    made = az("storage", "account", "create", "-g", GROUP, "-n", "contosostore2", "-l", "local", "--sku", "Standard_LRS",
              "--identity-type", "UserAssigned", "--user-identity-id", identity, "--key-vault-user-identity-id", identity,
              "--encryption-key-source", "Microsoft.Keyvault", "--encryption-key-vault", "https://elsewhere.managedhsm.azure.net",
              "--encryption-key-name", "Contoso-CMK", "--encryption-key-type-for-queue", "Account")
    assert made["encryption"]["encryptionIdentity"]["encryptionUserAssignedIdentity"] == identity
    assert made["encryption"]["services"]["queue"]["keyType"] == "Account"


def test_sql(pool, az):
    mi = "Microsoft.Sql/managedInstances/mi1"
    rest(az, pool, "put", mi, {"location": "local", "identity": {"type": "SystemAssigned"}, "properties": {}})
    name = f"{HSM}_Contoso-CMK_{VERSION}"
    rest(az, pool, "put", f"{mi}/keys/{name}", {"properties": {"serverKeyType": "AzureKeyVault", "uri": key_url(pool)}})
    rest(az, pool, "put", f"{mi}/encryptionProtector/current",
         {"properties": {"serverKeyName": name, "serverKeyType": "AzureKeyVault", "autoRotationEnabled": True}})
    shown = rest(az, pool, "get", f"{mi}/encryptionProtector/current")
    assert shown["kind"] == "azurekeyvault" and shown["properties"]["uri"] == key_url(pool)
    assert len(shown["properties"]["thumbprint"]) == 40
    assert {k["name"] for k in rest(az, pool, "get", f"{mi}/keys")["value"]} == {"ServiceManaged", name}
    rest(az, pool, "post", f"{mi}/encryptionProtector/current/revalidate")


def test_diagnostic_settings(pool, az):
    hsm = next(r["id"] for r in az("resource", "list") if r["type"].lower() == "microsoft.keyvault/managedhsms")
    assert {c["name"] for c in az("monitor", "diagnostic-settings", "categories", "list", "--resource", hsm)["value"]} == {"AuditEvent", "AllMetrics"}
    made = az("monitor", "diagnostic-settings", "create", "-n", "audit", "--resource", hsm, "--workspace",
              "/subscriptions/s/resourceGroups/g/providers/Microsoft.OperationalInsights/workspaces/w", "--logs",
              json.dumps([{"category": "AuditEvent", "enabled": True}]), "--metrics", json.dumps([{"category": "AllMetrics", "enabled": True}]))
    assert made["name"] == "audit" and made["logs"][0]["category"] == "AuditEvent"
    assert [s["name"] for s in az("monitor", "diagnostic-settings", "list", "--resource", hsm)] == ["audit"]
    az("monitor", "diagnostic-settings", "delete", "-n", "audit", "--resource", hsm)
