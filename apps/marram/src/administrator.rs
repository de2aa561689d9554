//! The first account's administrator, and accounts made later: whose keys are shown once and kept by whom.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use marram_aws_api::ServiceId;
use marram_console::Console;
use marram_identity::{ADMINISTRATOR, CallFacts, IamService, Identity, NewAccount, Service, TlsDetails};
use marram_types::{AccountId, RequestId, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::admin::Handler;
use crate::data_dir::{DataDir, write_private};
use crate::demo::Caller;
use crate::provision::{self, CoreEndpoints};

/// File in the data directory with the first administrator's key; owner only. `marram env` and the demo use it.
const KEY_FILE: &str = "administrator.json";

/// Name of the account made on first start.
const FIRST_ACCOUNT_NAME: &str = "first";

/// A key of the first account's administrator.
pub struct Administrator {
    /// Key id.
    pub access_key_id: String,
    /// Secret.
    pub secret: SecretString,
}

#[derive(Serialize, Deserialize)]
struct KeyFile {
    access_key_id: String,
    secret_access_key: String,
}

/// The administrator of `account`; account, user and key are made when they are missing.
pub async fn ensure(identity: &Identity, data: &DataDir, account: &AccountId) -> anyhow::Result<Administrator> {
    let path = data.root().join(KEY_FILE);
    let exists = identity.accounts().contains(account);
    if exists && let Ok(text) = std::fs::read_to_string(&path) {
        let file: KeyFile = serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
        return Ok(Administrator {
            access_key_id: file.access_key_id,
            secret: SecretString::new(file.secret_access_key),
        });
    }
    let administrator = if exists {
        // The process ended between making the account and keeping its key, or somebody removed the file.
        fresh_key(identity, account).await?
    } else {
        let made = identity
            .create_account(FIRST_ACCOUNT_NAME, Some(account.clone()))
            .await
            .map_err(|error| anyhow!("cannot make the first account: {error}"))?;
        Administrator { access_key_id: made.credentials.access_key_id, secret: made.credentials.secret }
    };
    let file = KeyFile {
        access_key_id: administrator.access_key_id.clone(),
        secret_access_key: administrator.secret.expose().to_owned(),
    };
    write_private(&path, serde_json::to_string(&file)?.as_bytes())?;
    Ok(administrator)
}

async fn fresh_key(identity: &Identity, account: &AccountId) -> anyhow::Result<Administrator> {
    let principal = identity.user_principal(account, ADMINISTRATOR).context("the account has no administrator")?;
    let operation = ServiceId::Iam.operation("CreateAccessKey").context("iam has no CreateAccessKey")?;
    let input = json!({ "UserName": ADMINISTRATOR });
    let facts = CallFacts {
        region: identity.regions().first().cloned().context("an installation has a region")?,
        request_id: RequestId::fresh(),
        source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        user_agent: concat!("marram/", env!("CARGO_PKG_VERSION")).to_owned(),
        now: identity.now(),
        operation,
        request_parameters: input.clone(),
        tls: TlsDetails::default(),
    };
    let context = identity.context(principal, facts);
    let answer = IamService::new(identity.clone()).call(&context, operation, input).await;
    context.finish(&answer);
    let answer = answer.map_err(|error| anyhow!("cannot make a key for the administrator: {error}"))?;
    let text = |name: &str| answer["AccessKey"][name].as_str().map(str::to_owned);
    match (text("AccessKeyId"), text("SecretAccessKey")) {
        (Some(access_key_id), Some(secret)) => Ok(Administrator { access_key_id, secret: SecretString::new(secret) }),
        _ => Err(anyhow!("iam answered without a key")),
    }
}

/// A further account, as `marram account create --json` prints it.
pub async fn create_account(identity: &Identity, name: &str) -> anyhow::Result<Value> {
    let NewAccount { account, user_arn, credentials } =
        identity.create_account(name, None).await.map_err(|error| anyhow!("{error}"))?;
    Ok(json!({
        "account": account.as_str(),
        "name": name,
        "user_arn": user_arn,
        "access_key_id": credentials.access_key_id,
        "secret_access_key": credentials.secret.expose(),
    }))
}

/// What the admin socket needs to provision cores.
pub struct CoreDesk {
    /// Calls in the first account's administrator's name.
    pub caller: Caller,
    /// Root certificate that cores trust, PEM.
    pub root_pem: String,
    /// Where cores find the control plane.
    pub endpoints: CoreEndpoints,
    /// Where people sign in.
    pub console: Console,
}

/// A one-time link to the console for a user; of the first account unless another one is named.
async fn console_link(desk: &CoreDesk, account: Option<&str>, user: &str) -> anyhow::Result<Value> {
    let account = match account {
        Some(account) => account.parse().map_err(|_| anyhow!("`{account}` is not an account id"))?,
        None => desk.caller.account().clone(),
    };
    let link = desk.console.link_for(&account, user).await.map_err(|error| anyhow!("{error}"))?;
    let link = link.with_context(|| format!("the account {account} has no user {user}"))?;
    let base = desk.console.base_url().context("the console is not ready")?;
    Ok(json!({ "url": link.url(&base) }))
}

/// Answers the admin socket.
pub fn admin_handler(identity: Identity, desk: CoreDesk) -> Handler {
    let desk = Arc::new(desk);
    Arc::new(move |request: Value| {
        let (identity, desk) = (identity.clone(), Arc::clone(&desk));
        Box::pin(async move {
            let text = |name: &str| request[name].as_str();
            match (text("verb"), text("name"), text("thing"), text("csr")) {
                (Some("account-create"), Some(name), ..) => create_account(&identity, name).await,
                (Some("core-provision"), _, Some(thing), Some(csr)) => {
                    let made = provision::core(&desk.caller, thing, csr).await?;
                    let note = (!made.notes.is_empty()).then(|| made.notes.join("; "));
                    Ok(crate::command::core::answer(
                        &made.certificate_pem,
                        &desk.root_pem,
                        &desk.endpoints,
                        note.as_deref(),
                    ))
                }
                (Some("console-link"), Some(name), ..) => console_link(&desk, text("account"), name).await,
                (verb, ..) => Err(anyhow!("the verb {verb:?} is not known here")),
            }
        })
    })
}
