//! Looks whether files of what is deployed are as they were taken in (SEC-157): at every start of the core, after deployments, and once a
//! week. What starts in between is looked at by itself ([`crate::integrity`]).

use std::time::Duration;

use crate::record::News;
use crate::{Inner, integrity, lock, prepare};

/// Between two looks at everything.
const EVERY: Duration = Duration::from_secs(7 * 24 * 3600);

/// Looks for ever; a finding is an error in the log, and stands with the doctor until it is mended.
pub(crate) async fn run(inner: &Inner) {
    let mut news = inner.news.subscribe();
    loop {
        look(inner).await;
        let end = tokio::time::sleep(EVERY);
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => break,
                ended = news.recv() => match ended {
                    // while it is in work its files come and go
                    Ok(News::Began | News::WentBack) => {}
                    Ok(News::Ended(_)) | Err(_) => look(inner).await,
                },
            }
        }
        inner.watch.forget();
    }
}

async fn look(inner: &Inner) {
    let deployed = prepare::deployed(inner);
    lock(&inner.tampered).retain(|name, _| deployed.contains_key(name));
    for (name, tree) in deployed {
        if let Some(version) = tree.get("version").and_then(|version| version.as_str()) {
            // told in the log and to the doctor
            let _ = integrity::verify(inner, &name, version).await;
        }
    }
}
