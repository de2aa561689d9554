//! Shadows of the control plane over HTTPS with the device's certificate (CC 3.5).

use marram_edge_ports::{CloudShadows, DataPlaneError, Later};
use marram_http::Method;
use percent_encoding::utf8_percent_encode;
use serde::Deserialize;
use serde_json::Value;

use crate::data_plane::{Greengrass, SEGMENT};

/// What the service says of a shadow that is not there. Another 404 comes from something else, and deletes nothing.
const MISSING: &str = "No shadow exists";

/// Names on a page: the most that the service gives.
const PAGE: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Names {
    #[serde(default)]
    results: Vec<String>,
    next_token: Option<String>,
}

fn target(thing: &str, shadow: &str) -> String {
    let thing = utf8_percent_encode(thing, SEGMENT);
    match shadow {
        "" => format!("/things/{thing}/shadow"),
        name => format!("/things/{thing}/shadow?name={}", utf8_percent_encode(name, SEGMENT)),
    }
}

fn is_missing(error: &DataPlaneError) -> bool {
    matches!(error, DataPlaneError::Answered { status: 404, message, .. } if message.contains(MISSING))
}

impl CloudShadows for Greengrass {
    fn get<'a>(&'a self, thing: &'a str, shadow: &'a str) -> Later<'a, Option<Value>, DataPlaneError> {
        Box::pin(async move {
            match self.ready()?.ask(Method::GET, &target(thing, shadow), None).await {
                Ok(document) => Ok(Some(document)),
                Err(error) if is_missing(&error) => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    fn update<'a>(&'a self, thing: &'a str, shadow: &'a str, body: Value) -> Later<'a, Value, DataPlaneError> {
        Box::pin(async move { self.ready()?.ask(Method::POST, &target(thing, shadow), Some(body)).await })
    }

    fn delete<'a>(&'a self, thing: &'a str, shadow: &'a str) -> Later<'a, (), DataPlaneError> {
        Box::pin(async move {
            match self.ready()?.ask(Method::DELETE, &target(thing, shadow), None).await {
                Ok(_) => Ok(()),
                Err(error) if is_missing(&error) => Ok(()),
                Err(error) => Err(error),
            }
        })
    }

    fn names<'a>(&'a self, thing: &'a str, limit: usize) -> Later<'a, Vec<String>, DataPlaneError> {
        Box::pin(async move {
            let ready = self.ready()?;
            let base = format!(
                "/api/things/shadow/ListNamedShadowsForThing/{}?pageSize={PAGE}",
                utf8_percent_encode(thing, SEGMENT)
            );
            let mut all = Vec::new();
            let mut token: Option<String> = None;
            while all.len() < limit {
                let next = token.as_deref().map(|token| format!("&nextToken={}", utf8_percent_encode(token, SEGMENT)));
                let answer = ready.ask(Method::GET, &format!("{base}{}", next.unwrap_or_default()), None).await?;
                let page: Names =
                    serde_json::from_value(answer).map_err(|error| DataPlaneError::Malformed(error.to_string()))?;
                let is_last = page.next_token.is_none() || page.results.is_empty();
                all.extend(page.results);
                if is_last {
                    break;
                }
                token = page.next_token;
            }
            all.truncate(limit);
            Ok(all)
        })
    }
}
