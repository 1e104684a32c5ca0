// An OpenID Connect provider that knows nothing of Keyhold: node server.mjs CONFIG.json
// {"port","cert","key","path","alg","jwksUri"?}: a client "robot" gets JWT access tokens for any resource.
// It prints "ready" when it listens. /rotate replaces its signing key, as a restart with another one would.
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { generateKeyPairSync } from "node:crypto";
import Provider from "oidc-provider";

const config = JSON.parse(readFileSync(process.argv[2]));
const issuer = `https://localhost:${config.port}${config.path}`;
let number = 0;

function provider() {
  const pair = config.alg === "ES256" ? generateKeyPairSync("ec", { namedCurve: "P-256" })
    : generateKeyPairSync("rsa", { modulusLength: 2048 });
  const jwk = { ...pair.privateKey.export({ format: "jwk" }), use: "sig", alg: config.alg, kid: `key-${++number}` };
  const client = (id) => ({ client_id: id, client_secret: `secret of ${id}`, grant_types: ["client_credentials"],
    redirect_uris: [], response_types: [] });
  return new Provider(issuer, {
    clients: [client("robot"), client("other")],
    clientDefaults: { id_token_signed_response_alg: config.alg },
    enabledJWA: { idTokenSigningAlgValues: [config.alg, "RS256"] },
    jwks: { keys: [jwk] },
    ttl: { ClientCredentials: () => 600 },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (ctx, resource) => ({ scope: "", audience: resource, accessTokenFormat: "jwt",
          jwt: { sign: { alg: config.alg } } }),
      },
    },
    extraTokenClaims: () => config.claims ?? {},
  });
}

let current = provider().callback();
createServer({ cert: readFileSync(config.cert), key: readFileSync(config.key) }, (req, res) => {
  if (req.url === "/rotate") {
    current = provider().callback();
    res.end("{}");
    return;
  }
  if (config.jwksUri && req.url.endsWith("/.well-known/openid-configuration")) {
    res.setHeader("content-type", "application/json");
    res.end(JSON.stringify({ issuer, jwks_uri: config.jwksUri }));
    return;
  }
  if (config.path && req.url.startsWith(config.path))
    req.url = req.url.slice(config.path.length) || "/";
  req.originalUrl = config.path + req.url;
  current(req, res);
}).listen(config.port, () => console.log("ready"));
