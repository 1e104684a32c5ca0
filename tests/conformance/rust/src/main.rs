//! The scenario of tests/conformance/scenario.py with the Azure SDK for Rust. One line of JSON for each step.

mod admin;
mod keys;
mod pool;
mod uses;

use azure_core::base64::{decode_url_safe, encode_url_safe};
use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::TokenCredential;
use azure_core::error::ErrorKind;
use azure_core::http::ClientOptions;
use azure_identity::{ClientSecretCredential, ClientSecretCredentialOptions};
use azure_security_keyvault_keys::models::*;
use azure_security_keyvault_keys::{KeyClient, ResourceExt};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;

pub const NAME: &str = "conf-rust-";
pub const MANY: usize = 28;

/// More members for the reported line.
pub type Outcome = Result<Value, Box<dyn Error>>;

/// Ends the step unless the condition holds.
#[macro_export]
macro_rules! check {
    ($condition:expr, $($detail:tt)*) => {
        if !$condition {
            return Err(format!("{} ({}:{})", format!($($detail)*), file!(), line!()).into());
        }
    };
    ($condition:expr) => { $crate::check!($condition, "{}", stringify!($condition)) };
}

pub struct Clients {
    pub keys: KeyClient,
    pub guest: KeyClient,
    pub admin: admin::Admin,
    pub made: Value,
}

pub fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

pub fn credential_of(prefix: &str, authority: Option<String>) -> Arc<dyn TokenCredential> {
    let options = authority.map(|authority_host| {
        let mut custom = CustomConfiguration::default();
        custom.authority_host = authority_host;
        let cloud = Some(Arc::new(CloudConfiguration::Custom(custom)));
        ClientSecretCredentialOptions { client_options: ClientOptions { cloud, ..Default::default() } }
    });
    let (id, secret) = (env(&format!("{prefix}_CLIENT_ID")), env(&format!("{prefix}_CLIENT_SECRET")));
    ClientSecretCredential::new(&env("KEYHOLD_TENANT"), id, secret.into(), options).expect("credential")
}

pub fn b64u(data: &[u8]) -> String {
    encode_url_safe(data).trim_end_matches('=').to_string()
}

pub fn name(suffix: &str) -> String {
    format!("{NAME}{suffix}")
}

pub fn tags(key: &str, value: &str) -> Option<HashMap<String, String>> {
    Some(HashMap::from([(key.to_string(), value.to_string())]))
}

/// As long as a digest for this algorithm; which message it belongs to does not matter.
pub fn digest(algorithm: &str) -> Vec<u8> {
    let bits: usize = algorithm[2..5].parse().expect("size");
    (1..=(bits / 8) as u8).collect()
}

pub fn reversed(data: &[u8]) -> Vec<u8> {
    data.iter().rev().copied().collect()
}

/// The call must end with the client's error for a response, with this status and code of the service.
pub fn refused<T>(result: azure_core::Result<T>, status: u16, code: &str) -> Result<String, Box<dyn Error>> {
    let Err(error) = result else {
        return Err("was not refused".into());
    };
    let ErrorKind::HttpResponse { status: got, error_code, .. } = error.kind() else {
        return Err(format!("refused with {error:?}").into());
    };
    check!(u16::from(*got) == status && error_code.as_deref() == Some(code), "{got} {error_code:?}");
    Ok(error.to_string())
}

impl Clients {
    /// A value of the material.
    pub fn material(&self, kind: &str, member: &str) -> Option<Vec<u8>> {
        decode_url_safe(self.made[kind][member].as_str()?).ok()
    }

    pub async fn create(&self, suffix: &str, parameters: CreateKeyParameters) -> azure_core::Result<Key> {
        self.keys.create_key(&name(suffix), parameters.try_into()?, None).await?.into_model()
    }

    pub async fn oct(&self, suffix: &str, bits: i32) -> azure_core::Result<Key> {
        let kty = Some(KeyType::OctHsm);
        self.create(suffix, CreateKeyParameters { kty, key_size: Some(bits), ..Default::default() }).await
    }

    pub async fn ec(&self, suffix: &str, curve: CurveName) -> azure_core::Result<Key> {
        let kty = Some(KeyType::EcHsm);
        self.create(suffix, CreateKeyParameters { kty, curve: Some(curve), ..Default::default() }).await
    }

    pub async fn get(&self, suffix: &str, version: Option<String>) -> azure_core::Result<Key> {
        let options = KeyClientGetKeyOptions { key_version: version, ..Default::default() };
        self.keys.get_key(&name(suffix), Some(options)).await?.into_model()
    }
}

pub fn kid(key: &Key) -> Result<String, Box<dyn Error>> {
    Ok(key.key.as_ref().and_then(|k| k.kid.clone()).ok_or("no kid")?)
}

pub fn jwk(key: &Key) -> Result<JsonWebKey, Box<dyn Error>> {
    Ok(key.key.clone().ok_or("no key")?)
}

pub fn version(key: &Key) -> Result<String, Box<dyn Error>> {
    Ok(key.resource_id()?.version.ok_or("no version")?)
}

fn report(step: &str, outcome: Outcome) {
    let mut line = json!({"step": step, "ok": outcome.is_ok()});
    match outcome {
        Ok(Value::Object(more)) => line.as_object_mut().expect("object").extend(more),
        Ok(_) => {}
        Err(e) => line["detail"] = e.to_string().into(),
    }
    println!("{line}");
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env("KEYHOLD_POOL_URL");
    let credential = credential_of("KEYHOLD", None);
    let c = Clients {
        keys: KeyClient::new(&url, credential.clone(), None)?,
        guest: KeyClient::new(&url, credential_of("KEYHOLD_GUEST", None), None)?,
        admin: admin::Admin::new(&url, credential),
        made: serde_json::from_slice(&std::fs::read(env("KEYHOLD_MATERIAL"))?)?,
    };
    report("own-names", keys::own_names(&c).await);
    report("create-rsa", keys::create_rsa(&c).await);
    report("create-ec", keys::create_ec(&c).await);
    report("create-oct", keys::create_oct(&c).await);
    report("import-rsa", keys::import_rsa(&c).await);
    report("import-ec", keys::import_ec(&c).await);
    report("import-oct", keys::import_oct(&c).await);
    report("get", keys::get(&c).await);
    report("update", keys::update(&c).await);
    report("list-keys", keys::list_keys(&c).await);
    report("list-versions", keys::list_versions(&c).await);
    report("encrypt-RSA-OAEP-256", uses::encrypt_rsa(&c).await);
    report("encrypt-A256GCM", uses::encrypt_gcm(&c).await);
    report("encrypt-A256CBCPAD", uses::encrypt_cbc(&c).await);
    report("wrap-RSA-OAEP-256", uses::wrap(&c, "rsa", EncryptionAlgorithm::RsaOaep256, 256).await);
    report("wrap-A256KW", uses::wrap(&c, "oct-256", EncryptionAlgorithm::A256Kw, 40).await);
    report("sign-RS256", uses::sign(&c, "rsa", "RS256", digest("RS256")).await);
    report("sign-PS256", uses::sign(&c, "rsa", "PS256", digest("PS256")).await);
    report("sign-ES256", uses::sign(&c, "P-256", "ES256", digest("ES256")).await);
    report("sign-ES384", uses::sign(&c, "P-384", "ES384", digest("ES384")).await);
    report("sign-ES512", uses::sign(&c, "P-521", "ES512", digest("ES512")).await);
    report("sign-ES256K", uses::sign(&c, "P-256K", "ES256K", digest("ES256K")).await);
    report("rotation-policy", uses::rotation_policy(&c).await);
    report("rotate", uses::rotate(&c).await);
    report("delete", keys::delete(&c).await);
    report("get-deleted", keys::get_deleted(&c).await);
    report("list-deleted", keys::list_deleted(&c).await);
    report("recover", keys::recover(&c).await);
    report("purge", keys::purge(&c).await);
    report("backup-restore", uses::backup_restore(&c).await);
    report("random-bytes", pool::random_bytes(&c).await);
    report("settings-list", pool::settings_list(&c).await);
    report("settings-update", pool::settings_update(&c).await);
    report("role-definitions", pool::role_definitions(&c).await);
    report("role-definition-custom", pool::role_definition_custom(&c).await);
    let assignment = admin::role_path(&pool::guarded_scope(), "Assignments", &azure_core::Uuid::new_v4().to_string());
    report("refused", pool::refused_guest(&c).await);
    report("role-assignment-create", pool::assignment_create(&c, &assignment).await);
    report("role-assignment-get", pool::assignment_get(&c, &assignment).await);
    report("role-assignment-list", pool::assignment_list(&c, &assignment).await);
    report("accepted", pool::accepted(&c).await);
    report("role-assignment-delete", pool::assignment_delete(&c, &assignment).await);
    report("not-found", pool::not_found(&c).await);
    Ok(())
}
