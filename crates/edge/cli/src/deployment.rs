//! `deployment create|status|list|cancel`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use marram_obs::outln;
use serde_json::{Map, Value, json};

use crate::client::{CliError, Client};

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Changes what runs on this core.
    Create(Box<Create>),
    /// How a deployment stands.
    Status {
        #[arg(short = 'i', long = "deploymentId")]
        id: String,
    },
    /// All deployments made here.
    List,
    /// Takes a deployment back.
    Cancel {
        #[arg(short = 'i', long = "deploymentId")]
        id: String,
    },
}

#[derive(Args)]
pub(crate) struct Create {
    /// Component to add or update, `name=version`; repeatable.
    #[arg(short, long, value_name = "NAME=VERSION")]
    merge: Vec<String>,
    /// Component to remove; repeatable.
    #[arg(long, value_delimiter = ',')]
    remove: Vec<String>,
    /// Thing group whose components are edited, on this core only.
    #[arg(short, long = "groupId")]
    group: Option<String>,
    /// Folder of recipes.
    #[arg(short, long = "recipeDir")]
    recipes: Option<PathBuf>,
    /// Folder of artifacts.
    #[arg(short, long = "artifactDir")]
    artifacts: Option<PathBuf>,
    /// User a component runs as, `name:posixUser=user[:group]`; repeatable.
    #[arg(long = "runWith")]
    run_with: Vec<String>,
    /// Limits, `{name: {cpus, memory}}` as JSON.
    #[arg(long = "systemLimits")]
    limits: Option<String>,
    /// Configuration, `{name: {MERGE: {}, RESET: []}}` as JSON, or a file of it.
    #[arg(short = 'c', long = "update-config")]
    configuration: Option<String>,
    /// What happens to the core when the deployment fails.
    #[arg(long = "failure-handling-policy", value_parser = ["ROLLBACK", "DO_NOTHING"])]
    policy: Option<String>,
}

pub(crate) fn run(client: &mut Client, verb: Verb) -> Result<(), CliError> {
    match verb {
        Verb::Create(create) => {
            let made = client.call("CreateLocalDeployment", &request(&create)?)?;
            outln!("Local deployment submitted! Deployment Id: {}", made["deploymentId"].as_str().unwrap_or_default());
        }
        Verb::Status { id } => {
            let found = client.call("GetLocalDeploymentStatus", &json!({"deploymentId": id}))?;
            print(&found["deployment"]);
        }
        Verb::List => {
            let listed = client.call("ListLocalDeployments", &json!({}))?;
            listed["localDeployments"].as_array().into_iter().flatten().for_each(print);
        }
        Verb::Cancel { id } => {
            let answer = client.call("CancelLocalDeployment", &json!({"deploymentId": id}))?;
            outln!("{}", answer["message"].as_str().unwrap_or_default());
        }
    }
    Ok(())
}

/// `id: STATUS`, then what is known of a failure.
pub(crate) fn print(deployment: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    outln!("{}: {}", text(&deployment["deploymentId"]), text(&deployment["status"]));
    outln!("    Created on: {}", text(&deployment["createdOn"]));
    let details = &deployment["deploymentStatusDetails"];
    if details.is_object() {
        outln!("    Detailed Status: {}", text(&details["detailedDeploymentStatus"]));
        for (label, member) in [("Error Stack", "deploymentErrorStack"), ("Error Types", "deploymentErrorTypes")] {
            let codes: Vec<_> = details[member].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            if !codes.is_empty() {
                outln!("    Deployment {label}: {}", codes.join(", "));
            }
        }
        if let Some(cause) = details["deploymentFailureCause"].as_str() {
            outln!("    Failure Cause: {cause}");
        }
    }
}

fn usage(message: impl Into<String>) -> CliError {
    CliError::Usage(message.into())
}

fn request(create: &Create) -> Result<Value, CliError> {
    let mut request = Map::new();
    let mut add = Map::new();
    for pair in &create.merge {
        let (name, version) =
            pair.split_once('=').ok_or_else(|| usage(format!("`{pair}` is not of the form name=version")))?;
        add.insert(name.to_owned(), version.into());
    }
    let mut put = |name: &str, value: Value| request.insert(name.to_owned(), value);
    if !add.is_empty() {
        put("rootComponentVersionsToAdd", add.into());
    }
    if !create.remove.is_empty() {
        put("rootComponentsToRemove", create.remove.clone().into());
    }
    if let Some(group) = &create.group {
        put("groupName", group.as_str().into());
    }
    for (name, folder) in [("recipeDirectoryPath", &create.recipes), ("artifactsDirectoryPath", &create.artifacts)] {
        if let Some(folder) = folder {
            // The core has another working directory.
            let absolute =
                std::path::absolute(folder).map_err(|source| CliError::File { path: folder.clone(), source })?;
            put(name, absolute.to_string_lossy().into());
        }
    }
    if let Some(text) = &create.configuration {
        put("componentToConfiguration", configuration(json_or_file(text)?)?);
    }
    let mut run_with = Map::new();
    for entry in &create.run_with {
        let parts = entry.split_once(':').and_then(|(name, rest)| Some((name, rest.split_once('=')?)));
        let Some((name, (key @ ("posixUser" | "windowsUser"), user))) = parts else {
            return Err(usage(format!("`{entry}` is not of the form name:posixUser=user")));
        };
        let info = run_with.entry(name).or_insert_with(|| json!({}));
        info[key] = user.into();
    }
    if let Some(text) = &create.limits {
        let Value::Object(limits) = json_or_file(text)? else {
            return Err(usage("`--systemLimits` must be a JSON object"));
        };
        for (name, limit) in limits {
            let info = run_with.entry(name).or_insert_with(|| json!({}));
            info["systemResourceLimits"] = limit;
        }
    }
    if !run_with.is_empty() {
        put("componentToRunWithInfo", run_with.into());
    }
    if let Some(policy) = &create.policy {
        put("failureHandlingPolicy", policy.as_str().into());
    }
    Ok(request.into())
}

/// `{name: {MERGE, RESET}}`. Another key would be passed over by the core, and the deployment would change nothing.
fn configuration(value: Value) -> Result<Value, CliError> {
    let wrong =
        |what: &str| usage(format!("`--update-config` {what}; it is of the form {{name: {{MERGE: {{}}, RESET: []}}}}"));
    let Value::Object(components) = &value else { return Err(wrong("must be a JSON object")) };
    for (name, update) in components {
        let Value::Object(update) = update else { return Err(wrong(&format!("must hold an object for {name}"))) };
        if let Some(key) = update.keys().find(|key| !matches!(key.as_str(), "MERGE" | "RESET")) {
            return Err(wrong(&format!("has the key `{key}` for {name}")));
        }
    }
    Ok(value)
}

/// What a fuzzer's command line would ask of the core. Files are not read: what names one is left out.
pub(crate) fn fuzz(verb: &Verb) {
    let Verb::Create(create) = verb else { return };
    let is_file = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.trim_start().starts_with('{'));
    if !is_file(&create.limits) && !is_file(&create.configuration) {
        let _ = request(create);
    }
}

fn json_or_file(text: &str) -> Result<Value, CliError> {
    // A list is no file either: it is JSON of the wrong kind, and is told so.
    let content = if text.trim_start().starts_with(['{', '[']) {
        text.to_owned()
    } else {
        let path = Path::new(text.strip_prefix("file://").unwrap_or(text));
        std::fs::read_to_string(path).map_err(|source| CliError::File { path: path.to_owned(), source })?
    };
    serde_json::from_str(&content).map_err(|error| usage(format!("not JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CR 7.1: the options become the request of CR 6.8.
    #[test]
    fn options_become_a_request() {
        let create = Create {
            merge: vec!["a=1.0.0".into()],
            remove: vec!["b".into()],
            group: Some("g".into()),
            recipes: Some("/r".into()),
            artifacts: None,
            run_with: vec!["a:posixUser=u:g".into()],
            limits: Some(r#"{"a":{"cpus":1.5,"memory":1024}}"#.into()),
            configuration: Some(r#"{"a":{"MERGE":{"k":1},"RESET":["/x"]}}"#.into()),
            policy: Some("ROLLBACK".into()),
        };
        let wanted = json!({
            "rootComponentVersionsToAdd": {"a": "1.0.0"},
            "rootComponentsToRemove": ["b"],
            "groupName": "g",
            "recipeDirectoryPath": "/r",
            "componentToConfiguration": {"a": {"MERGE": {"k": 1}, "RESET": ["/x"]}},
            "componentToRunWithInfo": {
                "a": {"posixUser": "u:g", "systemResourceLimits": {"cpus": 1.5, "memory": 1024}},
            },
            "failureHandlingPolicy": "ROLLBACK",
        });
        assert_eq!(request(&create).unwrap(), wanted);
        let of = |configuration: &str| Create {
            merge: Vec::new(),
            remove: Vec::new(),
            group: None,
            recipes: None,
            artifacts: None,
            run_with: Vec::new(),
            limits: None,
            configuration: Some(configuration.into()),
            policy: None,
        };
        for wrong in [r#"{"a":{"merge":{}}}"#, r#"{"a":[]}"#, r#"{"a":"#] {
            assert!(matches!(request(&of(wrong)), Err(CliError::Usage(_))), "{wrong}");
        }
        let bad = Create { merge: vec!["a".into()], ..create };
        assert!(matches!(request(&bad), Err(CliError::Usage(_))));
    }
}
