// The scenario of tests/conformance/scenario.py with the Azure SDK for JavaScript. One line of JSON for each step.
import assert from "node:assert/strict";
import crypto from "node:crypto";
import fs from "node:fs";
import { ClientSecretCredential } from "@azure/identity";
import { RestError } from "@azure/core-rest-pipeline";
import { CryptographyClient, KeyClient } from "@azure/keyvault-keys";
import { Admin } from "./admin.mjs";

const env = process.env;
const URL_ = env.KEYHOLD_POOL_URL;
const MADE = JSON.parse(fs.readFileSync(env.KEYHOLD_MATERIAL, "utf8"));
const NAME = "conf-javascript-";
const MANY = 28;
const ENCRYPTION_USER = "33413926-3206-4cdd-b39a-83574fe37a17";
const digestOf = (bits) => crypto.createHash(`sha${bits}`).update("message").digest();
const b64u = (bytes) => Buffer.from(bytes).toString("base64url");
const unb64u = (text) => Buffer.from(text, "base64url");
const same = (a, b) => assert.deepEqual(Buffer.from(a), Buffer.from(b));
const reversed = (bytes) => Buffer.from(bytes).reverse();

const credentialOf = (prefix, options) =>
    new ClientSecretCredential(env.KEYHOLD_TENANT, env[`${prefix}_CLIENT_ID`], env[`${prefix}_CLIENT_SECRET`], options);
const credential = credentialOf("KEYHOLD");
const keys = new KeyClient(URL_, credential);
const guest = new KeyClient(URL_, credentialOf("KEYHOLD_GUEST"));
const admin = new Admin(URL_, credential);
const clientOf = (key) => new CryptographyClient(key, credential);

// The promise must be refused with the client's error, this status and code.
async function refused(promise, statusCode, code) {
    try {
        await promise;
    } catch (e) {
        assert(e instanceof RestError || e.name === "RestError", `${e.name}: ${e.message}`);
        assert.equal(e.statusCode, statusCode, e.message);
        if (code) assert.equal(e.code, code);
        return e;
    }
    throw new Error("was not refused");
}

const poll = { intervalInMs: 50 };
const deleted = async (name) => (await keys.beginDeleteKey(name, poll)).pollUntilDone();

async function pagesOf(list, pick) {
    const pages = [];
    for await (const page of list.byPage()) pages.push(page.map(pick));
    return pages;
}

function holdsAll(pages, wanted) {
    const listed = pages.flat();
    assert(pages.length > 1);
    assert.equal(new Set(listed).size, listed.length);
    for (const one of wanted) assert(listed.includes(one), one);
}

const manyNames = () => Array.from({ length: MANY }, (_, i) => `${NAME}many-${String(i).padStart(2, "0")}`);

async function imported(kind, kty, members, more) {
    const jwk = { kty, ...more };
    for (const m of members) jwk[m] = unb64u(MADE[kind][m]);
    const made = await keys.importKey(`${NAME}import-${kind}`, jwk, { hardwareProtected: true });
    assert.equal(made.keyType, kty);
    return made;
}

async function signatureProof(key, algorithm, digest) {
    const client = clientOf(key);
    const signature = (await client.sign(algorithm, digest)).result;
    assert.equal((await client.verify(algorithm, digest, signature)).result, true);
    assert.equal((await client.verify(algorithm, reversed(digest), signature)).result, false);
    const proof = { alg: algorithm, crv: key.key.crv, digest: b64u(digest), signature: b64u(signature) };
    for (const m of ["n", "e", "x", "y"]) if (key.key[m]) proof[m] = b64u(key.key[m]);
    return { proof };
}

const sign = (algorithm, name) => async () =>
    signatureProof(await keys.getKey(NAME + name), algorithm, digestOf(algorithm.slice(2, 5)));

const SETTING = "AllowKeyManagementOperationsThroughARM";
const GUARDED = NAME + "guarded";
const AT = `/keys/${GUARDED}`;
const ASSIGNMENT = crypto.randomUUID();
const own = (result) => ({ ...result, via: "own requests through @azure/core-rest-pipeline and @azure/keyvault-common" });

const guestIsRefused = async () => {
    const e = await refused(guest.getKey(GUARDED), 403, "AccessDenied");
    assert.match(e.message, /Not authorized/);
};

const steps = {
    "own-names": async () => {
        const made = await keys.createOctKey(NAME + "own", { keySize: 256, hsm: true });
        const theirs = credentialOf("KEYHOLD", { authorityHost: env.KEYHOLD_ORIGIN, disableInstanceDiscovery: true });
        const shown = await new KeyClient(env.KEYHOLD_OWN_URL, theirs).getKey(NAME + "own");
        assert.equal(shown.properties.version, made.properties.version);
        assert(shown.id.startsWith(env.KEYHOLD_OWN_URL));
    },
    "create-rsa": async () => {
        const made = await keys.createRsaKey(NAME + "rsa", { keySize: 2048, hsm: true, tags: { by: "javascript" } });
        assert.equal(made.keyType, "RSA-HSM");
        assert.equal(made.key.n.length, 256);
        same(made.key.e, [1, 0, 1]);
        assert.equal(made.key.d, undefined);
        assert.deepEqual({ ...made.properties.tags }, { by: "javascript" });
    },
    "create-ec": async () => {
        for (const [curve, size] of [["P-256", 32], ["P-384", 48], ["P-521", 66], ["P-256K", 32]]) {
            const made = await keys.createEcKey(NAME + curve, { curve, hsm: true });
            assert.deepEqual([made.keyType, made.key.crv, made.key.x.length, made.key.y.length], ["EC-HSM", curve, size, size]);
            assert.equal(made.key.d, undefined);
        }
    },
    "create-oct": async () => {
        for (const size of [128, 192, 256]) {
            const made = await keys.createOctKey(`${NAME}oct-${size}`, { keySize: size, hsm: true });
            assert.equal(made.keyType, "oct-HSM");
            assert.equal(made.key.k, undefined);
        }
    },
    "import-rsa": async () => {
        const made = await imported("rsa", "RSA-HSM", ["n", "e", "d", "p", "q", "dp", "dq", "qi"], { keyOps: ["decrypt", "encrypt"] });
        same(made.key.n, unb64u(MADE.rsa.n));
        assert.equal(made.key.d, undefined);
        assert.deepEqual([...made.keyOperations].sort(), ["decrypt", "encrypt"]);
        const opened = await clientOf(made).decrypt({ algorithm: "RSA-OAEP-256", ciphertext: unb64u(MADE.rsa.ciphertext) });
        same(opened.result, unb64u(MADE.rsa.plaintext));
    },
    "import-ec": async () => {
        const made = await imported("ec", "EC-HSM", ["x", "y", "d"], { crv: "P-256", keyOps: ["sign", "verify"] });
        same(made.key.x, unb64u(MADE.ec.x));
        const digest = unb64u(MADE.ec.digest);
        const signature = unb64u(MADE.ec.signature);
        assert.equal((await clientOf(made).verify("ES256", digest, signature)).result, true);
        assert.equal((await clientOf(made).verify("ES256", reversed(digest), signature)).result, false);
        return signatureProof(made, "ES256", digest);
    },
    "import-oct": async () => {
        const made = await imported("oct", "oct-HSM", ["k"], { keyOps: ["encrypt", "decrypt"] });
        assert.equal(made.key.k, undefined);
        const m = Object.fromEntries(Object.entries(MADE.oct).map(([k, v]) => [k, unb64u(v)]));
        const opened = await clientOf(made).decrypt({
            algorithm: "A256GCM", ciphertext: m.ciphertext, iv: m.iv, authenticationTag: m.tag, additionalAuthenticatedData: m.aad,
        });
        same(opened.result, m.plaintext);
    },
    get: async () => {
        const first = await keys.createEcKey(NAME + "get", { curve: "P-256", hsm: true });
        const second = await keys.createEcKey(NAME + "get", { curve: "P-256", hsm: true });
        assert.equal((await keys.getKey(NAME + "get")).id, second.id);
        const old = await keys.getKey(NAME + "get", { version: first.properties.version });
        assert.equal(old.id, first.id);
        same(old.key.x, first.key.x);
    },
    update: async () => {
        await keys.createOctKey(NAME + "update", { keySize: 128, hsm: true, tags: { one: "1" } });
        const expiresOn = new Date("2037-01-02T03:04:05Z");
        await keys.updateKeyProperties(NAME + "update", { enabled: false, expiresOn, tags: { two: "2" } });
        const shown = (await keys.getKey(NAME + "update")).properties;
        assert.equal(shown.enabled, false);
        assert.deepEqual(shown.expiresOn, expiresOn);
        assert.deepEqual({ ...shown.tags }, { two: "2" });
        assert.equal((await keys.updateKeyProperties(NAME + "update", { enabled: true })).properties.enabled, true);
        return { note: "expiry in 2037: this client sends dates after January 2038 as negative numbers" };
    },
    "list-keys": async () => {
        for (const name of manyNames()) await keys.createOctKey(name, { keySize: 128, hsm: true });
        holdsAll(await pagesOf(keys.listPropertiesOfKeys(), (k) => k.name), manyNames());
    },
    "list-versions": async () => {
        const made = [];
        for (let i = 0; i < MANY; i++) made.push((await keys.createOctKey(NAME + "versions", { keySize: 128, hsm: true })).id);
        const pages = await pagesOf(keys.listPropertiesOfKeyVersions(NAME + "versions"), (k) => k.id);
        holdsAll(pages, made);
        assert.equal(pages.flat().length, MANY);
    },
    "encrypt-RSA-OAEP-256": async () => {
        const client = clientOf(await keys.getKey(NAME + "rsa"));
        const sealed = await client.encrypt({ algorithm: "RSA-OAEP-256", plaintext: Buffer.from("secret") });
        same((await client.decrypt({ algorithm: "RSA-OAEP-256", ciphertext: sealed.result })).result, Buffer.from("secret"));
        await refused(client.decrypt({ algorithm: "RSA-OAEP-256", ciphertext: Buffer.alloc(256) }), 400, "BadParameter");
    },
    "encrypt-A256GCM": async () => {
        const client = clientOf(await keys.getKey(NAME + "oct-256"));
        const additionalAuthenticatedData = Buffer.from("about");
        const e = await client.encrypt({ algorithm: "A256GCM", plaintext: Buffer.from("secret"), additionalAuthenticatedData });
        const sealed = { algorithm: "A256GCM", ciphertext: e.result, iv: e.iv, authenticationTag: e.authenticationTag };
        same((await client.decrypt({ ...sealed, additionalAuthenticatedData })).result, Buffer.from("secret"));
        await refused(client.decrypt({ ...sealed, additionalAuthenticatedData: Buffer.from("other") }), 400, "BadParameter");
    },
    "encrypt-A256CBCPAD": async () => {
        const client = clientOf(await keys.getKey(NAME + "oct-256"));
        const iv = crypto.randomBytes(16); // this client sends none of its own
        const e = await client.encrypt({ algorithm: "A256CBCPAD", plaintext: Buffer.from("secret"), iv });
        const opened = await client.decrypt({ algorithm: "A256CBCPAD", ciphertext: e.result, iv });
        same(opened.result, Buffer.from("secret"));
    },
    "wrap-RSA-OAEP-256": async () => {
        const client = clientOf(await keys.getKey(NAME + "rsa"));
        const wrapped = (await client.wrapKey("RSA-OAEP-256", Buffer.alloc(32, "k"))).result;
        same((await client.unwrapKey("RSA-OAEP-256", wrapped)).result, Buffer.alloc(32, "k"));
    },
    "wrap-A256KW": async () => {
        const client = clientOf(await keys.getKey(NAME + "oct-256"));
        const wrapped = (await client.wrapKey("A256KW", Buffer.alloc(32, "k"))).result;
        assert.equal(wrapped.length, 40);
        same((await client.unwrapKey("A256KW", wrapped)).result, Buffer.alloc(32, "k"));
        await refused(client.unwrapKey("A256KW", Buffer.alloc(40)), 400, "BadParameter");
    },
    "sign-RS256": sign("RS256", "rsa"),
    "sign-PS256": sign("PS256", "rsa"),
    "sign-ES256": sign("ES256", "P-256"),
    "sign-ES384": sign("ES384", "P-384"),
    "sign-ES512": sign("ES512", "P-521"),
    "sign-ES256K": sign("ES256K", "P-256K"),
    "rotation-policy": async () => {
        await keys.createRsaKey(NAME + "rotate", { keySize: 2048, hsm: true, tags: { kept: "yes" } });
        const policy = { expiresIn: "P90D", lifetimeActions: [{ action: "Rotate", timeBeforeExpiry: "P30D" }] };
        const put = await keys.updateKeyRotationPolicy(NAME + "rotate", policy);
        const got = await keys.getKeyRotationPolicy(NAME + "rotate");
        assert.deepEqual(put.updatedOn, got.updatedOn);
        assert.equal(got.expiresIn, "P90D");
        assert.deepEqual(got.lifetimeActions.map((a) => [a.action, a.timeBeforeExpiry]), [["Rotate", "P30D"]]);
    },
    rotate: async () => {
        const old = await keys.getKey(NAME + "rotate");
        const made = await keys.rotateKey(NAME + "rotate");
        assert.notEqual(made.id, old.id);
        assert.equal(made.key.n.length, 256);
        assert.notDeepEqual(made.key.n, old.key.n);
        assert.deepEqual({ ...made.properties.tags }, { kept: "yes" });
        assert.equal(made.properties.expiresOn - made.properties.createdOn, 90 * 86400e3);
        assert.equal((await keys.getKey(NAME + "rotate")).id, made.id);
        same((await keys.getKey(NAME + "rotate", { version: old.properties.version })).key.n, old.key.n);
    },
    delete: async () => {
        await keys.createEcKey(NAME + "gone", { curve: "P-256", hsm: true });
        await deleted(NAME + "gone");
        await refused(keys.getKey(NAME + "gone"), 404, "KeyNotFound");
        await refused(keys.createEcKey(NAME + "gone", { curve: "P-256", hsm: true }), 409, "Conflict");
    },
    "get-deleted": async () => {
        const shown = (await keys.getDeletedKey(NAME + "gone")).properties;
        assert(shown.recoveryId.endsWith(`/deletedkeys/${NAME}gone`));
        assert.equal((shown.scheduledPurgeDate - shown.deletedOn) / 86400e3, shown.recoverableDays);
    },
    "list-deleted": async () => {
        for (const name of manyNames()) await keys.beginDeleteKey(name, poll);
        holdsAll(await pagesOf(keys.listDeletedKeys(), (k) => k.name), manyNames());
    },
    recover: async () => {
        const before = await keys.getDeletedKey(NAME + "gone");
        const back = await (await keys.beginRecoverDeletedKey(NAME + "gone", poll)).pollUntilDone();
        assert.equal(back.id, before.id);
        same((await keys.getKey(NAME + "gone")).key.x, before.key.x);
    },
    purge: async () => {
        const old = await keys.getKey(NAME + "gone");
        await deleted(NAME + "gone");
        await keys.purgeDeletedKey(NAME + "gone");
        await refused(keys.getDeletedKey(NAME + "gone"), 404, "KeyNotFound");
        assert.notEqual((await keys.createEcKey(NAME + "gone", { curve: "P-256", hsm: true })).id, old.id);
    },
    "backup-restore": async () => {
        const old = await keys.createEcKey(NAME + "backup", { curve: "P-256", hsm: true, tags: { kept: "yes" } });
        const signature = (await clientOf(old).sign("ES256", digestOf(256))).result;
        const blob = await keys.backupKey(NAME + "backup");
        await refused(keys.restoreKeyBackup(blob), 409, "Conflict");
        await deleted(NAME + "backup");
        await keys.purgeDeletedKey(NAME + "backup");
        const back = await keys.restoreKeyBackup(blob);
        assert.equal(back.id, old.id);
        assert.deepEqual({ ...back.properties.tags }, { kept: "yes" });
        assert.equal((await clientOf(back).verify("ES256", digestOf(256), signature)).result, true);
    },
    "random-bytes": async () => {
        const one = await keys.getRandomBytes(32);
        const two = await keys.getRandomBytes(32);
        assert.equal(one.length, 32);
        assert.equal(two.length, 32);
        assert.notDeepEqual(one, two);
    },
    "settings-list": async () => {
        const found = (await admin.listSettings()).find((s) => s.name === SETTING);
        assert.deepEqual(await admin.getSetting(SETTING), found);
        assert.equal(found.type, "boolean");
        return own();
    },
    "settings-update": async () => {
        const before = (await admin.getSetting(SETTING)).value;
        const other = before === "true" ? "false" : "true";
        try {
            assert.equal((await admin.updateSetting(SETTING, other)).value, other);
            assert.equal((await admin.getSetting(SETTING)).value, other);
        } finally {
            await admin.updateSetting(SETTING, before);
        }
        return own();
    },
    "role-definitions": async () => {
        const found = new Map((await admin.listRoleDefinitions("/")).map((d) => [d.properties.roleName, d]));
        const user = found.get("Managed HSM Crypto User").properties;
        assert.equal(user.type, "AKVBuiltInRole");
        assert(user.permissions[0].dataActions.length > 0);
        assert.equal(found.get("Managed HSM Crypto Service Encryption User").name, ENCRYPTION_USER);
        return own();
    },
    "role-definition-custom": async () => {
        const name = crypto.randomUUID();
        const permissions = [{ dataActions: ["Microsoft.KeyVault/managedHsm/keys/read/action"] }];
        const made = await admin.setRoleDefinition("/", name, { roleName: NAME + "readers", permissions });
        assert.equal(made.properties.type, "CustomRole");
        assert.deepEqual(made.properties.permissions[0].dataActions, permissions[0].dataActions);
        await admin.setRoleDefinition("/", name, { roleName: NAME + "nobody", permissions: [] });
        assert.equal((await admin.getRoleDefinition("/", name)).properties.roleName, NAME + "nobody");
        await admin.deleteRoleDefinition("/", name);
        await refused(admin.getRoleDefinition("/", name), 404, "RoleDefinitionNotFound");
        return own();
    },
    refused: async () => {
        await keys.createOctKey(GUARDED, { keySize: 256, hsm: true });
        await guestIsRefused();
    },
    "role-assignment-create": async () => {
        const role = await admin.getRoleDefinition("/", ENCRYPTION_USER);
        const made = await admin.createRoleAssignment(AT, ASSIGNMENT, role.id, env.KEYHOLD_GUEST_OID);
        assert.deepEqual([made.name, made.properties.scope], [ASSIGNMENT, AT]);
        return own();
    },
    "role-assignment-get": async () => {
        const shown = await admin.getRoleAssignment(AT, ASSIGNMENT);
        assert.equal(shown.properties.principalId, env.KEYHOLD_GUEST_OID);
        return own();
    },
    "role-assignment-list": async () => {
        assert((await admin.listRoleAssignments(AT)).some((a) => a.name === ASSIGNMENT));
        return own();
    },
    accepted: async () => {
        assert.equal((await guest.getKey(GUARDED)).name, GUARDED);
        await refused(guest.getKey(NAME + "rsa"), 403, "AccessDenied");
    },
    "role-assignment-delete": async () => {
        await admin.deleteRoleAssignment(AT, ASSIGNMENT);
        await guestIsRefused();
        return own();
    },
    "not-found": async () => {
        await refused(keys.getKey(NAME + "never-made"), 404, "KeyNotFound");
    },
};

for (const [step, run] of Object.entries(steps)) {
    let line;
    try {
        line = { step, ok: true, ...(await run()) };
    } catch (e) {
        const where = /conformance\.mjs:(\d+)/.exec(e.stack)?.[1];
        line = { step, ok: false, detail: `${e.name}: ${e.message}`.slice(0, 500) + ` (line ${where})` };
    }
    console.log(JSON.stringify(line));
}
