//! `marram account create NAME`: a further tenant, made by the running installation or, when none runs, directly.
//! `marram account console-link`: a way into the console for a user who has none, or has lost it.

use std::process::ExitCode;

use anyhow::Context;
use marram_audit::Audit;
use marram_identity::{Identity, IdentityOptions};
use marram_obs::{errln, outln};
use marram_store::{Store, StoreOptions};
use marram_types::SystemClock;
use serde_json::{Value, json};

use crate::cli::{Account, AccountCreate, ConsoleLink};
use crate::data_dir::DataDir;
use crate::{admin, administrator};

/// Runs the verb.
pub fn run(verb: &Account) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let flags = match verb {
        Account::Create(flags) => flags,
        Account::ConsoleLink(flags) => {
            outln!("{}", runtime.block_on(console_link(flags))?);
            return Ok(ExitCode::SUCCESS);
        }
    };
    let made = runtime.block_on(create(flags))?;
    if flags.json {
        outln!("{made}");
    } else {
        for (name, value) in made.as_object().into_iter().flatten() {
            outln!("{name}: {}", value.as_str().unwrap_or_default());
        }
        errln!("the secret is not shown again");
    }
    Ok(ExitCode::SUCCESS)
}

async fn console_link(flags: &ConsoleLink) -> anyhow::Result<String> {
    let data = DataDir::open(&flags.data)?;
    let request = json!({ "verb": "console-link", "name": flags.user, "account": flags.account });
    let answer = admin::ask(&data.admin_socket(), &request).await?.context("the installation is not running")?;
    answer["url"].as_str().map(str::to_owned).context("the installation answered without a link")
}

async fn create(flags: &AccountCreate) -> anyhow::Result<Value> {
    let data = DataDir::open(&flags.data)?;
    let request = json!({ "verb": "account-create", "name": flags.name });
    if let Some(made) = admin::ask(&data.admin_socket(), &request).await? {
        return Ok(made);
    }
    let store = Store::open(data.root(), StoreOptions::default())
        .with_context(|| format!("cannot open the data directory {}", data.root().display()))?;
    let clock = SystemClock::shared();
    let audit = Audit::open(store.clone(), data.root(), clock.clone()).context("cannot open the audit log")?;
    let identity = Identity::open(store, audit.clone(), clock, IdentityOptions::default())
        .context("cannot open the identities")?;
    let made = administrator::create_account(&identity, &flags.name).await;
    audit.close();
    made
}
