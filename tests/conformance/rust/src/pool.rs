//! The pool: random bytes, settings, roles.

use crate::admin::role_path;
use crate::*;
use azure_core::http::Method;

const SETTING: &str = "/settings/AllowKeyManagementOperationsThroughARM";
const ENCRYPTION_USER: &str = "33413926-3206-4cdd-b39a-83574fe37a17";

fn own() -> Value {
    json!({"via": "own requests through azure_core"})
}

pub fn guarded_scope() -> String {
    format!("/keys/{}", name("guarded"))
}

pub async fn random_bytes(c: &Clients) -> Outcome {
    let parameters = GetRandomBytesParameters { count: Some(32) };
    let one = c.keys.get_random_bytes(parameters.clone().try_into()?, None).await?.into_model()?.value;
    let two = c.keys.get_random_bytes(parameters.try_into()?, None).await?.into_model()?.value;
    check!(one.as_ref().map(|v| v.len()) == Some(32) && two.as_ref().map(|v| v.len()) == Some(32) && one != two);
    Ok(Value::Null)
}

pub async fn settings_list(c: &Clients) -> Outcome {
    let one = c.admin.send(Method::Get, SETTING, None).await?;
    let all = c.admin.send(Method::Get, "/settings", None).await?;
    check!(one["type"] == "boolean" && all["settings"].as_array().is_some_and(|s| s.contains(&one)), "{all}");
    Ok(own())
}

pub async fn settings_update(c: &Clients) -> Outcome {
    let before = c.admin.send(Method::Get, SETTING, None).await?["value"].clone();
    let other = if before == "true" { "false" } else { "true" };
    let changed = c.admin.send(Method::Patch, SETTING, Some(json!({"value": other}))).await;
    let shown = c.admin.send(Method::Get, SETTING, None).await;
    c.admin.send(Method::Patch, SETTING, Some(json!({"value": before}))).await?;
    check!(changed?["value"] == other && shown?["value"] == other);
    Ok(own())
}

pub async fn role_definitions(c: &Clients) -> Outcome {
    let all = c.admin.send(Method::Get, &role_path("/", "Definitions", ""), None).await?;
    let find = |role: &str| {
        let all = all["value"].as_array()?;
        all.iter().find(|d| d["properties"]["roleName"] == role)
    };
    let user = &find("Managed HSM Crypto User").ok_or("no Crypto User")?["properties"];
    check!(user["type"] == "AKVBuiltInRole");
    check!(user["permissions"][0]["dataActions"].as_array().is_some_and(|a| !a.is_empty()));
    let encryption = find("Managed HSM Crypto Service Encryption User").ok_or("no Encryption User")?;
    check!(encryption["name"] == ENCRYPTION_USER);
    Ok(own())
}

pub async fn role_definition_custom(c: &Clients) -> Outcome {
    let path = role_path("/", "Definitions", &azure_core::Uuid::new_v4().to_string());
    let body = |role: &str, actions: Value| {
        let permissions = if actions.is_null() { json!([]) } else { json!([{"dataActions": actions}]) };
        let properties = json!({"roleName": name(role), "type": "CustomRole", "permissions": permissions});
        Some(json!({ "properties": properties }))
    };
    let read = json!(["Microsoft.KeyVault/managedHsm/keys/read/action"]);
    let made = c.admin.send(Method::Put, &path, body("readers", read.clone())).await?;
    check!(made["properties"]["type"] == "CustomRole");
    check!(made["properties"]["permissions"][0]["dataActions"] == read);
    c.admin.send(Method::Put, &path, body("nobody", Value::Null)).await?;
    let shown = c.admin.send(Method::Get, &path, None).await?;
    check!(shown["properties"]["roleName"] == name("nobody"));
    c.admin.send(Method::Delete, &path, None).await?;
    refused(c.admin.send(Method::Get, &path, None).await, 404, "RoleDefinitionNotFound")?;
    Ok(own())
}

async fn guest_is_refused(c: &Clients) -> Result<(), Box<dyn Error>> {
    let text = refused(c.guest.get_key(&name("guarded"), None).await, 403, "AccessDenied")?;
    check!(text.contains("Not authorized"), "{text}");
    Ok(())
}

pub async fn refused_guest(c: &Clients) -> Outcome {
    c.oct("guarded", 256).await?;
    guest_is_refused(c).await?;
    Ok(Value::Null)
}

pub async fn assignment_create(c: &Clients, path: &str) -> Outcome {
    let role = c.admin.send(Method::Get, &role_path("/", "Definitions", ENCRYPTION_USER), None).await?;
    let properties = json!({"roleDefinitionId": role["id"], "principalId": env("KEYHOLD_GUEST_OID")});
    let made = c.admin.send(Method::Put, path, Some(json!({ "properties": properties }))).await?;
    check!(made["name"].as_str().is_some_and(|n| path.ends_with(n)));
    check!(made["properties"]["scope"] == guarded_scope());
    Ok(own())
}

pub async fn assignment_get(c: &Clients, path: &str) -> Outcome {
    let shown = c.admin.send(Method::Get, path, None).await?;
    check!(shown["properties"]["principalId"] == env("KEYHOLD_GUEST_OID"));
    Ok(own())
}

pub async fn assignment_list(c: &Clients, path: &str) -> Outcome {
    let all = c.admin.send(Method::Get, &role_path(&guarded_scope(), "Assignments", ""), None).await?;
    let all = all["value"].as_array().ok_or("no list")?;
    check!(all.iter().any(|a| a["name"].as_str().is_some_and(|n| path.ends_with(n))), "{all:?}");
    Ok(own())
}

pub async fn accepted(c: &Clients) -> Outcome {
    let shown = c.guest.get_key(&name("guarded"), None).await?.into_model()?;
    check!(shown.resource_id()?.name == name("guarded"));
    refused(c.guest.get_key(&name("rsa"), None).await, 403, "AccessDenied")?;
    Ok(Value::Null)
}

pub async fn assignment_delete(c: &Clients, path: &str) -> Outcome {
    c.admin.send(Method::Delete, path, None).await?;
    guest_is_refused(c).await?;
    Ok(own())
}

pub async fn not_found(c: &Clients) -> Outcome {
    refused(c.get("never-made", None).await, 404, "KeyNotFound")?;
    Ok(Value::Null)
}
