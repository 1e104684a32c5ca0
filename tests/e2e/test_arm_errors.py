"""What the control plane refuses: status, code and text of every documented error, and that nothing changed by it."""
import json
import re
import uuid

import arm as control
import keyhold
import pytest

READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
CONTRIBUTOR = "b24988ac-6180-42a0-ab88-20f7382dd24c"
HSM_CONTRIBUTOR = "18500a29-7fe2-46b2-a342-b16a415e101d"
GROUP, NAME = "rg-errors", "kv-errors"


@pytest.fixture(scope="module")
def pool():
    p = keyhold.Pool(name="first")
    try:
        p.start(activate=False)
        yield p
    finally:
        p.stop()


@pytest.fixture(scope="module")
def arm(pool):
    """The administrator's requests; there are a group and a pool in it."""
    a = control.Arm(pool)
    a.group(GROUP)
    a.create(GROUP, NAME)
    return a


@pytest.fixture(scope="module")
def guest(pool):
    return control.Arm(pool, pool.env["KEYHOLD_GUEST_CLIENT_ID"], pool.env["KEYHOLD_GUEST_CLIENT_SECRET"])


@pytest.fixture
def unchanged(arm):
    """The pool is after the test as it was before."""
    before = arm.get(GROUP, NAME)
    yield
    assert arm.get(GROUP, NAME) == before


# ---- the request itself

def test_without_a_token(arm):
    r = arm.call("GET", arm.hsm_id(GROUP, NAME), token="")
    assert r.status_code == 401 and r.json()["error"]["code"] == "AuthenticationFailed"
    assert f'authorization_uri="https://localhost:{arm.pool.port}/{arm.tenant}"' in r.headers["WWW-Authenticate"]


def test_a_token_for_keys_is_none_for_resources(arm):
    assert arm.error("GET", arm.hsm_id(GROUP, NAME), token=arm.pool.token())[0] == 401


def test_without_an_api_version(arm):
    for method, path in (("GET", f"{arm.at}{control.KEYVAULT}/managedHSMs"), ("GET", arm.group_id(GROUP)),
                         ("PUT", arm.hsm_id(GROUP, "kv-none")), ("DELETE", arm.hsm_id(GROUP, NAME))):
        status, code, text = arm.error(method, path, api=None)
        assert (status, code) == (400, "MissingApiVersionParameter"), path
        assert text == "The api-version query parameter (?api-version=) is required for all requests."
    assert NAME in arm.names()


@pytest.mark.parametrize("version", ["7.4", "2025-5-1", "latest", "", "2025-05-01'", "20250501"])
def test_wrong_api_versions(arm, version):
    status, code, text = arm.error("GET", arm.hsm_id(GROUP, NAME) + f"?api-version={version}", api=None)
    assert status == 400 and code in ("InvalidApiVersionParameter", "MissingApiVersionParameter"), text
    assert code == "InvalidApiVersionParameter" or not version


@pytest.mark.parametrize("version", ["2020-04-01-preview", "2021-04-01-preview", "2021-06-01-preview", "2021-10-01",
                                     "2022-07-01", "2023-02-01", "2023-07-01", "2024-11-01", "2025-05-01", "2026-02-01",
                                     "2026-03-01-preview", "2026-04-01"])
def test_published_api_versions(arm, version):
    assert arm.ok("GET", arm.hsm_id(GROUP, NAME), api=version)["name"] == NAME


def test_a_parameter_whose_name_is_encoded(arm):
    assert arm.ok("GET", arm.hsm_id(GROUP, NAME) + "?api%2Dversion=2025-05-01", api=None)["name"] == NAME


def test_paths_in_any_case(arm):
    """Fixed words and names; what is answered keeps its creator's spelling."""
    shown = arm.get(GROUP, NAME)
    for path in (shown["id"].upper(), shown["id"].lower(), shown["id"].replace("resourceGroups", "resourcegroups")):
        assert arm.ok("GET", path) == shown


def test_other_methods(arm):
    for method, path in (("POST", arm.hsm_id(GROUP, NAME)), ("DELETE", f"{arm.at}{control.KEYVAULT}/managedHSMs"),
                         ("PUT", arm.deleted_id(NAME)), ("PATCH", arm.deleted_id(NAME) + "/purge")):
        status, code, _ = arm.error(method, path)
        assert (status, code) in ((405, "MethodNotAllowed"), (404, "InvalidResourceType")), (method, path, status, code)


# ---- bodies

@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b'"text"', b"1", b'{"location":"local",}', b"\xff\xfe{}",
                                 b'{"location":"local"}}', b"[" * 20000, b'{"a":' * 5000])
def test_bodies_that_are_no_object(arm, unchanged, raw):
    for path in (arm.hsm_id(GROUP, "kv-none"), arm.hsm_id(GROUP, NAME), arm.group_id("rg-none")):
        status, code, _ = arm.error("PUT", path, raw=raw, api=control.API)
        assert status == 400 and code in ("InvalidRequestContent", "LocationRequired"), (path, status, code)
    assert "kv-none" not in arm.names()
    assert arm.call("HEAD", arm.group_id("rg-none"), api=control.GROUPS).status_code == 404


def test_a_body_that_is_too_large(arm, unchanged):
    body = arm.hsm_body()
    body["tags"] = {"long": "x" * 3_000_000}
    assert arm.call("PUT", arm.hsm_id(GROUP, "kv-none"), body).status_code in (400, 413)
    assert "kv-none" not in arm.names()


BODIES = {
    "no location": (lambda b: b.pop("location"), "LocationRequired"),
    "unknown location": (lambda b: b.update(location="atlantis"), "RegionNotSupported"),
    "no sku": (lambda b: b.pop("sku"), "SkuNotSupported"),
    "unknown sku": (lambda b: b["sku"].update(name="Standard_B9"), "SkuNotSupported"),
    "family does not fit": (lambda b: b["sku"].update(family="C"), "SkuNotSupported"),
    "no properties": (lambda b: b.pop("properties"), "BadRequest"),
    "properties of another type": (lambda b: b.update(properties=[]), None),
    "no administrators": (lambda b: b["properties"].pop("initialAdminObjectIds"), "BadRequest"),
    "empty administrators": (lambda b: b["properties"].update(initialAdminObjectIds=[]), "BadRequest"),
    "administrators by name": (lambda b: b["properties"].update(initialAdminObjectIds=["me@contoso"]), "BadRequest"),
    "administrators of another type": (lambda b: b["properties"].update(initialAdminObjectIds="x"), "BadRequest"),
    "retention 6": (lambda b: b["properties"].update(softDeleteRetentionInDays=6), "BadRequest"),
    "retention 91": (lambda b: b["properties"].update(softDeleteRetentionInDays=91), "BadRequest"),
    "retention -7": (lambda b: b["properties"].update(softDeleteRetentionInDays=-7), "BadRequest"),
    "retention 7.5": (lambda b: b["properties"].update(softDeleteRetentionInDays=7.5), "BadRequest"),
    "retention text": (lambda b: b["properties"].update(softDeleteRetentionInDays="ten"), "BadRequest"),
    "no soft delete": (lambda b: b["properties"].update(enableSoftDelete=False), "BadRequest"),
    "protection of another type": (lambda b: b["properties"].update(enablePurgeProtection="yes"), "BadRequest"),
    "create mode": (lambda b: b["properties"].update(createMode="restore"), "BadRequest"),
    "nothing to recover": (lambda b: b["properties"].update(createMode="recover"), None),
    "network access": (lambda b: b["properties"].update(publicNetworkAccess="Sometimes"), "BadRequest"),
    "default action": (lambda b: b["properties"].update(networkAcls={"defaultAction": "Maybe"}), "BadRequest"),
    "address": (lambda b: b["properties"].update(networkAcls={"ipRules": [{"value": "300.1.1.1"}]}), "BadRequest"),
    "prefix": (lambda b: b["properties"].update(networkAcls={"ipRules": [{"value": "10.0.0.0/33"}]}), "BadRequest"),
    "region": (lambda b: b["properties"].update(regions=[{"name": "atlantis"}]), "400"),
    "tags of another type": (lambda b: b.update(tags={"a": 1}), "InvalidTagsFormat"),
    "51 tags": (lambda b: b.update(tags={f"t{i}": "x" for i in range(51)}), "InvalidTagsFormat"),
}


@pytest.mark.parametrize("what", BODIES)
def test_bad_creations(arm, what):
    change, wanted = BODIES[what]
    body = arm.hsm_body()
    change(body)
    status, code, text = arm.error("PUT", arm.hsm_id(GROUP, "kv-none"), body)
    assert 400 <= status < 500 and (wanted is None or (status, code) == (400, wanted)), (status, code, text)
    if what == "region":
        assert text.startswith("Invalid region name: atlantis passed. The valid list of region names: ")
    assert "kv-none" not in arm.names() | arm.deleted_names()
    assert arm.ok("POST", f"{arm.at}{control.KEYVAULT}/checkMhsmNameAvailability", {"name": "kv-none"})["nameAvailable"] is True


@pytest.mark.parametrize("name", ["ab", "a" * 25, "1abc", "-abc", "abc-", "a--b", "a_b", "a.b", "a%20b", "%C3%A4bc"])
def test_bad_names(arm, name):
    status, code, _ = arm.error("PUT", arm.hsm_id(GROUP, name), arm.hsm_body())
    assert status == 400 and code in ("VaultNameNotValid", "InvalidResourceName"), code
    r = arm.call("POST", f"{arm.at}{control.KEYVAULT}/checkMhsmNameAvailability", {"name": name})
    assert r.status_code == 200 and r.json()["nameAvailable"] is False and r.json()["reason"] == "AccountNameInvalid"


def test_what_cannot_be_changed(arm, unchanged):
    for change, what in ((lambda b: b["properties"].update(softDeleteRetentionInDays=8), "softDeleteRetentionInDays"),
                         (lambda b: b["sku"].update(name="Custom_B32"), "sku")):
        body = arm.hsm_body()
        change(body)
        status, code, text = arm.error("PUT", arm.hsm_id(GROUP, NAME), body)
        assert (status, code) == (400, "BadRequest") and what in text
    status, code, text = arm.error("PUT", arm.hsm_id(GROUP, NAME), {**arm.hsm_body(), "location": "elsewhere"})
    assert (status, code) == (409, "InvalidResourceLocation") and f"already exists in location '{control.REGION}'" in text
    status, code, _ = arm.error("PATCH", arm.hsm_id(GROUP, NAME), {"properties": {"softDeleteRetentionInDays": 90}})
    assert (status, code) == (400, "BadRequest")


def test_extension_is_not_available_yet(arm, unchanged):
    status, code, _ = arm.error("PATCH", arm.hsm_id(GROUP, NAME), {"properties": {"regions": [{"name": "atlantis"}]}})
    assert (status, code) == (400, "400")


# ---- what is not there

def test_unknown_resources(arm):
    s = arm.at
    rows = [
        ("GET", arm.hsm_id(GROUP, "missing"), 404, "ResourceNotFound",
         f"The Resource 'Microsoft.KeyVault/managedHSMs/missing' under resource group '{GROUP}' was not found. "
         "For more details please go to https://aka.ms/ARMResourceNotFoundFix"),
        ("PATCH", arm.hsm_id(GROUP, "missing"), 404, "ResourceNotFound", None),
        ("GET", arm.hsm_id(GROUP, "missing") + "/regions", 404, None, None),
        ("GET", arm.hsm_id("missing", NAME), 404, "ResourceGroupNotFound", "Resource group 'missing' could not be found."),
        ("PUT", arm.hsm_id("missing", "kv-none"), 404, "ResourceGroupNotFound", None),
        ("GET", arm.group_id("missing"), 404, "ResourceGroupNotFound", "Resource group 'missing' could not be found."),
        ("DELETE", arm.group_id("missing"), 404, "ResourceGroupNotFound", None),
        ("GET", arm.deleted_id(NAME), 404, "ResourceNotFound", None),
        ("POST", arm.deleted_id(NAME) + "/purge", 404, "ResourceNotFound", None),
        ("POST", arm.deleted_id("missing") + "/purge", 404, "ResourceNotFound", None),
        ("GET", f"{s}{control.KEYVAULT}/locations/{control.REGION}/managedHsmOperationResults/{uuid.uuid4()}", 404, None, None),
        ("GET", f"{s}{control.KEYVAULT}/locations/{control.REGION}/managedHsmOperationResults/x", 404, None, None),
        ("GET", f"/subscriptions/{uuid.uuid4()}", 404, "SubscriptionNotFound", None),
        ("GET", f"/subscriptions/{uuid.uuid4()}{control.KEYVAULT}/managedHSMs", 404, "SubscriptionNotFound", None),
        ("GET", f"{s}/providers/Microsoft.Nothing/things", 404, "InvalidResourceNamespace",
         "The resource namespace 'Microsoft.Nothing' is invalid."),
        ("GET", f"{s}/providers/Microsoft.Nothing", 404, "InvalidResourceNamespace", None),
        ("GET", f"{s}/resourceGroups/{GROUP}{control.KEYVAULT}/unheardof/x", 404, "InvalidResourceType", None),
    ]
    for method, path, want_status, want_code, want_text in rows:
        body = arm.hsm_body() if method in ("PUT", "PATCH") else None
        status, code, text = arm.error(method, path, body)
        assert status == want_status and code == (want_code or code), (method, path, status, code, text)
        assert want_text is None or text == want_text, (path, text)


def test_deleting_what_is_not_there_is_done(arm):
    r = arm.call("DELETE", arm.hsm_id(GROUP, "missing"))
    assert r.status_code == 204 and not r.content


def test_lists(arm):
    path = f"{arm.at}{control.KEYVAULT}/managedHSMs"
    for top in ("0", "-1", "x", "1.5"):
        assert arm.error("GET", f"{path}?$top={top}")[:2] == (400, "InvalidQueryParameterValue")
    page = arm.ok("GET", f"{path}?$top=1")
    assert len(page["value"]) == 1
    assert {h["name"] for h in arm.pages(f"{path}?$top=1")} == arm.names() >= {NAME}
    assert arm.error("GET", f"{arm.at}/resources?$filter=nonsense")[:2] == (400, "InvalidFilterInQueryString")


# ---- names in use

def test_a_name_that_is_taken(arm, unchanged):
    arm.group("rg-other")
    status, code, text = arm.error("PUT", arm.hsm_id("rg-other", NAME.upper()), arm.hsm_body())
    assert (status, code) == (409, "VaultAlreadyExists") and "already in use" in text
    r = arm.ok("POST", f"{arm.at}{control.KEYVAULT}/checkMhsmNameAvailability", {"name": NAME.upper()})
    assert r["nameAvailable"] is False and r["reason"] == "AlreadyExists" and r["message"]
    assert arm.error("POST", f"{arm.at}{control.KEYVAULT}/checkMhsmNameAvailability", {})[:2] == (400, "BadRequest")
    assert arm.error("PUT", arm.hsm_id(GROUP, NAME), arm.recovery())[:2] == (409, "ConflictError")
    assert NAME not in {h["name"] for h in arm.pages(arm.group_id("rg-other") + f"{control.KEYVAULT}/managedHSMs")}


def test_a_name_in_soft_delete_and_purge_protection(arm):
    name = "kv-kept"
    arm.create(GROUP, name)
    arm.done("PATCH", arm.hsm_id(GROUP, name), {"properties": {"enablePurgeProtection": True}})
    for method, body in (("PUT", arm.hsm_body(enablePurgeProtection=False)),
                         ("PATCH", {"properties": {"enablePurgeProtection": False}})):
        status, code, text = arm.error(method, arm.hsm_id(GROUP, name), body)
        assert (status, code) == (400, "BadRequest") and "irreversible" in text
    assert arm.get(GROUP, name)["properties"]["enablePurgeProtection"] is True
    arm.delete(GROUP, name)
    assert arm.error("GET", arm.hsm_id(GROUP, name))[:2] == (404, "ResourceNotFound")
    kept = arm.ok("GET", arm.deleted_id(name))
    assert kept["type"] == "Microsoft.Keyvault/deletedManagedHSMs"
    assert kept["properties"]["purgeProtectionEnabled"] is True
    for where, body in ((GROUP, arm.hsm_body()), ("rg-other", arm.hsm_body())):
        arm.group(where)
        status, code, text = arm.error("PUT", arm.hsm_id(where, name), body)
        assert (status, code) == (409, "ConflictError") and "already exists in deleted state" in text
    assert arm.error("PUT", arm.hsm_id("rg-other", name), arm.recovery())[:2] == (409, "ConflictError")
    status, code, text = arm.error("POST", arm.deleted_id(name) + "/purge")
    assert (status, code) == (409, "ConflictError") and "purge protection" in text
    assert arm.ok("GET", arm.deleted_id(name)) == kept
    r = arm.ok("POST", f"{arm.at}{control.KEYVAULT}/checkMhsmNameAvailability", {"name": name})
    assert r["nameAvailable"] is False and r["reason"] == "AlreadyExists"


# ---- rights

def denied(arm, method, path, action, body=None):
    status, code, text = arm.error(method, path, body)
    assert (status, code) == (403, "AuthorizationFailed"), (method, path, status, code)
    assert re.search(rf"The client '.+' with object id '.+' does not have authorization to perform action '{re.escape(action)}' "
                     "over scope '/", text, re.I), text


def rows_of_rights(arm):
    hsm = arm.hsm_id(GROUP, NAME)
    return [("GET", hsm, "Microsoft.KeyVault/managedHSMs/read", None),
            ("PATCH", hsm, "Microsoft.KeyVault/managedHSMs/write", {"tags": {"a": "b"}}),
            ("PUT", hsm, "Microsoft.KeyVault/managedHSMs/write", arm.hsm_body()),
            ("DELETE", hsm, "Microsoft.KeyVault/managedHSMs/delete", None),
            ("POST", arm.deleted_id("kv-kept") + "/purge", "Microsoft.KeyVault/locations/deletedManagedHsms/purge/action", None),
            ("PUT", arm.group_id("rg-guest"), "Microsoft.Resources/subscriptions/resourceGroups/write",
             {"location": control.REGION}),
            ("DELETE", arm.group_id(GROUP), "Microsoft.Resources/subscriptions/resourceGroups/delete", None)]


def test_without_any_right(arm, guest, unchanged):
    for method, path, action, body in rows_of_rights(arm):
        denied(guest, method, path, action, body)
    denied(guest, "GET", f"{arm.at}{control.KEYVAULT}/managedHSMs", "Microsoft.KeyVault/managedHSMs/read")
    denied(guest, "GET", f"{arm.at}{control.KEYVAULT}/deletedManagedHSMs", "Microsoft.KeyVault/deletedManagedHSMs/read")


def give(arm, scope, role, principal):
    path = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
    body = {"properties": {"roleDefinitionId": f"{arm.at}/providers/Microsoft.Authorization/roleDefinitions/{role}",
                           "principalId": principal}}
    assert arm.call("PUT", path, body, api="2022-04-01").status_code == 201
    return path


def test_a_reader_only_reads(arm, guest, unchanged):
    path = give(arm, arm.hsm_id(GROUP, NAME), READER, arm.pool.env["KEYHOLD_GUEST_OID"])
    try:
        assert guest.get(GROUP, NAME)["name"] == NAME and guest.names() == {NAME}
        for method, where, action, body in rows_of_rights(arm)[1:]:
            denied(guest, method, where, action, body)
    finally:
        arm.ok("DELETE", path, api="2022-04-01")
    denied(guest, *rows_of_rights(arm)[0][:3])


def test_an_owner_of_resources_has_no_right_on_keys(arm, guest):
    """The control plane gives none, and the pool's own roles give none in the control plane."""
    path = give(arm, arm.at, HSM_CONTRIBUTOR, arm.pool.env["KEYHOLD_GUEST_OID"])
    try:
        assert NAME in guest.names()
        guest.done("PATCH", arm.hsm_id(GROUP, NAME), {"tags": {"by": "guest"}})
        denied(guest, "PUT", arm.group_id("rg-guest"), "Microsoft.Resources/subscriptions/resourceGroups/write",
               {"location": control.REGION})
        r = arm.hsm(NAME).call("GET", "/securitydomain/download/pending", token=arm.pool.guest_token())
        assert r.status_code == 403, r.text
    finally:
        arm.ok("DELETE", path, api="2022-04-01")
        arm.done("PATCH", arm.hsm_id(GROUP, NAME), {"tags": {}})


def test_operations_in_their_turn(arm):
    """While one is under way another one is refused, and the first one ends well."""
    name = "kv-turn"
    first = arm.call("PUT", arm.hsm_id(GROUP, name), arm.hsm_body())
    assert first.status_code == 202 and not first.content
    shown = arm.get(GROUP, name)["properties"]
    assert shown["provisioningState"] in ("Provisioning", "Succeeded")
    assert shown["hsmUri"] == f"https://{name}.managedhsm.localhost:{arm.pool.port}/"
    if shown["provisioningState"] == "Provisioning":
        assert shown["statusMessage"] in ("Resource creation in progress. Allocating hardware...",
                                          "Resource creation in progress. Starting service...")
        r = arm.call("DELETE", arm.hsm_id(GROUP, name))
        assert r.status_code in (202, 409), r.text
        assert r.status_code == 202 or r.json()["error"]["code"] == "ConflictError"
        arm.wait(r) if r.status_code == 202 else None
    done = arm.wait(first)
    assert done.status_code == 200
    if name in arm.names():
        assert done.json()["properties"]["provisioningState"] == "Succeeded"
        assert "createMode" not in json.dumps(done.json())
        arm.delete(GROUP, name)
    arm.purge(name)
    assert name not in arm.names() | arm.deleted_names()


def test_five_pools_in_a_region(arm):
    """Those that are there count, in whatever state."""
    for i in range(5 - len(arm.names())):
        assert arm.call("PUT", arm.hsm_id(GROUP, f"kv-q-{i}"), arm.hsm_body()).status_code == 202
    status, code, text = arm.error("PUT", arm.hsm_id(GROUP, "kv-sixth"), arm.hsm_body())
    assert (status, code) == (409, "QuotaExceeded") and "limit is 5" in text
