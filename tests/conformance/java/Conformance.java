import com.azure.core.credential.TokenCredential;
import com.azure.core.exception.HttpResponseException;
import com.azure.core.exception.ResourceNotFoundException;
import com.azure.identity.ClientSecretCredentialBuilder;
import com.azure.security.keyvault.administration.KeyVaultAccessControlClient;
import com.azure.security.keyvault.administration.KeyVaultAccessControlClientBuilder;
import com.azure.security.keyvault.administration.KeyVaultSettingsClient;
import com.azure.security.keyvault.administration.KeyVaultSettingsClientBuilder;
import com.azure.security.keyvault.keys.KeyClient;
import com.azure.security.keyvault.keys.KeyClientBuilder;
import com.azure.security.keyvault.keys.cryptography.CryptographyClient;
import com.azure.security.keyvault.keys.cryptography.CryptographyClientBuilder;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.Map;

/** The scenario of tests/conformance/scenario.py with the Azure SDK for Java. One line of JSON for each step. */
public final class Conformance {
    static final String NAME = "conf-java-";
    static final int MANY = 28;
    static final ObjectMapper JSON = new ObjectMapper();
    static final String URL = env("KEYHOLD_POOL_URL");
    static final TokenCredential CREDENTIAL = secretOf("KEYHOLD").build();
    static final KeyClient keys = client(URL, CREDENTIAL);
    static final KeyClient guest = client(URL, secretOf("KEYHOLD_GUEST").build());
    static final KeyVaultAccessControlClient access =
        new KeyVaultAccessControlClientBuilder().vaultUrl(URL).credential(CREDENTIAL).buildClient();
    static final KeyVaultSettingsClient settings =
        new KeyVaultSettingsClientBuilder().vaultUrl(URL).credential(CREDENTIAL).buildClient();
    static JsonNode made;

    interface Step {
        /** Returns more members for the reported line, or null. */
        Map<String, Object> run() throws Exception;
    }

    interface Call {
        void run() throws Exception;
    }

    static String env(String name) {
        return System.getenv(name);
    }

    static ClientSecretCredentialBuilder secretOf(String prefix) {
        return new ClientSecretCredentialBuilder().tenantId(env("KEYHOLD_TENANT"))
            .clientId(env(prefix + "_CLIENT_ID")).clientSecret(env(prefix + "_CLIENT_SECRET"));
    }

    static KeyClient client(String url, TokenCredential credential) {
        return new KeyClientBuilder().vaultUrl(url).credential(credential).buildClient();
    }

    static CryptographyClient crypto(String id) {
        return new CryptographyClientBuilder().keyIdentifier(id).credential(CREDENTIAL).buildClient();
    }

    static String b64u(byte[] data) {
        return Base64.getUrlEncoder().withoutPadding().encodeToString(data);
    }

    static byte[] unb64u(String text) {
        return Base64.getUrlDecoder().decode(text);
    }

    /** A value of the material. */
    static byte[] material(String kind, String name) {
        return unb64u(made.get(kind).get(name).asText());
    }

    static byte[] digest(String bits) throws Exception {
        return MessageDigest.getInstance("SHA-" + bits).digest("message".getBytes());
    }

    static byte[] reversed(byte[] data) {
        byte[] r = new byte[data.length];
        for (int i = 0; i < r.length; i++) {
            r[i] = data[data.length - 1 - i];
        }
        return r;
    }

    static void check(boolean holds, Object detail) {
        if (!holds) {
            throw new AssertionError(String.valueOf(detail));
        }
    }

    static void same(Object got, Object want) {
        boolean equal = got instanceof byte[] a && want instanceof byte[] b ? Arrays.equals(a, b) : got.equals(want);
        check(equal, got + " instead of " + want);
    }

    /** The call must end with an exception of the client for an answer of this status. */
    static HttpResponseException refused(int status, Call call) throws Exception {
        try {
            call.run();
        } catch (HttpResponseException e) {
            same(e.getResponse().getStatusCode(), status);
            return e;
        }
        throw new AssertionError("was not refused");
    }

    /** The same for a client of keys: the class is the one for the status, and the code of the service is there. */
    static HttpResponseException refused(int status, String code, Call call) throws Exception {
        HttpResponseException e = refused(status, call);
        check(status != 404 || e instanceof ResourceNotFoundException, e.getClass());
        check(e.getMessage().contains("\"" + code + "\"") || String.valueOf(e.getValue()).contains(code), e.getMessage());
        return e;
    }

    static void report(String name, Step step) throws Exception {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("step", name);
        line.put("ok", true);
        try {
            Map<String, Object> more = step.run();
            if (more != null) {
                line.putAll(more);
            }
        } catch (Exception | AssertionError e) {
            String where = Arrays.stream(e.getStackTrace()).filter(f -> f.getClassName().startsWith("Steps"))
                .map(f -> f.getFileName() + ":" + f.getLineNumber()).findFirst().orElse("?");
            line.put("ok", false);
            line.put("detail", e.getClass().getSimpleName() + ": " + e.getMessage() + " (" + where + ")");
        }
        System.out.println(JSON.writeValueAsString(line));
    }

    public static void main(String[] args) throws Exception {
        made = JSON.readTree(new File(env("KEYHOLD_MATERIAL")));
        for (Map.Entry<String, Step> s : Steps.all().entrySet()) {
            report(s.getKey(), s.getValue());
        }
        System.exit(0); // the client's threads would keep the program for a while
    }
}
