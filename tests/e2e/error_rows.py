"""The rows of test_error_catalogue.py: request, answer."""
import base64
import dataclasses
import json

import keyhold

AUTHZ = "/providers/Microsoft.Authorization"
DEFINITION = f"{AUTHZ}/roleDefinitions"
ASSIGNMENT = f"{AUTHZ}/roleAssignments"
HSM = "Microsoft.KeyVault/managedHsm"
ROLE = "11111111-2222-4333-8444-555555555555"
OTHER_ROLE = "66666666-2222-4333-8444-555555555555"
GRANT = "22222222-2222-4333-8444-555555555555"
FREE = "33333333-2222-4333-8444-555555555555"
TENANT = "44444444-2222-4333-8444-555555555555"
V0 = "0" * 32
DIGEST = "A" * 43
IV = "A" * 22
DAY = 86400
CONDITION = {"claim": "a", "equals": "b"}
AUTHORITY = {"authority": "https://attest.example", "anyOf": [CONDITION]}
RELEASE = "Key Release Policy: "


@dataclasses.dataclass
class Row:
    request: str        # method and path; api-version 7.6 is added unless there is one
    status: int
    code: str
    message: str        # {pool}: https://host of the pool
    body: object = None  # JSON; bytes: as they are
    token: str = "admin"
    api: str = "7.6"

    @property
    def id(self):
        return f"{self.request} {self.message[:60]}".replace("{", "").replace("}", "")


def grant(role, principal=FREE):
    return {"properties": {"roleDefinitionId": f"Microsoft.KeyVault{DEFINITION}/{role}", "principalId": principal}}


def role(**properties):
    return {"properties": {"roleName": "r", **properties}}


def jwk(**members):
    return {"key": {"kty": "oct", "k": "AAAA", **members}}


def release(**members):
    """A release policy as it is sent; None: without that member."""
    p = {k: v for k, v in {"version": "1.0.0", "anyOf": [AUTHORITY], **members}.items() if v is not None}
    return {"data": base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=")}


def exportable(data):
    return {"kty": "RSA", "attributes": {"exportable": True}, "release_policy": data}


def policy(expiry=None, *actions):
    return {"lifetimeActions": [{"action": {"type": t}, "trigger": {trigger: time}} for t, trigger, time in actions],
            "attributes": {"expiryTime": expiry} if expiry else {}}


def wrapped(**members):
    """A key for import that is wrapped for the HSM."""
    text = json.dumps({"schema_version": "1.0.0", "header": {"alg": "dir", "enc": "CKM_RSA_AES_KEY_WRAP"}, **members})
    return {"key": {"kty": "RSA-HSM", "key_hsm": base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")}}


def R(*args, **kw):
    return Row(*args, **kw)


def bad(request, message, body=None, **kw):
    return Row(request, 400, "BadParameter", message, body, **kw)


def forbidden(request, message, body=None):
    return Row(request, 403, "Forbidden", message, body)


def missing(request, at, body=None):
    return Row(request, 404, "KeyNotFound", f"Key not found: {{pool}}/{at}", body)


def denied(request, action, scope, body=None):
    return Row(request, 403, "AccessDenied", f"Not authorized to access {HSM}/{action} on {scope}", body, token="guest")


def unauthorized(token, message):
    return Row("GET /keys", 401, "Unauthorized", message, token=token)


SIGN_EC = {"alg": "ES256", "value": DIGEST}
POLICY_OF_EC = "/keys/ec/rotationpolicy"
SIGN_RSA = {"alg": "RS256", "value": DIGEST}
WRAP = {"alg": "A256KW", "value": DIGEST}
BUILT_IN = "Cannot re-use the name/GUID matching that of a built-in role. Please use a unique role ID."
DELETED = ("Key gone is currently in a deleted but recoverable state, and its name cannot be reused; in this state, "
           "the key can only be recovered or purged.")
FOREIGN_BLOB = "Backup blob belongs to a different crypto domain and cannot be used with this instance."
RNG = "GetRandomBytesRequest: count cannot be greater than 128 or less than 1"
NOT_ACTIVE = "The HSM is not activated. Download the security domain to activate it."
NO_JSON = "The request body is not a valid JSON object."
CRYPTO_FAILED = "The cryptographic input could not be processed."

# ---- what real HSMs were seen to say
SEEN = [
    unauthorized("other audience", "Found token with aud=https://vault.azure.net, but expected aud={resource}"),
    unauthorized("malformed", "Error decoding or parsing JWT components"),
    unauthorized("not yet", "Token not yet valid"),
    denied("GET " + ASSIGNMENT, "roleAssignments/read/action", "/"),
    denied("POST /keys/k/create", "keys/create", "/keys", {"kty": "EC"}),
    R("POST /securitydomain/download", 403, "AccessDenied", "Not authorized to perform Security Domain backup.",
      {"certificates": [{"x5c": ["AAAA"]}], "required": 2}, token="guest"),
    missing("GET /keys/nope", "keys/nope"),
    missing("GET /keys/gone", "keys/gone"),
    missing("PATCH /keys/nope", "keys/nope", {"tags": {}}),
    missing("DELETE /keys/nope", "keys/nope"),
    missing("POST /keys/nope/sign", "keys/nope", SIGN_EC),
    missing("GET /deletedkeys/nope", "deletedkeys/nope"),
    missing("POST /deletedkeys/ec/recover", "deletedkeys/ec"),
    missing("DELETE /deletedkeys/ec", "deletedkeys/ec"),
    bad("POST /keys/k/create", "Non-exportable keys must not have release policy",
        {"kty": "RSA", "release_policy": release()}),
    bad("POST /keys/k/create", "Exportable keys must have release policy",
        {"kty": "RSA", "attributes": {"exportable": True}}),
    bad("PUT /keys/k", "Non-exportable keys must not have release policy",
        {**jwk(), "release_policy": release()}),
    bad("PUT /keys/k", "Exportable keys must have release policy", {**jwk(), "attributes": {"exportable": True}}),
    bad("POST /keys/k/create", RELEASE + "missing 'version' property", exportable(release(version=None))),
    bad("PUT /keys/k", RELEASE + "missing 'version' property",
        {**jwk(), "attributes": {"exportable": True}, "release_policy": release(version=None)}),
    bad("PATCH /keys/frozen", RELEASE + "missing 'version' property", {"release_policy": release(version=None)}),
    bad("POST /rng", RNG, {"count": 129}),
    bad("POST /rng", RNG, {"count": 0}),
    bad("PUT /keys/k", "JSON Web Key: k property of oct key is too large, maximum size is 64", jwk(k="A" * 88)),
    R("POST /keys/restore", 400, "MalformedBackupBlob", FOREIGN_BLOB, {"value": "bm9uLWV4aXN0aW5n"}),
    missing("POST /keys/nope/backup", "keys/nope"),
    bad(f"PUT {DEFINITION}/{keyhold.CRYPTO_USER}", BUILT_IN, role()),
    bad(f"DELETE {DEFINITION}/{keyhold.CRYPTO_USER}", BUILT_IN),
    bad(f"PUT {DEFINITION}/no-guid", "Role definition name must be a GUID", role()),
    R(f"GET {DEFINITION}/{FREE}", 404, "RoleDefinitionNotFound", "Requested role definition not found"),
    R(f"DELETE {DEFINITION}/{FREE}", 404, "RoleDefinitionNotFound", "Requested role definition not found"),
    R(f"GET {ASSIGNMENT}/{FREE}", 404, "RoleAssignmentNotFound", "Requested role assignment not found"),
    R(f"DELETE {ASSIGNMENT}/{FREE}", 404, "RoleAssignmentNotFound", "Requested role assignment not found"),
    R(f"PUT {ASSIGNMENT}/{GRANT}", 400, "RoleAssignmentExists", "The role assignment already exists.", grant(ROLE)),
    R(f"PUT {ASSIGNMENT}/{GRANT}", 400, "RoleAssignmentExists", "The role assignment already exists.",
      grant(OTHER_ROLE, TENANT)),
    R(f"PUT {ASSIGNMENT}/{FREE}", 400, "MatchingRoleAssignmentExists",
      f"Role assignment '{GRANT}' already adds role 'Microsoft.KeyVault{DEFINITION}/{ROLE}' to principal '{FREE}' in "
      "scope '/'.", grant(ROLE)),
    R("GET /keys/a_b", 400, "Invalidkeyidentifier", "Invalid key identifier"),
    R("GET /keys/ec/xyz", 400, "Invalidkeyidentifier", "Invalid key identifier"),
    R("GET /keys/" + "a" * 128, 400, "Invalidkeyidentifier", "Invalid key identifier"),
]

# ---- who may not (every right, at the scope where it is looked for)
DENIED = [
    denied("PUT /keys/k", "keys/import/action", "/keys", jwk()),
    denied("GET /keys", "keys/read/action", "/keys"),
    denied("GET /keys/ec", "keys/read/action", "/keys/ec"),
    denied("GET /keys/nope", "keys/read/action", "/keys/nope"),
    denied("GET /keys/ec/versions", "keys/read/action", "/keys/ec"),
    denied("PATCH /keys/ec", "keys/write/action", "/keys/ec", {"tags": {}}),
    denied("DELETE /keys/ec", "keys/delete", "/keys/ec"),
    denied("POST /keys/ec/backup", "keys/backup/action", "/keys/ec"),
    denied("POST /keys/restore", "keys/restore/action", "/keys", {"value": "AAAA"}),
    denied("POST /keys/ec/rotate", "keys/rotate/action", "/keys/ec"),
    denied("GET /keys/ec/rotationpolicy", "keys/read/action", "/keys/ec"),
    denied("PUT /keys/ec/rotationpolicy", "keys/write/action", "/keys/ec", policy()),
    denied("GET /deletedkeys", "keys/deletedKeys/read/action", "/keys"),
    denied("GET /deletedkeys/gone", "keys/deletedKeys/read/action", "/keys/gone"),
    denied("POST /deletedkeys/gone/recover", "keys/deletedKeys/recover/action", "/keys/gone"),
    denied("DELETE /deletedkeys/gone", "keys/deletedKeys/delete", "/keys/gone"),
    denied("POST /keys/aes/encrypt", "keys/encrypt/action", "/keys/aes", WRAP),
    denied("POST /keys/aes/decrypt", "keys/decrypt/action", "/keys/aes", WRAP),
    denied("POST /keys/aes/wrapkey", "keys/wrap/action", "/keys/aes", WRAP),
    denied("POST /keys/aes/unwrapkey", "keys/unwrap/action", "/keys/aes", WRAP),
    denied("POST /keys/ec/sign", "keys/sign/action", "/keys/ec", SIGN_EC),
    denied("POST /keys/ec/verify", "keys/verify/action", "/keys/ec", {**SIGN_EC, "digest": DIGEST}),
    denied("GET " + DEFINITION, "roleDefinitions/read/action", "/"),
    denied("GET /keys" + DEFINITION, "roleDefinitions/read/action", "/keys"),
    denied(f"GET {DEFINITION}/{ROLE}", "roleDefinitions/read/action", "/"),
    denied(f"PUT {DEFINITION}/{FREE}", "roleDefinitions/write/action", "/", role()),
    denied(f"DELETE {DEFINITION}/{ROLE}", "roleDefinitions/delete/action", "/"),
    denied(f"GET /keys/ec{ASSIGNMENT}/{GRANT}", "roleAssignments/read/action", "/keys/ec"),
    denied(f"PUT {ASSIGNMENT}/{FREE}", "roleAssignments/write/action", "/", grant(ROLE)),
    denied(f"PUT /keys{ASSIGNMENT}/{FREE}", "roleAssignments/write/action", "/keys", grant(ROLE)),
    denied(f"DELETE {ASSIGNMENT}/{GRANT}", "roleAssignments/delete/action", "/"),
    denied("GET /securitydomain/download/pending", "securitydomain/download/read", "/"),
    denied("GET /securitydomain/upload/pending", "securitydomain/upload/read", "/"),
    denied("POST /rng", "rng/action", "/", {"count": 1}),
    denied("GET /settings", "settings/read/action", "/"),
    denied("GET /settings/x", "settings/read/action", "/"),
    denied("PATCH /settings/x", "settings/write/action", "/", {"value": "true"}),
]

# ---- where the service is silent: ours
OURS = [
    # tokens
    unauthorized("expired", "Token expired"),
    unauthorized("other tenant", f"Invalid tenant. Expected tid={{tenant}}, found tid={TENANT}"),
    unauthorized("other issuer", "AKV10032: Invalid issuer. Expected one of https://sts.windows.net/{tenant}/, "
                 f"found https://sts.windows.net/{TENANT}/."),
    unauthorized("other key", "Signature validation failed"),
    # states of keys
    R("POST /keys/gone/create", 409, "Conflict", DELETED, {"kty": "EC"}),
    R("PUT /keys/gone", 409, "Conflict", DELETED, jwk()),
    forbidden("DELETE /deletedkeys/gone", "Keys cannot be purged while purge protection is enabled."),
    forbidden("POST /keys/off/sign", "Operation is not allowed on a disabled key.", SIGN_EC),
    forbidden("POST /keys/early/sign", "Operation is not allowed on a key that is not yet valid.", SIGN_EC),
    forbidden("POST /keys/late/sign", "Operation is not allowed on an expired key.", SIGN_EC),
    forbidden("POST /keys/verifier/sign", "Operation is not permitted by the key_ops of this key.", SIGN_EC),
    missing(f"GET /keys/ec/{V0}", f"keys/ec/{V0}"),
    missing(f"POST /keys/ec/{V0}/sign", f"keys/ec/{V0}", SIGN_EC),
    # algorithms and input
    bad("POST /keys/ec/sign", "The algorithm does not fit the type of the key.", SIGN_RSA),
    bad("POST /keys/ec/sign", "The algorithm does not fit the curve of the key.", {"alg": "ES384", "value": "A" * 64}),
    bad("POST /keys/aes/wrapkey", "The algorithm does not fit the size of the key.", {**WRAP, "alg": "A128KW"}),
    bad("POST /keys/ec/sign", "The algorithm does not support this operation.", {"alg": "RSA-OAEP", "value": DIGEST}),
    bad("POST /keys/ec/sign", "The length of the digest does not fit the algorithm.",
        {"alg": "ES256", "value": "AAAA"}),
    bad("POST /keys/rsa/sign", "The length of the digest does not fit the algorithm.",
        {"alg": "PS512", "value": DIGEST}),
    bad("POST /keys/rsa/encrypt", "value is too long for the key and the algorithm.",
        {"alg": "RSA-OAEP", "value": "A" * 400}),
    bad("POST /keys/rsa/encrypt", "iv, aad and tag are not supported by the algorithm.",
        {"alg": "RSA-OAEP", "value": "AAAA", "iv": "AAAA"}),
    bad("POST /keys/rsa/decrypt", CRYPTO_FAILED, {"alg": "RSA-OAEP", "value": "AAAA"}),
    bad("POST /keys/rsa/unwrapkey", CRYPTO_FAILED, {"alg": "RSA1_5", "value": "A" * 342}),
    bad("POST /keys/aes/unwrapkey", CRYPTO_FAILED, {"alg": "A256KW", "value": "A" * 54}),
    bad("POST /keys/aes/decrypt", CRYPTO_FAILED, {"alg": "A256GCM", "value": "AAAA", "iv": "A" * 16, "tag": IV}),
    bad("POST /keys/aes/encrypt", "iv and tag must not be sent: the HSM generates them.",
        {"alg": "A256GCM", "value": "AAAA", "iv": "A" * 16}),
    bad("POST /keys/aes/decrypt", "iv of 12 bytes is required.", {"alg": "A256GCM", "value": "AAAA"}),
    bad("POST /keys/aes/decrypt", "tag of 16 bytes is required.", {"alg": "A256GCM", "value": "AAAA", "iv": "A" * 16}),
    bad("POST /keys/aes/encrypt", "iv of 16 bytes is required.", {"alg": "A256CBC", "value": IV}),
    bad("POST /keys/aes/encrypt", "value must be a multiple of 16 bytes.",
        {"alg": "A256CBC", "value": "AAAA", "iv": IV}),
    bad("POST /keys/aes/encrypt", "aad and tag are not supported by the algorithm.",
        {"alg": "A256CBC", "value": IV, "iv": IV, "aad": "AAAA"}),
    bad("POST /keys/aes/wrapkey", "value must be at least 16 bytes and a multiple of 8.",
        {"alg": "A256KW", "value": "AAAA"}),
    bad("POST /keys/aes/wrapkey", "iv, aad and tag are not supported by the algorithm.", {**WRAP, "iv": IV}),
    # values of members
    bad("POST /keys/k/create", "Property 'kty' is missing.", {}),
    bad("POST /keys/k/create", "Property 'kty' has an unknown value.", {"kty": "X"}),
    bad("POST /keys/k/create", "Property 'kty' must be a string.", {"kty": 1}),
    bad("POST /keys/k/create", "Property 'crv' has an unknown value.", {"kty": "EC", "crv": "X"}),
    bad("POST /keys/k/create", "key_size of an RSA-HSM key must be 2048, 3072 or 4096.",
        {"kty": "RSA", "key_size": 1024}),
    bad("POST /keys/k/create", "key_size of an oct-HSM key must be 128, 192 or 256.", {"kty": "oct", "key_size": 512}),
    bad("POST /keys/k/create", "public_exponent must be 3 or 65537.", {"kty": "RSA", "public_exponent": 5}),
    bad("POST /keys/k/create", "Property 'key_size' must be an integer.", {"kty": "RSA", "key_size": "2048"}),
    bad("POST /keys/k/create", "Property 'key_size' is out of range.", {"kty": "RSA", "key_size": -1}),
    bad("POST /keys/k/create", "Property 'key_ops' contains an unknown operation.", {"kty": "EC", "key_ops": ["x"]}),
    bad("POST /keys/k/create", "Property 'key_ops' must be an array.", {"kty": "EC", "key_ops": "sign"}),
    bad("POST /keys/k/create", "import must be the only operation of a key.",
        {"kty": "RSA", "key_ops": ["import", "sign"]}),
    bad("POST /keys/k/create", "import is for RSA-HSM keys only.", {"kty": "EC", "key_ops": ["import"]}),
    bad("POST /keys/k/create", "Property 'tags' must be an object.", {"kty": "EC", "tags": []}),
    bad("POST /keys/k/create", "Tag values must be strings.", {"kty": "EC", "tags": {"a": 1}}),
    bad("POST /keys/k/create", "Tag names and values can have at most 256 characters.",
        {"kty": "EC", "tags": {"a": "x" * 257}}),
    bad("POST /keys/k/create", "A key can have at most 15 tags.",
        {"kty": "EC", "tags": {str(i): "" for i in range(16)}}),
    bad("POST /keys/k/create", "Property 'enabled' must be true or false.",
        {"kty": "EC", "attributes": {"enabled": 1}}),
    bad("POST /keys/k/create", "Property 'nbf' is out of range.", {"kty": "EC", "attributes": {"nbf": -1}}),
    bad("POST /keys/k/create", "Property 'release_policy' needs 'data'.", {"kty": "EC", "release_policy": {}}),
    bad("PATCH /keys/ec", "The exportable attribute of a key cannot be changed.", {"attributes": {"exportable": True}}),
    bad("PATCH /keys/ec", "Non-exportable keys must not have release policy", {"release_policy": release()}),
    bad("POST /keys/ec/sign", "Property 'alg' is missing.", {"value": DIGEST}),
    bad("POST /keys/ec/sign", "Property 'alg' has an unknown value.", {"alg": "X", "value": DIGEST}),
    bad("POST /keys/ec/sign", "Property 'value' is missing.", {"alg": "ES256"}),
    bad("POST /keys/ec/sign", "Property 'value' is not valid base64url.", {"alg": "ES256", "value": "+"}),
    bad("POST /keys/ec/sign", "Property 'value' must be a base64url string.", {"alg": "ES256", "value": 1}),
    bad("POST /keys/ec/verify", "Property 'digest' is missing.", SIGN_EC),
    # import
    bad("PUT /keys/k", "Property 'key' is missing.", {}),
    bad("PUT /keys/k", "JSON Web Key: kty is missing or unknown.", jwk(kty="X")),
    bad("PUT /keys/k", "JSON Web Key: k of the oct key is missing or empty.", {"key": {"kty": "oct"}}),
    bad("PUT /keys/k", "JSON Web Key: k property is malformed.", jwk(k="+")),
    bad("PUT /keys/k", "JSON Web Key: key_ops contains an unknown operation.", jwk(key_ops=["x"])),
    bad("PUT /keys/k", "JSON Web Key: n, e and d of the RSA key are required.", {"key": {"kty": "RSA"}}),
    bad("PUT /keys/k", "JSON Web Key: crv of the EC key is missing or unknown.", {"key": {"kty": "EC", "d": "AQ"}}),
    bad("PUT /keys/k", "JSON Web Key: d of the EC key is required.", {"key": {"kty": "EC", "crv": "P-256"}}),
    bad("PUT /keys/k", "JSON Web Key: d is not in the range of the curve.",
        {"key": {"kty": "EC", "crv": "P-256", "d": "AA"}}),
    bad("PUT /keys/k", "JSON Web Key: x and y are not the public key of d.",
        {"key": {"kty": "EC", "crv": "P-256", "d": "AQ", "x": "AQ", "y": "AQ"}}),
    bad("PUT /keys/k", "Key transfer blob: it is not a valid JSON object.",
        {"key": {"kty": "RSA-HSM", "key_hsm": "AAAA"}}),
    bad("PUT /keys/k", "Key transfer blob: schema_version must be 1.0.0.", wrapped(schema_version="2")),
    bad("PUT /keys/k", "Key transfer blob: header is missing.", wrapped(header=None)),
    bad("PUT /keys/k", "Key transfer blob: header.kid must be the identifier of a key of this HSM.", wrapped()),
    # backup
    R("POST /keys/restore", 409, "Conflict", "A key with the name ec already exists.", {"value": "{blob of ec}"}),
    R("POST /keys/restore", 409, "Conflict", DELETED, {"value": "{blob of gone}"}),
    bad("POST /keys/restore", "Property 'value' is missing.", {}),
    # release policies
    bad("PATCH /keys/frozen", "AKV.SKR.1020: Immutable Key Release Policy cannot be modified.",
        {"release_policy": release(anyOf=[{**AUTHORITY, "authority": "https://other.example"}])}),
    bad("POST /keys/k/create", RELEASE + "it is not a valid JSON object", exportable({"data": "AAAA"})),
    bad("POST /keys/k/create", RELEASE + "unsupported 'version' property", exportable(release(version="2"))),
    bad("POST /keys/k/create", RELEASE + "it has more properties than 'version' and 'anyOf'",
        exportable(release(more=1))),
    bad("POST /keys/k/create", RELEASE + "'anyOf' must be an array of authorities that is not empty",
        exportable(release(anyOf=[]))),
    bad("POST /keys/k/create", RELEASE + "an authority must be an object", exportable(release(anyOf=[1]))),
    bad("POST /keys/k/create", RELEASE + "'authority' must be an https URL",
        exportable(release(anyOf=[{**AUTHORITY, "authority": "http://a.example"}]))),
    bad("POST /keys/k/create", RELEASE + "there must be exactly one of 'anyOf' and 'allOf', and nothing else",
        exportable(release(anyOf=[{**AUTHORITY, "allOf": [CONDITION]}]))),
    bad("POST /keys/k/create", RELEASE + "'anyOf' and 'allOf' must be arrays that are not empty",
        exportable(release(anyOf=[{**AUTHORITY, "anyOf": []}]))),
    bad("POST /keys/k/create", RELEASE + "a condition must be an object",
        exportable(release(anyOf=[{**AUTHORITY, "anyOf": [1]}]))),
    bad("POST /keys/k/create", RELEASE + "'claim' must be a name, or names separated by dots",
        exportable(release(anyOf=[{**AUTHORITY, "anyOf": [{**CONDITION, "claim": "."}]}]))),
    bad("POST /keys/k/create", RELEASE + "a claim needs 'equals', and no other operator is supported",
        exportable(release(anyOf=[{**AUTHORITY, "anyOf": [{"claim": "a"}]}]))),
    bad("POST /keys/k/create", RELEASE + "value of 'equals' must be a string, a number, true or false",
        exportable(release(anyOf=[{**AUTHORITY, "anyOf": [{**CONDITION, "equals": []}]}]))),
    # rotation
    bad("POST /keys/ec/rotate", "A key can be rotated only while it has a rotation policy."),
    missing("POST /keys/nope/rotate", "keys/nope"),
    missing("GET /keys/nope/rotationpolicy", "keys/nope"),
    missing("PUT /keys/nope/rotationpolicy", "keys/nope", policy()),
    bad(f"PUT {POLICY_OF_EC}", "Property 'lifetimeActions' must be an array.", {"lifetimeActions": {}}),
    bad(f"PUT {POLICY_OF_EC}", "Property 'lifetimeActions' must be an array of objects.", {"lifetimeActions": [1]}),
    bad(f"PUT {POLICY_OF_EC}", "The type of an action must be Rotate or Notify.",
        policy(None, ("X", "timeAfterCreate", "P1Y"))),
    bad(f"PUT {POLICY_OF_EC}", "A trigger needs either timeAfterCreate or timeBeforeExpiry.",
        policy(None, ("Rotate", "x", "P1Y"))),
    bad(f"PUT {POLICY_OF_EC}", "A rotation policy can have at most one action of each type.",
        policy(None, ("Rotate", "timeAfterCreate", "P1Y"), ("Rotate", "timeAfterCreate", "P2Y"))),
    bad(f"PUT {POLICY_OF_EC}", "timeAfterCreate must be at least 28 days.",
        policy(None, ("Rotate", "timeAfterCreate", "P27D"))),
    bad(f"PUT {POLICY_OF_EC}", "expiryTime must be at least 28 days.", policy("P27D")),
    bad(f"PUT {POLICY_OF_EC}",
        "expiryTime must be a duration in years, months, weeks and days, such as P2Y, P18M or P90D.",
        policy("P1")),
    bad(f"PUT {POLICY_OF_EC}", "timeBeforeExpiry must be at least 28 days shorter than expiryTime.",
        policy("P30D", ("Rotate", "timeBeforeExpiry", "P3D"))),
    # lists, random bytes, settings
    bad("GET /keys?maxresults=26", "Query parameter maxresults must be between 1 and 25."),
    bad("GET /keys?maxresults=x", "Query parameter maxresults must be between 1 and 25."),
    bad("GET /keys?$skiptoken=A", "Query parameter $skiptoken is invalid."),
    bad("POST /rng", RNG, {}),
    bad("POST /rng", "Property 'count' must be an integer.", {"count": "1"}),
    R("GET /settings/nope", 404, "NotFound", "Requested setting not found"),
    R("PATCH /settings/nope", 404, "NotFound", "Requested setting not found", {"value": "true"}),
    bad("PATCH /settings/AllowKeyManagementOperationsThroughARM",
        "Setting 'AllowKeyManagementOperationsThroughARM' must be 'true' or 'false'.", {"value": "x"}),
    bad("PATCH /settings/nope", "Property 'value' is missing.", {}),
    # roles
    bad(f"PUT {DEFINITION}/{FREE}", BUILT_IN, role(roleName="Managed HSM Crypto User")),
    bad(f"PUT /keys{DEFINITION}/{FREE}", "Role definitions can be written only at scope '/'.", role()),
    bad(f"PUT {DEFINITION}/{FREE}", "The role type must be 'CustomRole'.", role(type="AKVBuiltInRole")),
    bad(f"PUT {DEFINITION}/{FREE}", "Property 'assignableScopes' may only contain '/'.",
        role(assignableScopes=["/keys"])),
    bad(f"PUT {DEFINITION}/{FREE}", f"Every action of a role must start with '{HSM}/'.",
        role(permissions=[{"dataActions": ["x"]}])),
    bad(f"PUT {DEFINITION}/{FREE}", "Wildcards are not supported in the actions of a role.",
        role(permissions=[{"dataActions": [f"{HSM}/*"]}])),
    bad(f"PUT {DEFINITION}/{FREE}", "An action of the role has a character that is not allowed.",
        role(permissions=[{"dataActions": [f"{HSM}/a b"]}])),
    bad(f"PUT {DEFINITION}/{FREE}", "Property 'permissions' must be an array of objects.", role(permissions=[1])),
    bad(f"PUT {DEFINITION}/{FREE}", "Property 'dataActions' must be an array of action names.",
        role(permissions=[{"dataActions": [1]}])),
    bad(f"PUT {ASSIGNMENT}/no-guid", "Role assignment name must be a GUID", grant(ROLE)),
    R(f"PUT {ASSIGNMENT}/{FREE}", 404, "RoleDefinitionNotFound", "Requested role definition not found", grant(FREE)),
    bad(f"PUT {ASSIGNMENT}/{FREE}", "principalId must be a GUID", grant(ROLE, "x")),
    bad(f"PUT {ASSIGNMENT}/{FREE}", "Property 'properties.principalId' is missing.", {"properties": {}}),
    bad(f"PUT {ASSIGNMENT}/{FREE}", "roleDefinitionId must have the form 'Microsoft.KeyVault/providers/"
        "Microsoft.Authorization/roleDefinitions/<guid>'.",
        {"properties": {"roleDefinitionId": "x", "principalId": FREE}}),
    bad("GET " + ASSIGNMENT + "?$filter=x", "Query parameter $filter is not supported."),
    R(f"DELETE {ASSIGNMENT}/{{first}}", 409, "Conflict", "This is the last assignment of Managed HSM Administrator at "
      "scope '/'. Assign the role to another administrator at '/' first."),
    # security domain
    bad("POST /securitydomain/download", "Property 'certificates' is missing.", {"required": 2}),
    bad("POST /securitydomain/download", "Property 'certificates[].x5c' is missing.",
        {"certificates": [{}], "required": 2}),
    bad("POST /securitydomain/download", "x5c must hold the base64 of one DER certificate.",
        {"certificates": [{"x5c": ["AAAA"]}], "required": 2}),
    # requests
    bad("POST /keys/k/create", NO_JSON, b""),
    bad("POST /keys/k/create", NO_JSON, b"[]"),
    bad("POST /keys/k/create", NO_JSON, b'{"kty":"EC","kty":"EC"}'),
    bad("GET /keys", "Query parameter api-version is missing.", api=""),
    bad("GET /keys", "The api-version '1.0' is not supported.", api="1.0"),
    R("GET /nope", 404, "NotFound", "The requested resource does not exist."),
    R("PUT /keys", 405, "MethodNotAllowed", "The method is not allowed on this resource.", {}),
    bad("GET /keys/%zz", "The request path or query is malformed."),
    R("POST /keys/k/create", 413, "RequestBodyTooLarge", "The request body is too large.", b" " * 70000),
    # not in this version
    R("POST /keys/k/create", 501, "NotImplemented", "ML-DSA keys (kty AKP) are not implemented by this server version.",
      {"kty": "AKP"}),
    R("GET /ekm", 501, "NotImplemented",
      "The operation 'Get EKM connection' is not implemented by this server version."),
]

# ---- as long as the pool is not activated
BEFORE = [
    forbidden("GET /keys", NOT_ACTIVE),
    forbidden("POST /keys/k/create", NOT_ACTIVE, {"kty": "EC"}),
    forbidden("GET " + DEFINITION, NOT_ACTIVE),
    forbidden("POST /rng", NOT_ACTIVE, {"count": 1}),
    R("GET /securitydomain/download/pending", 404, "NotFound", "The requested resource does not exist."),
    R("GET /securitydomain/upload/pending", 404, "NotFound", "The requested resource does not exist."),
    R("POST /securitydomain/download", 403, "AccessDenied", "Not authorized to perform Security Domain backup.",
      {"certificates": [{"x5c": ["AAAA"]}], "required": 2}, token="guest"),
]

ROWS = SEEN + DENIED + OURS
