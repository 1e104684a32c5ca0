//! Keys: how they are made, shown, listed and deleted.

use crate::*;
use azure_core::http::Pager;
use azure_core::time::{Duration, OffsetDateTime};
use futures::TryStreamExt;
use std::collections::HashSet;

pub async fn own_names(c: &Clients) -> Outcome {
    let made = c.oct("own", 256).await?;
    let url = env("KEYHOLD_OWN_URL");
    let client = KeyClient::new(&url, credential_of("KEYHOLD", Some(env("KEYHOLD_ORIGIN"))), None)?;
    let shown = client.get_key(&name("own"), None).await?.into_model()?;
    check!(version(&shown)? == version(&made)?);
    check!(kid(&shown)?.starts_with(&url), "{}", kid(&shown)?);
    Ok(Value::Null)
}

pub async fn create_rsa(c: &Clients) -> Outcome {
    let made = c
        .create("rsa", CreateKeyParameters {
            kty: Some(KeyType::RsaHsm),
            key_size: Some(2048),
            tags: tags("by", "rust"),
            ..Default::default()
        })
        .await?;
    let key = jwk(&made)?;
    check!(key.kty == Some(KeyType::RsaHsm) && key.n.map(|n| n.len()) == Some(256));
    check!(key.e == Some(vec![1, 0, 1]) && key.d.is_none());
    check!(made.tags == tags("by", "rust"));
    Ok(Value::Null)
}

pub async fn create_ec(c: &Clients) -> Outcome {
    for (curve, size) in [("P-256", 32), ("P-384", 48), ("P-521", 66), ("P-256K", 32)] {
        let key = jwk(&c.ec(curve, curve.parse()?).await?)?;
        check!(key.kty == Some(KeyType::EcHsm) && key.crv == Some(curve.parse()?));
        check!(key.x.map(|x| x.len()) == Some(size) && key.y.map(|y| y.len()) == Some(size));
        check!(key.d.is_none());
    }
    Ok(Value::Null)
}

pub async fn create_oct(c: &Clients) -> Outcome {
    for bits in [128, 192, 256] {
        let key = jwk(&c.oct(&format!("oct-{bits}"), bits).await?)?;
        check!(key.kty == Some(KeyType::OctHsm) && key.k.is_none());
    }
    Ok(Value::Null)
}

async fn imported(c: &Clients, kind: &str, key: JsonWebKey) -> Result<JsonWebKey, Box<dyn Error>> {
    let kty = key.kty.clone();
    let parameters = ImportKeyParameters { hsm: Some(true), key: Some(key), ..Default::default() };
    let made = c.keys.import_key(&name(&format!("import-{kind}")), parameters.try_into()?, None).await?.into_model()?;
    check!(jwk(&made)?.kty == kty);
    jwk(&made)
}

pub async fn import_rsa(c: &Clients) -> Outcome {
    let m = |member| c.material("rsa", member);
    let key = imported(c, "rsa", JsonWebKey {
        kty: Some(KeyType::RsaHsm),
        n: m("n"),
        e: m("e"),
        d: m("d"),
        p: m("p"),
        q: m("q"),
        dp: m("dp"),
        dq: m("dq"),
        qi: m("qi"),
        key_ops: Some(vec!["decrypt".into(), "encrypt".into()]),
        ..Default::default()
    })
    .await?;
    check!(key.n == m("n") && key.d.is_none() && key.key_ops.map(|o| o.len()) == Some(2));
    let sealed = KeyOperationParameters {
        algorithm: Some(EncryptionAlgorithm::RsaOaep256),
        value: m("ciphertext"),
        ..Default::default()
    };
    let opened = uses::decrypt(c, "import-rsa", sealed).await?;
    check!(opened == m("plaintext"));
    Ok(Value::Null)
}

pub async fn import_ec(c: &Clients) -> Outcome {
    let m = |member| c.material("ec", member);
    let key = imported(c, "ec", JsonWebKey {
        kty: Some(KeyType::EcHsm),
        crv: Some(CurveName::P256),
        x: m("x"),
        y: m("y"),
        d: m("d"),
        key_ops: Some(vec!["sign".into(), "verify".into()]),
        ..Default::default()
    })
    .await?;
    check!(key.x == m("x") && key.d.is_none());
    let (digest, signature) = (m("digest").ok_or("no digest")?, m("signature").ok_or("no signature")?);
    check!(uses::verify(c, "import-ec", "ES256", &digest, &signature).await?);
    check!(!uses::verify(c, "import-ec", "ES256", &reversed(&digest), &signature).await?);
    uses::sign(c, "import-ec", "ES256", digest).await
}

pub async fn import_oct(c: &Clients) -> Outcome {
    let m = |member| c.material("oct", member);
    let key = imported(c, "oct", JsonWebKey {
        kty: Some(KeyType::OctHsm),
        k: m("k"),
        key_ops: Some(vec!["encrypt".into(), "decrypt".into()]),
        ..Default::default()
    })
    .await?;
    check!(key.k.is_none());
    let sealed = KeyOperationParameters {
        algorithm: Some(EncryptionAlgorithm::A256Gcm),
        value: m("ciphertext"),
        iv: m("iv"),
        authentication_tag: m("tag"),
        additional_authenticated_data: m("aad"),
    };
    let opened = uses::decrypt(c, "import-oct", sealed).await?;
    check!(opened == m("plaintext"));
    Ok(Value::Null)
}

pub async fn get(c: &Clients) -> Outcome {
    let first = c.ec("get", CurveName::P256).await?;
    let second = c.ec("get", CurveName::P256).await?;
    check!(kid(&c.get("get", None).await?)? == kid(&second)?);
    let old = c.get("get", Some(version(&first)?)).await?;
    check!(kid(&old)? == kid(&first)? && jwk(&old)?.x == jwk(&first)?.x);
    Ok(Value::Null)
}

async fn change(c: &Clients, parameters: UpdateKeyPropertiesParameters) -> azure_core::Result<Key> {
    c.keys.update_key_properties(&name("update"), parameters.try_into()?, None).await?.into_model()
}

pub async fn update(c: &Clients) -> Outcome {
    c.oct("update", 128).await?;
    let end = Some(OffsetDateTime::from_unix_timestamp(4_070_995_445)?);
    let attributes = KeyAttributes { enabled: Some(false), expires: end, ..Default::default() };
    let parameters = UpdateKeyPropertiesParameters {
        key_attributes: Some(attributes),
        tags: tags("two", "2"),
        ..Default::default()
    };
    change(c, parameters).await?;
    let shown = c.get("update", None).await?;
    let attributes = shown.attributes.ok_or("no attributes")?;
    check!(attributes.enabled == Some(false) && attributes.expires == end && shown.tags == tags("two", "2"));
    let attributes = KeyAttributes { enabled: Some(true), ..Default::default() };
    let parameters = UpdateKeyPropertiesParameters { key_attributes: Some(attributes), ..Default::default() };
    check!(change(c, parameters).await?.attributes.and_then(|a| a.enabled) == Some(true));
    Ok(Value::Null)
}

fn many() -> Vec<String> {
    (0..MANY).map(|i| format!("many-{i:02}")).collect()
}

/// The pages hold every wanted one, and none twice. Returns how many there are.
fn want_all(pages: Vec<Vec<String>>, wanted: &[String]) -> Result<usize, Box<dyn Error>> {
    check!(pages.len() > 1, "{} page", pages.len());
    let listed: Vec<String> = pages.concat();
    let seen: HashSet<&String> = listed.iter().collect();
    check!(seen.len() == listed.len(), "something is listed twice");
    for one in wanted {
        check!(seen.contains(one), "{one} is not listed");
    }
    Ok(listed.len())
}

async fn pages_of(pager: Pager<ListKeyPropertiesResult>) -> Result<Vec<Vec<String>>, Box<dyn Error>> {
    let mut pages = pager.into_pages();
    let mut found = Vec::new();
    while let Some(page) = pages.try_next().await? {
        found.push(page.into_model()?.value.into_iter().filter_map(|k| k.kid).collect());
    }
    Ok(found)
}

pub async fn list_keys(c: &Clients) -> Outcome {
    for suffix in many() {
        c.oct(&suffix, 128).await?;
    }
    let base = format!("{}/keys/", env("KEYHOLD_POOL_URL"));
    let wanted: Vec<String> = many().iter().map(|suffix| format!("{base}{}", name(suffix))).collect();
    want_all(pages_of(c.keys.list_key_properties(None)?).await?, &wanted)?;
    Ok(Value::Null)
}

pub async fn list_versions(c: &Clients) -> Outcome {
    let mut made = Vec::new();
    for _ in 0..MANY {
        made.push(kid(&c.oct("versions", 128).await?)?);
    }
    let pager = c.keys.list_key_properties_versions(&name("versions"), None)?;
    check!(want_all(pages_of(pager).await?, &made)? == MANY);
    Ok(Value::Null)
}

async fn remove(c: &Clients, suffix: &str) -> azure_core::Result<()> {
    c.keys.delete_key(&name(suffix), None).await.map(|_| ())
}

pub async fn delete(c: &Clients) -> Outcome {
    c.ec("gone", CurveName::P256).await?;
    remove(c, "gone").await?;
    refused(c.get("gone", None).await, 404, "KeyNotFound")?;
    refused(c.ec("gone", CurveName::P256).await, 409, "Conflict")?;
    Ok(Value::Null)
}

async fn deleted(c: &Clients, suffix: &str) -> azure_core::Result<DeletedKey> {
    c.keys.get_deleted_key(&name(suffix), None).await?.into_model()
}

pub async fn get_deleted(c: &Clients) -> Outcome {
    let shown = deleted(c, "gone").await?;
    let id = shown.recovery_id.ok_or("no recoveryId")?;
    check!(id.ends_with(&format!("/deletedkeys/{}", name("gone"))), "{id}");
    let days = shown.attributes.and_then(|a| a.recoverable_days).ok_or("no recoverableDays")?;
    let end = shown.scheduled_purge_date.ok_or("no scheduledPurgeDate")?;
    check!(end - shown.deleted_date.ok_or("no deletedDate")? == Duration::days(days.into()));
    Ok(Value::Null)
}

pub async fn list_deleted(c: &Clients) -> Outcome {
    for suffix in many() {
        remove(c, &suffix).await?;
    }
    let base = format!("{}/keys/", env("KEYHOLD_POOL_URL"));
    let wanted: Vec<String> = many().iter().map(|suffix| format!("{base}{}", name(suffix))).collect();
    let mut pages = c.keys.list_deleted_key_properties(None)?.into_pages();
    let mut found = Vec::new();
    while let Some(page) = pages.try_next().await? {
        found.push(page.into_model()?.value.into_iter().filter_map(|k| k.kid).collect());
    }
    want_all(found, &wanted)?;
    Ok(Value::Null)
}

pub async fn recover(c: &Clients) -> Outcome {
    let before = deleted(c, "gone").await?.key.ok_or("no key")?;
    let back = c.keys.recover_deleted_key(&name("gone"), None).await?.into_model()?;
    check!(Some(kid(&back)?) == before.kid);
    check!(jwk(&c.get("gone", None).await?)?.x == before.x);
    Ok(Value::Null)
}

pub async fn purge(c: &Clients) -> Outcome {
    let old = c.get("gone", None).await?;
    remove(c, "gone").await?;
    c.keys.purge_deleted_key(&name("gone"), None).await?;
    refused(deleted(c, "gone").await, 404, "KeyNotFound")?;
    check!(kid(&c.ec("gone", CurveName::P256).await?)? != kid(&old)?);
    Ok(Value::Null)
}
