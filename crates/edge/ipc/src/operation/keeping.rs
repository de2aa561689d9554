//! What the core keeps for components: secrets and shadows (CR 6.8).

use bytes::Bytes;
use marram_edge_ports::{PortError, SecretPayload, SecretQuery};
use serde::Deserialize;
use serde_json::{Value, json};

use super::input::{Blob, blob, parse, required, required_text};
use super::{Answer, Call, Handled, json as write};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Secret {
    secret_id: Option<String>,
    version_id: Option<String>,
    version_stage: Option<String>,
    refresh: Option<bool>,
}

pub(super) fn secret(call: &mut Call<'_>) -> Handled {
    const SERVICE: &str = "aws.greengrass.SecretManager";
    let request: Secret = parse(call.payload)?;
    let secret_id = required_text(request.secret_id, "secretId")?;
    if request.version_id.is_some() && request.version_stage.is_some() {
        let message = "only one of `versionId` and `versionStage` may be given";
        return Err(PortError::InvalidArguments(message.to_owned()));
    }
    // Who has no grant at all does not learn which secrets exist.
    call.authorize(SERVICE, None)?;
    let port = call.port(&call.door.ports.secrets)?;
    let arn = match port.arn_of(&secret_id) {
        Ok(arn) => arn,
        Err(error) => {
            call.authorize(SERVICE, Some(&secret_id))?;
            return Err(error);
        }
    };
    call.authorize(SERVICE, Some(&arn))?;
    let query = SecretQuery {
        secret_id,
        version_id: request.version_id,
        version_stage: request.version_stage,
        refresh: request.refresh.unwrap_or(false),
    };
    let principal = call.caller.name.clone();
    Ok(Answer::Later(Box::pin(async move {
        let secret = port.get(query).await?;
        tracing::info!(target: "audit", event = "SecretRead", %principal, secret = %arn, version = %secret.version_id);
        let value = match &secret.value {
            SecretPayload::Text(text) => json!({"secretString": text}),
            SecretPayload::Binary(bytes) => json!({"secretBinary": Blob(bytes)}),
        };
        write(&json!({
            "secretId": secret.arn,
            "versionId": secret.version_id,
            "versionStage": secret.version_stages,
            "secretValue": value,
        }))
    })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shadow {
    thing_name: Option<String>,
    shadow_name: Option<String>,
    payload: Option<String>,
    next_token: Option<String>,
    page_size: Option<u32>,
}

const SHADOWS: &str = "aws.greengrass.ShadowManager";

/// Thing and shadow names; the shadow's is empty for the classic one.
fn names(call: &Call<'_>) -> Result<(String, String, Option<String>), PortError> {
    let request: Shadow = parse(call.payload)?;
    let thing = required_text(request.thing_name, "thingName")?;
    let shadow = request.shadow_name.unwrap_or_default();
    let resource = if shadow.is_empty() {
        format!("$aws/things/{thing}/shadow")
    } else {
        format!("$aws/things/{thing}/shadow/name/{shadow}")
    };
    call.authorize(SHADOWS, Some(&resource))?;
    Ok((thing, shadow, request.payload))
}

fn document(result: Result<Bytes, PortError>) -> Result<Vec<u8>, PortError> {
    write(&json!({"payload": Blob(&result?)}))
}

pub(super) fn get_shadow(call: &mut Call<'_>) -> Handled {
    let (thing, shadow, _) = names(call)?;
    let port = call.port(&call.door.ports.shadows)?;
    Ok(Answer::Later(Box::pin(async move { document(port.get(&thing, &shadow).await) })))
}

pub(super) fn update_shadow(call: &mut Call<'_>) -> Handled {
    let (thing, shadow, payload) = names(call)?;
    let payload = blob(&required(payload, "payload")?, "payload")?;
    let port = call.port(&call.door.ports.shadows)?;
    Ok(Answer::Later(Box::pin(async move { document(port.update(&thing, &shadow, payload).await) })))
}

pub(super) fn delete_shadow(call: &mut Call<'_>) -> Handled {
    let (thing, shadow, _) = names(call)?;
    let port = call.port(&call.door.ports.shadows)?;
    Ok(Answer::Later(Box::pin(async move { document(port.delete(&thing, &shadow).await) })))
}

pub(super) fn list_shadows(call: &mut Call<'_>) -> Handled {
    let request: Shadow = parse(call.payload)?;
    let thing = required_text(request.thing_name, "thingName")?;
    call.authorize(SHADOWS, Some(&thing))?;
    let port = call.port(&call.door.ports.shadows)?;
    Ok(Answer::Later(Box::pin(async move {
        let page = port.list(&thing, request.next_token.as_deref(), request.page_size).await?;
        let mut response = json!({"results": page.results, "timestamp": page.timestamp});
        if let Some(token) = page.next_token {
            response["nextToken"] = Value::String(token);
        }
        write(&response)
    })))
}
