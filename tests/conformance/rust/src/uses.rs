//! What keys are used for, and what becomes of them: cryptography, rotation, backup.

use crate::*;
use azure_core::time::Duration;

pub async fn decrypt(
    c: &Clients,
    suffix: &str,
    parameters: KeyOperationParameters,
) -> azure_core::Result<Option<Vec<u8>>> {
    let version = c.get(suffix, None).await?.resource_id()?.version.unwrap_or_default();
    let opened = c.keys.decrypt(&name(suffix), &version, parameters.try_into()?, None).await?.into_model()?;
    Ok(opened.result)
}

async fn encrypt(c: &Clients, suffix: &str, p: &KeyOperationParameters) -> azure_core::Result<KeyOperationResult> {
    c.keys.encrypt(&name(suffix), p.clone().try_into()?, None).await?.into_model()
}

pub async fn encrypt_rsa(c: &Clients) -> Outcome {
    let mut p = KeyOperationParameters {
        algorithm: Some(EncryptionAlgorithm::RsaOaep256),
        value: Some(b"secret".to_vec()),
        ..Default::default()
    };
    p.value = encrypt(c, "rsa", &p).await?.result;
    check!(decrypt(c, "rsa", p.clone()).await? == Some(b"secret".to_vec()));
    p.value = Some(vec![0; 256]);
    refused(decrypt(c, "rsa", p).await, 400, "BadParameter")?;
    Ok(Value::Null)
}

pub async fn encrypt_gcm(c: &Clients) -> Outcome {
    let mut p = KeyOperationParameters {
        algorithm: Some(EncryptionAlgorithm::A256Gcm),
        value: Some(b"secret".to_vec()),
        additional_authenticated_data: Some(b"about".to_vec()),
        ..Default::default()
    };
    let sealed = encrypt(c, "oct-256", &p).await?;
    (p.value, p.iv, p.authentication_tag) = (sealed.result, sealed.iv, sealed.authentication_tag);
    check!(decrypt(c, "oct-256", p.clone()).await? == Some(b"secret".to_vec()));
    p.additional_authenticated_data = Some(b"other".to_vec());
    refused(decrypt(c, "oct-256", p).await, 400, "BadParameter")?;
    Ok(Value::Null)
}

pub async fn encrypt_cbc(c: &Clients) -> Outcome {
    let mut p = KeyOperationParameters {
        algorithm: Some(EncryptionAlgorithm::A256Cbcpad),
        value: Some(b"secret".to_vec()),
        iv: Some(b"sixteen bytes iv".to_vec()),
        ..Default::default()
    };
    p.value = encrypt(c, "oct-256", &p).await?.result;
    check!(p.value.as_ref().map(|v| v.len()) == Some(16));
    check!(decrypt(c, "oct-256", p).await? == Some(b"secret".to_vec()));
    Ok(Value::Null)
}

pub async fn wrap(c: &Clients, suffix: &str, algorithm: EncryptionAlgorithm, length: usize) -> Outcome {
    let key = Some(vec![b'k'; 32]);
    let mut p = KeyOperationParameters { algorithm: Some(algorithm), value: key.clone(), ..Default::default() };
    let version = version(&c.get(suffix, None).await?)?;
    p.value = c.keys.wrap_key(&name(suffix), p.clone().try_into()?, None).await?.into_model()?.result;
    check!(p.value.as_ref().map(|v| v.len()) == Some(length));
    let back = c.keys.unwrap_key(&name(suffix), &version, p.clone().try_into()?, None).await?.into_model()?;
    check!(back.result == key);
    p.value = Some(vec![0; length]);
    refused(c.keys.unwrap_key(&name(suffix), &version, p.try_into()?, None).await, 400, "BadParameter")?;
    Ok(Value::Null)
}

pub async fn verify(
    c: &Clients,
    suffix: &str,
    algorithm: &str,
    digest: &[u8],
    signature: &[u8],
) -> azure_core::Result<bool> {
    let version = c.get(suffix, None).await?.resource_id()?.version.unwrap_or_default();
    let p = VerifyParameters {
        algorithm: Some(SignatureAlgorithm::UnknownValue(algorithm.to_string())),
        digest: Some(digest.to_vec()),
        signature: Some(signature.to_vec()),
    };
    let result = c.keys.verify(&name(suffix), &version, p.try_into()?, None).await?.into_model()?;
    Ok(result.value == Some(true))
}

async fn signature(c: &Clients, suffix: &str, algorithm: &str, digest: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let p = SignParameters { algorithm: Some(algorithm.parse()?), value: Some(digest.to_vec()) };
    let made = c.keys.sign(&name(suffix), p.try_into()?, None).await?.into_model()?;
    Ok(made.result.ok_or("no signature")?)
}

/// Sign, verify, and hand the signature over for a check outside.
pub async fn sign(c: &Clients, suffix: &str, algorithm: &str, digest: Vec<u8>) -> Outcome {
    let key = jwk(&c.get(suffix, None).await?)?;
    let made = signature(c, suffix, algorithm, &digest).await?;
    check!(verify(c, suffix, algorithm, &digest, &made).await?);
    check!(!verify(c, suffix, algorithm, &reversed(&digest), &made).await?);
    let mut proof = json!({"alg": algorithm, "digest": b64u(&digest), "signature": b64u(&made)});
    for (member, value) in [("n", &key.n), ("e", &key.e), ("x", &key.x), ("y", &key.y)] {
        if let Some(value) = value {
            proof[member] = b64u(value).into();
        }
    }
    if let Some(curve) = key.crv {
        proof["crv"] = serde_json::to_value(curve)?;
    }
    Ok(json!({ "proof": proof }))
}

pub async fn rotation_policy(c: &Clients) -> Outcome {
    let kty = Some(KeyType::RsaHsm);
    let tags = tags("kept", "yes");
    c.create("rotate", CreateKeyParameters { kty, key_size: Some(2048), tags, ..Default::default() }).await?;
    let policy = KeyRotationPolicy {
        attributes: Some(KeyRotationPolicyAttributes { expiry_time: Some("P90D".into()), ..Default::default() }),
        lifetime_actions: Some(vec![LifetimeAction {
            action: Some(LifetimeActionType { type_prop: Some(KeyRotationPolicyAction::Rotate) }),
            trigger: Some(LifetimeActionTrigger { time_before_expiry: Some("P30D".into()), ..Default::default() }),
        }]),
        ..Default::default()
    };
    let name = name("rotate");
    let put = c.keys.update_key_rotation_policy(&name, policy.try_into()?, None).await?.into_model()?;
    let got = c.keys.get_key_rotation_policy(&name, None).await?.into_model()?;
    let attributes = got.attributes.ok_or("no attributes")?;
    check!(put.attributes.and_then(|a| a.updated) == attributes.updated && attributes.updated.is_some());
    check!(attributes.expiry_time.as_deref() == Some("P90D"));
    let actions = got.lifetime_actions.ok_or("no actions")?;
    check!(actions.len() == 1);
    check!(actions[0].action.as_ref().and_then(|a| a.type_prop.clone()) == Some(KeyRotationPolicyAction::Rotate));
    check!(actions[0].trigger.as_ref().and_then(|t| t.time_before_expiry.as_deref()) == Some("P30D"));
    Ok(Value::Null)
}

pub async fn rotate(c: &Clients) -> Outcome {
    let old = c.get("rotate", None).await?;
    let made = c.keys.rotate_key(&name("rotate"), None).await?.into_model()?;
    check!(kid(&made)? != kid(&old)? && jwk(&made)?.n != jwk(&old)?.n);
    check!(jwk(&made)?.n.map(|n| n.len()) == Some(256) && made.tags == tags("kept", "yes"));
    let attributes = made.attributes.clone().ok_or("no attributes")?;
    let life = attributes.expires.ok_or("no exp")? - attributes.created.ok_or("no created")?;
    check!(life == Duration::days(90), "{life}");
    check!(kid(&c.get("rotate", None).await?)? == kid(&made)?);
    check!(jwk(&c.get("rotate", Some(version(&old)?)).await?)?.n == jwk(&old)?.n);
    Ok(Value::Null)
}

pub async fn backup_restore(c: &Clients) -> Outcome {
    let (kty, curve) = (Some(KeyType::EcHsm), Some(CurveName::P256));
    let tags_kept = tags("kept", "yes");
    let parameters = CreateKeyParameters { kty, curve, tags: tags_kept.clone(), ..Default::default() };
    let old = c.create("backup", parameters).await?;
    let made = signature(c, "backup", "ES256", &digest("ES256")).await?;
    let name = name("backup");
    let blob = c.keys.backup_key(&name, None).await?.into_model()?.value;
    let parameters = RestoreKeyParameters { key_backup: blob };
    refused(c.keys.restore_key(parameters.clone().try_into()?, None).await, 409, "Conflict")?;
    c.keys.delete_key(&name, None).await?;
    c.keys.purge_deleted_key(&name, None).await?;
    let back = c.keys.restore_key(parameters.try_into()?, None).await?.into_model()?;
    check!(kid(&back)? == kid(&old)? && back.tags == tags_kept);
    check!(verify(c, "backup", "ES256", &digest("ES256"), &made).await?);
    Ok(Value::Null)
}
