import com.azure.core.exception.HttpResponseException;
import com.azure.core.http.rest.PagedIterable;
import com.azure.core.util.Context;
import com.azure.security.keyvault.administration.models.KeyVaultDataAction;
import com.azure.security.keyvault.administration.models.KeyVaultPermission;
import com.azure.security.keyvault.administration.models.KeyVaultRoleAssignment;
import com.azure.security.keyvault.administration.models.KeyVaultRoleDefinition;
import com.azure.security.keyvault.administration.models.KeyVaultRoleScope;
import com.azure.security.keyvault.administration.models.KeyVaultRoleType;
import com.azure.security.keyvault.administration.models.KeyVaultSetting;
import com.azure.security.keyvault.administration.models.KeyVaultSettingType;
import com.azure.security.keyvault.administration.models.SetRoleDefinitionOptions;
import com.azure.security.keyvault.keys.KeyClient;
import com.azure.security.keyvault.keys.cryptography.CryptographyClient;
import com.azure.security.keyvault.keys.cryptography.models.DecryptParameters;
import com.azure.security.keyvault.keys.cryptography.models.EncryptParameters;
import com.azure.security.keyvault.keys.cryptography.models.EncryptResult;
import com.azure.security.keyvault.keys.cryptography.models.EncryptionAlgorithm;
import com.azure.security.keyvault.keys.cryptography.models.KeyWrapAlgorithm;
import com.azure.security.keyvault.keys.cryptography.models.SignatureAlgorithm;
import com.azure.security.keyvault.keys.models.CreateEcKeyOptions;
import com.azure.security.keyvault.keys.models.CreateOctKeyOptions;
import com.azure.security.keyvault.keys.models.CreateRsaKeyOptions;
import com.azure.security.keyvault.keys.models.DeletedKey;
import com.azure.security.keyvault.keys.models.ImportKeyOptions;
import com.azure.security.keyvault.keys.models.JsonWebKey;
import com.azure.security.keyvault.keys.models.KeyCurveName;
import com.azure.security.keyvault.keys.models.KeyOperation;
import com.azure.security.keyvault.keys.models.KeyProperties;
import com.azure.security.keyvault.keys.models.KeyRotationLifetimeAction;
import com.azure.security.keyvault.keys.models.KeyRotationPolicy;
import com.azure.security.keyvault.keys.models.KeyRotationPolicyAction;
import com.azure.security.keyvault.keys.models.KeyType;
import com.azure.security.keyvault.keys.models.KeyVaultKey;
import java.time.Duration;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.function.Function;

/** What is done under each name of the scenario. */
final class Steps {
    private static final String NAME = Conformance.NAME;
    private static final String SETTING = "AllowKeyManagementOperationsThroughARM";
    private static final String ENCRYPTION_USER = "33413926-3206-4cdd-b39a-83574fe37a17";
    private static final String GUARDED = NAME + "guarded";
    private static final KeyVaultRoleScope AT = KeyVaultRoleScope.fromString("/keys/" + GUARDED);
    private static final String ASSIGNMENT = UUID.randomUUID().toString();
    private static final Context NONE = Context.NONE;
    private static final KeyClient keys = Conformance.keys;

    private Steps() {
    }

    static Map<String, Conformance.Step> all() {
        Map<String, Conformance.Step> all = new LinkedHashMap<>();
        all.put("own-names", Steps::ownNames);
        all.put("create-rsa", Steps::createRsa);
        all.put("create-ec", Steps::createEc);
        all.put("create-oct", Steps::createOct);
        all.put("import-rsa", Steps::importRsa);
        all.put("import-ec", Steps::importEc);
        all.put("import-oct", Steps::importOct);
        all.put("get", Steps::get);
        all.put("update", Steps::update);
        all.put("list-keys", Steps::listKeys);
        all.put("list-versions", Steps::listVersions);
        all.put("encrypt-RSA-OAEP-256", Steps::encryptRsa);
        all.put("encrypt-A256GCM", Steps::encryptGcm);
        all.put("encrypt-A256CBCPAD", Steps::encryptCbc);
        all.put("wrap-RSA-OAEP-256", () -> wrap("rsa", KeyWrapAlgorithm.RSA_OAEP_256, 256));
        all.put("wrap-A256KW", () -> wrap("oct-256", KeyWrapAlgorithm.A256KW, 40));
        String[][] signing = {{"RS256", "rsa"}, {"PS256", "rsa"}, {"ES256", "P-256"}, {"ES384", "P-384"},
            {"ES512", "P-521"}, {"ES256K", "P-256K"}};
        for (String[] s : signing) {
            all.put("sign-" + s[0],
                () -> sign(keys.getKey(NAME + s[1]), s[0], Conformance.digest(s[0].substring(2, 5))));
        }
        all.put("rotation-policy", Steps::rotationPolicy);
        all.put("rotate", Steps::rotate);
        all.put("delete", Steps::delete);
        all.put("get-deleted", Steps::getDeleted);
        all.put("list-deleted", Steps::listDeleted);
        all.put("recover", Steps::recover);
        all.put("purge", Steps::purge);
        all.put("backup-restore", Steps::backupRestore);
        all.put("random-bytes", Steps::randomBytes);
        all.put("settings-list", Steps::settingsList);
        all.put("settings-update", Steps::settingsUpdate);
        all.put("role-definitions", Steps::roleDefinitions);
        all.put("role-definition-custom", Steps::roleDefinitionCustom);
        all.put("refused", Steps::refusedGuest);
        all.put("role-assignment-create", Steps::assignmentCreate);
        all.put("role-assignment-get", Steps::assignmentGet);
        all.put("role-assignment-list", Steps::assignmentList);
        all.put("accepted", Steps::accepted);
        all.put("role-assignment-delete", Steps::assignmentDelete);
        all.put("not-found", Steps::notFound);
        return all;
    }

    private static void check(boolean holds, Object detail) {
        Conformance.check(holds, detail);
    }

    private static void same(Object got, Object want) {
        Conformance.same(got, want);
    }

    private static KeyVaultKey oct(String suffix, int bits) {
        return keys.createOctKey(new CreateOctKeyOptions(NAME + suffix).setKeySize(bits).setHardwareProtected(true));
    }

    private static KeyVaultKey ec(String suffix, String curve) {
        return keys.createEcKey(new CreateEcKeyOptions(NAME + suffix).setCurveName(KeyCurveName.fromString(curve))
            .setHardwareProtected(true));
    }

    private static CryptographyClient crypto(String suffix) {
        return Conformance.crypto(keys.getKey(NAME + suffix).getId());
    }

    // ---- keys

    private static Map<String, Object> ownNames() {
        KeyVaultKey made = oct("own", 256);
        String url = Conformance.env("KEYHOLD_OWN_URL");
        KeyVaultKey shown = Conformance.client(url, Conformance.secretOf("KEYHOLD")
            .authorityHost(Conformance.env("KEYHOLD_ORIGIN")).disableInstanceDiscovery().build()).getKey(NAME + "own");
        same(shown.getProperties().getVersion(), made.getProperties().getVersion());
        check(shown.getId().startsWith(url), shown.getId());
        return null;
    }

    private static Map<String, Object> createRsa() {
        KeyVaultKey made = keys.createRsaKey(new CreateRsaKeyOptions(NAME + "rsa").setKeySize(2048)
            .setHardwareProtected(true).setTags(Map.of("by", "java")));
        same(made.getKeyType(), KeyType.RSA_HSM);
        same(made.getKey().getN().length, 256);
        same(made.getKey().getE(), new byte[] {1, 0, 1});
        check(made.getKey().getD() == null, "a private part is shown");
        same(made.getProperties().getTags(), Map.of("by", "java"));
        return null;
    }

    private static Map<String, Object> createEc() {
        for (Map.Entry<String, Integer> e : Map.of("P-256", 32, "P-384", 48, "P-521", 66, "P-256K", 32).entrySet()) {
            JsonWebKey key = ec(e.getKey(), e.getKey()).getKey();
            same(key.getKeyType(), KeyType.EC_HSM);
            same(key.getCurveName().toString(), e.getKey());
            same(key.getX().length, e.getValue());
            same(key.getY().length, e.getValue());
            check(key.getD() == null, "a private part is shown");
        }
        return null;
    }

    private static Map<String, Object> createOct() {
        for (int bits : new int[] {128, 192, 256}) {
            KeyVaultKey made = oct("oct-" + bits, bits);
            same(made.getKeyType(), KeyType.OCT_HSM);
            check(made.getKey().getK() == null, "key material is shown");
        }
        return null;
    }

    private static KeyVaultKey imported(String kind, JsonWebKey key) {
        KeyVaultKey made =
            keys.importKey(new ImportKeyOptions(NAME + "import-" + kind, key).setHardwareProtected(true));
        same(made.getKeyType(), key.getKeyType());
        return made;
    }

    private static Map<String, Object> importRsa() {
        Function<String, byte[]> m = name -> Conformance.material("rsa", name);
        KeyVaultKey made = imported("rsa", new JsonWebKey().setKeyType(KeyType.RSA_HSM).setN(m.apply("n"))
            .setE(m.apply("e")).setD(m.apply("d")).setP(m.apply("p")).setQ(m.apply("q")).setDp(m.apply("dp"))
            .setDq(m.apply("dq")).setQi(m.apply("qi")).setKeyOps(List.of(KeyOperation.DECRYPT, KeyOperation.ENCRYPT)));
        same(made.getKey().getN(), m.apply("n"));
        check(made.getKey().getD() == null, "a private part is shown");
        same(made.getKeyOperations().size(), 2);
        byte[] opened = Conformance.crypto(made.getId())
            .decrypt(EncryptionAlgorithm.RSA_OAEP_256, m.apply("ciphertext")).getPlainText();
        same(opened, m.apply("plaintext"));
        return null;
    }

    private static Map<String, Object> importEc() {
        Function<String, byte[]> m = name -> Conformance.material("ec", name);
        KeyVaultKey made = imported("ec", new JsonWebKey().setKeyType(KeyType.EC_HSM).setCurveName(KeyCurveName.P_256)
            .setX(m.apply("x")).setY(m.apply("y")).setD(m.apply("d"))
            .setKeyOps(List.of(KeyOperation.SIGN, KeyOperation.VERIFY)));
        same(made.getKey().getX(), m.apply("x"));
        CryptographyClient client = Conformance.crypto(made.getId());
        byte[] digest = m.apply("digest");
        check(client.verify(SignatureAlgorithm.ES256, digest, m.apply("signature")).isValid(), "not valid");
        check(!client.verify(SignatureAlgorithm.ES256, Conformance.reversed(digest), m.apply("signature")).isValid(),
            "valid for another digest");
        return sign(made, "ES256", digest);
    }

    private static Map<String, Object> importOct() {
        Function<String, byte[]> m = name -> Conformance.material("oct", name);
        KeyVaultKey made = imported("oct", new JsonWebKey().setKeyType(KeyType.OCT_HSM).setK(m.apply("k"))
            .setKeyOps(List.of(KeyOperation.ENCRYPT, KeyOperation.DECRYPT)));
        check(made.getKey().getK() == null, "key material is shown");
        byte[] opened = Conformance.crypto(made.getId()).decrypt(DecryptParameters.createA256GcmParameters(
            m.apply("ciphertext"), m.apply("iv"), m.apply("tag"), m.apply("aad")), NONE).getPlainText();
        same(opened, m.apply("plaintext"));
        return null;
    }

    private static Map<String, Object> get() {
        KeyVaultKey first = ec("get", "P-256");
        KeyVaultKey second = ec("get", "P-256");
        same(keys.getKey(NAME + "get").getId(), second.getId());
        KeyVaultKey old = keys.getKey(NAME + "get", first.getProperties().getVersion());
        same(old.getId(), first.getId());
        same(old.getKey().getX(), first.getKey().getX());
        return null;
    }

    private static Map<String, Object> update() {
        KeyProperties p = oct("update", 128).getProperties();
        OffsetDateTime end = OffsetDateTime.of(2099, 1, 2, 3, 4, 5, 0, ZoneOffset.UTC);
        keys.updateKeyProperties(p.setEnabled(false).setExpiresOn(end).setTags(Map.of("two", "2")));
        KeyProperties shown = keys.getKey(NAME + "update").getProperties();
        same(shown.isEnabled(), false);
        check(shown.getExpiresOn().isEqual(end), shown.getExpiresOn());
        same(shown.getTags(), Map.of("two", "2"));
        same(keys.updateKeyProperties(shown.setEnabled(true)).getProperties().isEnabled(), true);
        return null;
    }

    private static List<String> manyNames() {
        List<String> names = new ArrayList<>();
        for (int i = 0; i < Conformance.MANY; i++) {
            names.add(String.format("%smany-%02d", NAME, i));
        }
        return names;
    }

    /** The pages hold every wanted one, and none twice. Returns how many there are. */
    private static <T> int wantAll(PagedIterable<T> list, Function<T, String> pick, List<String> wanted) {
        List<String> listed = new ArrayList<>();
        long pages = list.streamByPage().peek(p -> p.getValue().forEach(k -> listed.add(pick.apply(k)))).toList().size();
        check(pages > 1, pages + " page");
        same(new HashSet<>(listed).size(), listed.size());
        check(listed.containsAll(wanted), listed);
        return listed.size();
    }

    private static Map<String, Object> listKeys() {
        for (String name : manyNames()) {
            keys.createOctKey(new CreateOctKeyOptions(name).setKeySize(128).setHardwareProtected(true));
        }
        wantAll(keys.listPropertiesOfKeys(), KeyProperties::getName, manyNames());
        return null;
    }

    private static Map<String, Object> listVersions() {
        List<String> made = new ArrayList<>();
        for (int i = 0; i < Conformance.MANY; i++) {
            made.add(oct("versions", 128).getId());
        }
        same(wantAll(keys.listPropertiesOfKeyVersions(NAME + "versions"), KeyProperties::getId, made), made.size());
        return null;
    }

    // ---- cryptography

    private static Map<String, Object> encryptRsa() throws Exception {
        CryptographyClient client = crypto("rsa");
        byte[] sealed = client.encrypt(EncryptionAlgorithm.RSA_OAEP_256, "secret".getBytes()).getCipherText();
        same(client.decrypt(EncryptionAlgorithm.RSA_OAEP_256, sealed).getPlainText(), "secret".getBytes());
        Conformance.refused(400, "BadParameter",
            () -> client.decrypt(EncryptionAlgorithm.RSA_OAEP_256, new byte[256]));
        return null;
    }

    private static Map<String, Object> encryptGcm() throws Exception {
        CryptographyClient client = crypto("oct-256");
        EncryptResult e = client.encrypt(
            EncryptParameters.createA256GcmParameters("secret".getBytes(), "about".getBytes()), NONE);
        same(client.decrypt(DecryptParameters.createA256GcmParameters(e.getCipherText(), e.getIv(),
            e.getAuthenticationTag(), "about".getBytes()), NONE).getPlainText(), "secret".getBytes());
        Conformance.refused(400, "BadParameter", () -> client.decrypt(DecryptParameters.createA256GcmParameters(
            e.getCipherText(), e.getIv(), e.getAuthenticationTag(), "other".getBytes()), NONE));
        return null;
    }

    private static Map<String, Object> encryptCbc() {
        CryptographyClient client = crypto("oct-256");
        byte[] iv = "sixteen bytes iv".getBytes();
        EncryptResult e = client.encrypt(EncryptParameters.createA256CbcPadParameters("secret".getBytes(), iv), NONE);
        same(e.getCipherText().length, 16);
        same(client.decrypt(DecryptParameters.createA256CbcPadParameters(e.getCipherText(), iv), NONE).getPlainText(),
            "secret".getBytes());
        return null;
    }

    private static Map<String, Object> wrap(String suffix, KeyWrapAlgorithm algorithm, int length) throws Exception {
        CryptographyClient client = crypto(suffix);
        byte[] key = "k".repeat(32).getBytes();
        byte[] wrapped = client.wrapKey(algorithm, key).getEncryptedKey();
        same(wrapped.length, length);
        same(client.unwrapKey(algorithm, wrapped).getKey(), key);
        Conformance.refused(400, "BadParameter", () -> client.unwrapKey(algorithm, new byte[length]));
        return null;
    }

    private static Map<String, Object> sign(KeyVaultKey key, String name, byte[] digest) {
        CryptographyClient client = Conformance.crypto(key.getId());
        SignatureAlgorithm algorithm = SignatureAlgorithm.fromString(name);
        byte[] signature = client.sign(algorithm, digest).getSignature();
        check(client.verify(algorithm, digest, signature).isValid(), "not valid");
        check(!client.verify(algorithm, Conformance.reversed(digest), signature).isValid(), "valid for another digest");
        Map<String, String> proof = new LinkedHashMap<>();
        proof.put("alg", name);
        proof.put("digest", Conformance.b64u(digest));
        proof.put("signature", Conformance.b64u(signature));
        JsonWebKey k = key.getKey();
        if (k.getN() != null) {
            proof.put("n", Conformance.b64u(k.getN()));
            proof.put("e", Conformance.b64u(k.getE()));
        } else {
            proof.put("crv", k.getCurveName().toString());
            proof.put("x", Conformance.b64u(k.getX()));
            proof.put("y", Conformance.b64u(k.getY()));
        }
        return Map.of("proof", proof);
    }

    // ---- life of a key

    private static Map<String, Object> rotationPolicy() {
        keys.createRsaKey(new CreateRsaKeyOptions(NAME + "rotate").setKeySize(2048).setHardwareProtected(true)
            .setTags(Map.of("kept", "yes")));
        KeyRotationPolicy put = keys.updateKeyRotationPolicy(NAME + "rotate", new KeyRotationPolicy()
            .setExpiresIn("P90D").setLifetimeActions(List.of(
                new KeyRotationLifetimeAction(KeyRotationPolicyAction.ROTATE).setTimeBeforeExpiry("P30D"))));
        KeyRotationPolicy got = keys.getKeyRotationPolicy(NAME + "rotate");
        check(put.getUpdatedOn().isEqual(got.getUpdatedOn()), got.getUpdatedOn());
        same(got.getExpiresIn(), "P90D");
        same(got.getLifetimeActions().size(), 1);
        same(got.getLifetimeActions().get(0).getAction(), KeyRotationPolicyAction.ROTATE);
        same(got.getLifetimeActions().get(0).getTimeBeforeExpiry(), "P30D");
        return null;
    }

    private static Map<String, Object> rotate() {
        KeyVaultKey old = keys.getKey(NAME + "rotate");
        KeyVaultKey made = keys.rotateKey(NAME + "rotate");
        KeyProperties p = made.getProperties();
        check(!made.getId().equals(old.getId()), "the same version");
        same(made.getKey().getN().length, 256);
        same(p.getTags(), Map.of("kept", "yes"));
        same(Duration.between(p.getCreatedOn(), p.getExpiresOn()), Duration.ofDays(90));
        same(keys.getKey(NAME + "rotate").getId(), made.getId());
        same(keys.getKey(NAME + "rotate", old.getProperties().getVersion()).getKey().getN(), old.getKey().getN());
        return null;
    }

    private static void remove(String suffix) {
        keys.beginDeleteKey(NAME + suffix).setPollInterval(Duration.ofMillis(50)).waitForCompletion();
    }

    private static Map<String, Object> delete() throws Exception {
        ec("gone", "P-256");
        remove("gone");
        Conformance.refused(404, "KeyNotFound", () -> keys.getKey(NAME + "gone"));
        Conformance.refused(409, "Conflict", () -> ec("gone", "P-256"));
        return null;
    }

    private static Map<String, Object> getDeleted() {
        DeletedKey shown = keys.getDeletedKey(NAME + "gone");
        check(shown.getRecoveryId().endsWith("/deletedkeys/" + NAME + "gone"), shown.getRecoveryId());
        long days = Duration.between(shown.getDeletedOn(), shown.getScheduledPurgeDate()).toDays();
        same(days, (long) shown.getProperties().getRecoverableDays());
        return null;
    }

    private static Map<String, Object> listDeleted() {
        for (String name : manyNames()) {
            keys.beginDeleteKey(name).poll();
        }
        wantAll(keys.listDeletedKeys(), DeletedKey::getName, manyNames());
        return null;
    }

    private static Map<String, Object> recover() {
        DeletedKey before = keys.getDeletedKey(NAME + "gone");
        keys.beginRecoverDeletedKey(NAME + "gone").setPollInterval(Duration.ofMillis(50)).waitForCompletion();
        KeyVaultKey back = keys.getKey(NAME + "gone");
        same(back.getId(), before.getId());
        same(back.getKey().getX(), before.getKey().getX());
        return null;
    }

    private static Map<String, Object> purge() throws Exception {
        KeyVaultKey old = keys.getKey(NAME + "gone");
        remove("gone");
        keys.purgeDeletedKey(NAME + "gone");
        Conformance.refused(404, "KeyNotFound", () -> keys.getDeletedKey(NAME + "gone"));
        check(!ec("gone", "P-256").getId().equals(old.getId()), "the same version");
        return null;
    }

    private static Map<String, Object> backupRestore() throws Exception {
        KeyVaultKey old = keys.createEcKey(new CreateEcKeyOptions(NAME + "backup").setCurveName(KeyCurveName.P_256)
            .setHardwareProtected(true).setTags(Map.of("kept", "yes")));
        byte[] digest = Conformance.digest("256");
        byte[] signature = crypto("backup").sign(SignatureAlgorithm.ES256, digest).getSignature();
        byte[] blob = keys.backupKey(NAME + "backup");
        Conformance.refused(409, "Conflict", () -> keys.restoreKeyBackup(blob));
        remove("backup");
        keys.purgeDeletedKey(NAME + "backup");
        KeyVaultKey back = keys.restoreKeyBackup(blob);
        same(back.getId(), old.getId());
        same(back.getProperties().getTags(), Map.of("kept", "yes"));
        check(crypto("backup").verify(SignatureAlgorithm.ES256, digest, signature).isValid(), "not valid");
        return null;
    }

    // ---- the pool

    private static Map<String, Object> randomBytes() {
        byte[] one = keys.getRandomBytes(32);
        byte[] two = keys.getRandomBytes(32);
        check(one.length == 32 && two.length == 32 && !java.util.Arrays.equals(one, two), "not random");
        return null;
    }

    private static Map<String, Object> settingsList() {
        KeyVaultSetting one = Conformance.settings.getSetting(SETTING);
        same(one.getType(), KeyVaultSettingType.BOOLEAN);
        KeyVaultSetting listed = Conformance.settings.getSettings().getSettings().stream()
            .filter(s -> s.getName().equals(SETTING)).findFirst().orElseThrow();
        same(listed.asBoolean(), one.asBoolean());
        return null;
    }

    private static Map<String, Object> settingsUpdate() {
        boolean before = Conformance.settings.getSetting(SETTING).asBoolean();
        try {
            same(Conformance.settings.updateSetting(new KeyVaultSetting(SETTING, !before)).asBoolean(), !before);
            same(Conformance.settings.getSetting(SETTING).asBoolean(), !before);
        } finally {
            Conformance.settings.updateSetting(new KeyVaultSetting(SETTING, before));
        }
        return null;
    }

    private static Map<String, Object> roleDefinitions() {
        Map<String, KeyVaultRoleDefinition> found = new LinkedHashMap<>();
        Conformance.access.listRoleDefinitions(KeyVaultRoleScope.GLOBAL).forEach(d -> found.put(d.getRoleName(), d));
        KeyVaultRoleDefinition user = found.get("Managed HSM Crypto User");
        same(user.getRoleType(), KeyVaultRoleType.fromString("AKVBuiltInRole"));
        check(!user.getPermissions().get(0).getDataActions().isEmpty(), "no actions");
        same(found.get("Managed HSM Crypto Service Encryption User").getName(), ENCRYPTION_USER);
        return null;
    }

    private static KeyVaultRoleDefinition setRole(String guid, String name, List<KeyVaultPermission> permissions) {
        return Conformance.access.setRoleDefinitionWithResponse(
            new SetRoleDefinitionOptions(KeyVaultRoleScope.GLOBAL, guid).setRoleName(name).setPermissions(permissions)
                .setAssignableScopes(List.of(KeyVaultRoleScope.GLOBAL)), NONE).getValue();
    }

    private static Map<String, Object> roleDefinitionCustom() throws Exception {
        String guid = UUID.randomUUID().toString();
        KeyVaultPermission read =
            new KeyVaultPermission(null, null, List.of(KeyVaultDataAction.READ_HSM_KEY), null);
        KeyVaultRoleDefinition made = setRole(guid, NAME + "readers", List.of(read));
        same(made.getRoleType(), KeyVaultRoleType.fromString("CustomRole"));
        same(made.getPermissions().get(0).getDataActions(), read.getDataActions());
        setRole(guid, NAME + "nobody", List.of());
        KeyVaultRoleDefinition shown = Conformance.access.getRoleDefinition(KeyVaultRoleScope.GLOBAL, guid);
        same(shown.getId(), made.getId());
        check(shown.getPermissions().isEmpty(), shown.getPermissions());
        Conformance.access.deleteRoleDefinition(KeyVaultRoleScope.GLOBAL, guid);
        Conformance.refused(404, () -> Conformance.access.getRoleDefinition(KeyVaultRoleScope.GLOBAL, guid));
        return shown.getRoleName().equals(guid)
            ? Map.of("note", "this client sends the name of the definition, a GUID, as the name of the role") : null;
    }

    private static void guestIsRefused() throws Exception {
        HttpResponseException e =
            Conformance.refused(403, "AccessDenied", () -> Conformance.guest.getKey(GUARDED));
        check(e.getMessage().contains("Not authorized"), e.getMessage());
    }

    private static Map<String, Object> refusedGuest() throws Exception {
        oct("guarded", 256);
        guestIsRefused();
        return null;
    }

    private static Map<String, Object> assignmentCreate() {
        String role = Conformance.access.getRoleDefinition(KeyVaultRoleScope.GLOBAL, ENCRYPTION_USER).getId();
        KeyVaultRoleAssignment made = Conformance.access.createRoleAssignment(AT, role,
            Conformance.env("KEYHOLD_GUEST_OID"), ASSIGNMENT);
        same(made.getName(), ASSIGNMENT);
        same(made.getProperties().getScope(), AT);
        return null;
    }

    private static Map<String, Object> assignmentGet() {
        KeyVaultRoleAssignment shown = Conformance.access.getRoleAssignment(AT, ASSIGNMENT);
        same(shown.getProperties().getPrincipalId(), Conformance.env("KEYHOLD_GUEST_OID"));
        return null;
    }

    private static Map<String, Object> assignmentList() {
        check(Conformance.access.listRoleAssignments(AT).stream().anyMatch(a -> a.getName().equals(ASSIGNMENT)),
            "the assignment is not listed");
        return null;
    }

    private static Map<String, Object> accepted() throws Exception {
        same(Conformance.guest.getKey(GUARDED).getName(), GUARDED);
        Conformance.refused(403, "AccessDenied", () -> Conformance.guest.getKey(NAME + "rsa"));
        return null;
    }

    private static Map<String, Object> assignmentDelete() throws Exception {
        Conformance.access.deleteRoleAssignment(AT, ASSIGNMENT);
        guestIsRefused();
        return null;
    }

    private static Map<String, Object> notFound() throws Exception {
        Conformance.refused(404, "KeyNotFound", () -> keys.getKey(NAME + "never-made"));
        return null;
    }
}
