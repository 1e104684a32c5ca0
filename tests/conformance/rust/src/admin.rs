//! Roles and settings. There is no administration crate for them, so the requests are our own; the pipeline with its
//! retries and its bearer token is the SDK's.

use azure_core::credentials::TokenCredential;
use azure_core::http::policies::auth::BearerTokenAuthorizationPolicy;
use azure_core::http::{ClientOptions, Context, Method, Pipeline, Request, Url};
use serde_json::Value;
use std::sync::Arc;

pub struct Admin {
    url: String,
    pipeline: Pipeline,
}

impl Admin {
    pub fn new(url: &str, credential: Arc<dyn TokenCredential>) -> Self {
        let scopes = vec!["https://managedhsm.azure.net/.default".to_string()];
        let bearer = Arc::new(BearerTokenAuthorizationPolicy::new(credential, scopes));
        let pipeline = Pipeline::new(None, None, ClientOptions::default(), Vec::new(), vec![bearer], None);
        Admin { url: url.to_string(), pipeline }
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> azure_core::Result<Value> {
        let url = Url::parse(&format!("{}{path}?api-version=7.6", self.url))?;
        let mut request = Request::new(url, method);
        if let Some(body) = body {
            request.insert_header("content-type", "application/json");
            request.set_body(body.to_string());
        }
        let response = self.pipeline.send(&Context::default(), &mut request, None).await?;
        response.into_body().json()
    }
}

pub fn role_path(scope: &str, kind: &str, name: &str) -> String {
    let scope = if scope == "/" { "" } else { scope };
    let slash = if name.is_empty() { "" } else { "/" };
    format!("{scope}/providers/Microsoft.Authorization/role{kind}{slash}{name}")
}
