"""The requests of Terraform's azurerm provider, in its order, with its api-versions and bodies, over REST: the provider is
not run. The sequences are those of hashicorp/terraform-provider-azurerm (internal/services/managedhsm, .../resource) and
the end of operations is that of hashicorp/go-azure-sdk (sdk/client/resourcemanager/poller_lro.go):

* Azure-AsyncOperation, else Location, must be absolute; Retry-After is a whole number of seconds; 202 is under way; 200
  without a body has succeeded; any other answer is JSON with properties.provisioningState or status. 204 is an error.
* Data plane: api-version 7.4. A key without a version is asked for as /keys/NAME/."""
import base64
import copy
import hashlib
import time
import uuid

import arm as control
import keyhold
import pytest
from conftest import vector
from cryptography import x509
from cryptography.hazmat.primitives import serialization

HSM = "2026-02-01"      # resource-manager/keyvault/2026-02-01/managedhsms, deletedmanagedhsms
GROUP_API = "2023-07-01"  # resource-manager/resources/2023-07-01/resourcegroups
DATA = "7.4"            # kermit/sdk/keyvault/7.4
GROUP, NAME = "tf-resources", "tf-hsm"
USER_AGENT = {"User-Agent": "HashiCorp Terraform/1.9.0 (+https://www.terraform.io) terraform-provider-azurerm/4.50.0",
              "Accept": "application/json; charset=utf-8; IEEE754Compatible=false", "Odata-Version": "4.0",
              "Odata-Maxversion": "4.0", "X-Ms-Correlation-Request-Id": str(uuid.uuid4())}


class Provider:
    def __init__(self, pool):
        self.arm = control.Arm(pool)
        self.pool = pool
        self.hsm = pool
        self.id = self.arm.hsm_id(GROUP, NAME)
        self.group_id = f"{self.arm.at}/resourceGroups/{GROUP}"

    def call(self, method, path, body=None, api=HSM):
        return self.arm.call(method, path, body, api=api, headers=USER_AGENT)

    def poll(self, r):
        """As the SDK's poller, which is told the interval by Retry-After (here it asks at once)."""
        end = time.monotonic() + 60
        url = r.headers.get("Azure-AsyncOperation") or r.headers["Location"]
        assert url.startswith("https://") and int(r.headers["Retry-After"]) == 1
        while True:
            r = self.arm.call("GET", url, api=None, headers=USER_AGENT)
            assert r.status_code in (200, 201, 202), r.text
            if r.status_code == 202:
                assert time.monotonic() < end, url
                time.sleep(0.05)
                continue
            if r.status_code == 200 and not r.content:
                return
            assert r.headers["Content-Type"].lower().startswith("application/json")
            state = r.json().get("properties", {}).get("provisioningState") or r.json().get("status")
            assert state, "the poller stops at an answer without a state"
            if state == "Succeeded":
                return
            assert state in ("InProgress", "Provisioning", "Updating", "Accepted", "Running"), state

    def data(self, method, path, body=None):
        return self.hsm.call(method, path, body, api=DATA)


@pytest.fixture(scope="module")
def tf():
    pool = keyhold.Pool(name="tf-first")
    try:
        pool.start(activate=False)
        yield Provider(pool)
    finally:
        pool.stop()


def test_environment(tf):
    """sdk/internal/metadata: the cloud is found at the resource manager's host; then its subscription and providers."""
    m = tf.arm.ok("GET", "/metadata/endpoints", api="2022-09-01", token="")
    assert m["resourceManager"].rstrip("/") == tf.pool.url and m["authentication"]["loginEndpoint"]
    assert m["authentication"]["audiences"] and m["suffixes"]["mhsmDns"] == f"managedhsm.localhost:{tf.pool.port}"
    for member in ("name", "microsoftGraphResourceId", "batch", "media"):
        assert isinstance(m[member], str), member
    assert tf.call("GET", tf.arm.at, api="2022-12-01").json()["state"] == "Enabled"
    providers = tf.arm.pages(f"{tf.arm.at}/providers", api="2022-09-01")
    keyvault = next(p for p in providers if p["namespace"] == "Microsoft.KeyVault")
    assert keyvault["registrationState"] == "Registered"
    r = tf.call("POST", f"{tf.arm.at}/providers/Microsoft.KeyVault/register", api="2022-09-01")
    assert r.status_code == 200 and r.json()["registrationState"] == "Registered"


def test_resource_group(tf):
    """azurerm_resource_group, create: nothing there, PUT, then three reads that find it."""
    assert tf.call("GET", tf.group_id, api=GROUP_API).status_code == 404
    r = tf.call("PUT", tf.group_id, {"location": control.REGION, "tags": {"by": "terraform"}}, GROUP_API)
    assert r.status_code in (200, 201)
    for _ in range(3):
        r = tf.call("GET", tf.group_id, api=GROUP_API)
        assert r.status_code == 200 and r.json()["location"] == control.REGION
        assert r.json()["tags"] == {"by": "terraform"}


def test_create(tf):
    """azurerm_key_vault_managed_hardware_security_module, create: not there, PUT, poll, read the endpoint."""
    assert tf.call("GET", tf.id).status_code == 404
    body = {"location": control.REGION, "sku": {"family": "B", "name": "Standard_B1"}, "tags": {"Env": "Test"},
            "properties": {"createMode": "default", "enablePurgeProtection": False, "enableSoftDelete": True,
                           "initialAdminObjectIds": [tf.pool.env["KEYHOLD_ADMIN_OID"]],
                           "networkAcls": {"bypass": "AzureServices", "defaultAction": "Allow"},
                           "publicNetworkAccess": "Enabled", "softDeleteRetentionInDays": 7, "tenantId": tf.arm.tenant}}
    r = tf.call("PUT", tf.id, body)
    assert r.status_code in (200, 201, 202)
    tf.poll(r)
    made = tf.call("GET", tf.id).json()
    p = made["properties"]
    assert made["id"] == tf.id and made["tags"] == {"Env": "Test"} and made["sku"]["name"] == "Standard_B1"
    assert p["provisioningState"] == "Succeeded" and p["hsmUri"] == f"https://{NAME}.managedhsm.localhost:{tf.pool.port}/"
    assert p["enablePurgeProtection"] is False and p["softDeleteRetentionInDays"] == 7 and "createMode" not in p
    assert p["networkAcls"]["bypass"] == "AzureServices" and p["networkAcls"]["defaultAction"] == "Allow"
    tf.hsm = tf.arm.hsm(NAME)


def certificate(pem):
    """One of the request's certificates as the provider makes it: no modulus, an empty operation, and a digest over the
    text of the certificate in place of its bytes."""
    der = x509.load_pem_x509_certificate(pem.encode()).public_bytes(serialization.Encoding.DER)
    x5c = base64.b64encode(der).decode()
    digest = base64.urlsafe_b64encode(hashlib.sha256(x5c.encode()).digest()).decode()
    return {"kty": "RSA", "key_ops": [""], "alg": "RSA-OAEP-256", "x5c": [x5c], "x5t#S256": digest}


def test_activation(tf, oracle):
    """securityDomainDownload: the file is in the first answer, then GET .../download/pending until "Success"."""
    v = vector("sd-2of3.json")
    pems = [c["certificate_pem"] for c in v["custodians"]]
    r = tf.data("POST", "/securitydomain/download", {"certificates": [certificate(p) for p in pems], "required": 2})
    assert r.status_code == 202, r.text
    end = time.monotonic() + 30
    while tf.data("GET", "/securitydomain/download/pending").json()["status"] != "Success":
        assert time.monotonic() < end
        time.sleep(0.05)
    keys = {oracle.thumb(c["certificate_pem"]): oracle.key(c["private_key_pem"]) for c in v["custodians"][:2]}
    assert oracle.open_domain(r.json()["value"], keys)[1]
    shown = tf.call("GET", tf.id).json()["properties"]
    assert shown["securityDomainProperties"]["activationStatus"] == "Active"
    assert shown["provisioningState"] == "Succeeded"


ROLE = str(uuid.uuid4())
ROLES = "/providers/Microsoft.Authorization/roleDefinitions/"
ASSIGNMENTS = "/providers/Microsoft.Authorization/roleAssignments/"


def test_role_definition(tf):
    """..._role_definition: 404, PUT, GET; an update is GET and PUT again, without assignable scopes."""
    assert tf.data("GET", ROLES + ROLE).status_code == 404
    actions = [f"Microsoft.KeyVault/managedHsm/keys/{a}" for a in
               ("read/action", "write/action", "create", "delete", "rotate/action", "deletedKeys/delete")]
    permission = {"actions": [], "notActions": [], "dataActions": actions, "notDataActions": []}
    properties = {"roleName": "tf-keys", "description": "keys", "type": "CustomRole", "permissions": [permission],
                  "assignableScopes": ["/"]}
    assert tf.data("PUT", ROLES + ROLE, {"properties": properties}).status_code == 201
    r = tf.data("GET", ROLES + ROLE).json()
    assert r["name"] == ROLE and r["id"].lower().endswith(f"{ROLES}{ROLE}".lower())
    assert r["properties"]["type"] == "CustomRole" and r["properties"]["roleName"] == "tf-keys"
    permission["dataActions"] = [*actions, "Microsoft.KeyVault/managedHsm/keys/wrap/action"]
    del properties["assignableScopes"]
    assert tf.data("PUT", ROLES + ROLE, {"properties": properties}).status_code in (200, 201)
    r = tf.data("GET", ROLES + ROLE).json()
    assert len(r["properties"]["permissions"][0]["dataActions"]) == 7


GIVEN = [("/keys", ROLE), ("/keys", keyhold.CRYPTO_USER), ("/keys", keyhold.CRYPTO_OFFICER)]


@pytest.fixture(scope="module")
def assignments():
    return {}


@pytest.mark.parametrize("which", range(len(GIVEN)))
def test_role_assignment(tf, assignments, which):
    """..._role_assignment: 404, PUT with the definition's id without its first slash, GET."""
    scope, role = GIVEN[which]
    name = str(uuid.uuid4())
    assert tf.data("GET", scope + ASSIGNMENTS + name).status_code == 404
    body = {"properties": {"principalId": tf.pool.env["KEYHOLD_ADMIN_OID"],
                           "roleDefinitionId": f"Microsoft.KeyVault{ROLES}{role}"}}
    assert tf.data("PUT", scope + ASSIGNMENTS + name, body).status_code == 201
    r = tf.data("GET", scope + ASSIGNMENTS + name).json()
    assert r["name"] == name and r["properties"]["principalId"] == tf.pool.env["KEYHOLD_ADMIN_OID"]
    assert r["properties"]["roleDefinitionId"].lower().endswith(role) and r["properties"]["scope"] == scope
    assignments[name] = scope


KEY = "tf-key"


def test_key(tf):
    """..._key: 404, create, read; the base URL is looked up in the list of all pools of the subscription."""
    assert tf.data("GET", f"/keys/{KEY}/").status_code == 404
    body = {"kty": "RSA-HSM", "key_size": 2048, "key_ops": ["decrypt", "encrypt", "sign", "unwrapKey", "verify", "wrapKey"],
            "attributes": {"enabled": True}, "tags": {"a": "b"}}
    assert tf.data("POST", f"/keys/{KEY}/create", body).status_code == 200
    uris = {h["properties"]["hsmUri"]: h["id"] for h in tf.arm.pages(f"{tf.arm.at}{control.KEYVAULT}/managedHSMs", api=HSM)}
    assert uris[f"{tf.hsm.pool_url}/"].lower() == tf.id.lower()
    r = tf.data("GET", f"/keys/{KEY}/").json()
    n = r["key"]["n"]
    assert len(base64.urlsafe_b64decode(n + "=" * (-len(n) % 4))) * 8 == 2048
    assert sorted(r["key"]["key_ops"]) == sorted(body["key_ops"]) and r["tags"] == {"a": "b"}
    r = tf.data("PATCH", f"/keys/{KEY}/", {"attributes": {"enabled": True}, "key_ops": ["wrapKey", "unwrapKey"], "tags": {}})
    assert r.status_code == 200 and sorted(tf.data("GET", f"/keys/{KEY}/").json()["key"]["key_ops"]) == ["unwrapKey", "wrapKey"]


def test_rotation_policy(tf):
    """..._key_rotation_policy: GET of key and policy, PUT, GET; deleting it is an empty policy."""
    path = f"/keys/{KEY}/rotationpolicy"
    assert tf.data("GET", f"/keys/{KEY}/").status_code == 200
    before = tf.data("GET", path)
    assert before.status_code in (200, 404)
    assert not (before.json().get("attributes", {}).get("expiryTime") and before.json().get("lifetimeActions"))
    body = {"lifetimeActions": [{"trigger": {"timeBeforeExpiry": "P30D"}, "action": {"type": "rotate"}}],
            "attributes": {"expiryTime": "P60D"}}
    assert tf.data("PUT", path, body).status_code == 200
    shown = tf.data("GET", path).json()
    assert shown["attributes"]["expiryTime"] == "P60D" and len(shown["lifetimeActions"]) == 1
    assert shown["lifetimeActions"][0]["trigger"]["timeBeforeExpiry"] == "P30D"
    assert shown["lifetimeActions"][0]["action"]["type"].lower() == "rotate"
    assert tf.data("PUT", path, {"lifetimeActions": [], "attributes": {}}).status_code == 200
    assert not tf.data("GET", path).json().get("lifetimeActions")


def test_update(tf):
    """tags, network_acls: the whole resource as it was read, with the change, by PUT."""
    model = tf.call("GET", tf.id).json()
    wanted = copy.deepcopy(model)
    wanted["tags"] = {"Env": "Prod"}
    wanted["properties"]["networkAcls"]["bypass"] = "None"
    r = tf.call("PUT", tf.id, wanted)
    assert r.status_code in (200, 201, 202), r.text
    if r.status_code == 202 or "Azure-AsyncOperation" in r.headers:
        tf.poll(r)
    shown = tf.call("GET", tf.id).json()
    assert shown["tags"] == {"Env": "Prod"} and shown["properties"]["networkAcls"]["bypass"] == "None"
    assert shown["properties"]["initialAdminObjectIds"] == model["properties"]["initialAdminObjectIds"]
    assert shown["properties"]["softDeleteRetentionInDays"] == 7


def test_a_plan_finds_no_difference(tf):
    """Everything that the provider compares is the same at a second reading."""
    read = [tf.call("GET", tf.id).json() for _ in range(2)]
    assert read[0] == read[1]
    keys = [tf.data("GET", f"/keys/{KEY}/").json() for _ in range(2)]
    assert keys[0] == keys[1]


def test_destroy_key(tf):
    """deleteAndOptionallyPurge: DELETE, three times 404, purge, three times 404."""
    assert tf.call("GET", tf.id).status_code == 200
    assert tf.data("DELETE", f"/keys/{KEY}").status_code == 200
    assert [tf.data("GET", f"/keys/{KEY}/").status_code for _ in range(3)] == [404] * 3
    assert tf.data("DELETE", f"/deletedkeys/{KEY}").status_code == 204
    assert [tf.data("GET", f"/deletedkeys/{KEY}").status_code for _ in range(3)] == [404] * 3


def test_destroy_roles(tf, assignments):
    for name, scope in assignments.items():
        assert tf.data("DELETE", scope + ASSIGNMENTS + name).status_code == 200
        assert tf.data("GET", scope + ASSIGNMENTS + name).status_code == 404
    assert tf.data("DELETE", ROLES + ROLE).status_code == 200
    assert tf.data("GET", ROLES + ROLE).status_code == 404


def test_destroy_and_purge(tf):
    """GET, DELETE and poll, POST .../purge (202 is the only good answer), then GET of the deleted pool until 404."""
    assert tf.call("GET", tf.id).json()["properties"]["enablePurgeProtection"] is False
    r = tf.call("DELETE", tf.id)
    assert r.status_code in (200, 202)
    tf.poll(r)
    assert tf.call("GET", tf.id).status_code == 404
    deleted = tf.arm.deleted_id(NAME)
    assert tf.call("GET", deleted).status_code == 200
    r = tf.call("POST", deleted + "/purge")
    assert r.status_code == 202 and r.headers["Location"].startswith("https://")
    end = time.monotonic() + 60
    while tf.call("GET", deleted).status_code != 404:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_destroy_resource_group(tf):
    """The group's resources are listed ten at a time and none may be left; DELETE, poll."""
    assert tf.arm.pages(f"{tf.group_id}/resources?$expand=provisioningState&$top=10", api=GROUP_API) == []
    r = tf.call("DELETE", tf.group_id, api=GROUP_API)
    assert r.status_code in (200, 202)
    tf.poll(r)
    assert tf.call("GET", tf.group_id, api=GROUP_API).status_code == 404
