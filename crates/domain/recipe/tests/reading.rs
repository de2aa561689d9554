//! What authors write, what is understood and what they are told.

use marram_recipe::{
    ArtifactUriError, Attributes, DependencyType, Lifecycle, Permission, Severity, SkipIf, StepError, StepName,
    interpolate, read,
};
use serde_json::{Value, json};

const SMALL: &str = r#"RecipeFormatVersion: 2020-01-25
ComponentName: com.example.Hello
ComponentVersion: 1.10.0
Manifests:
  - Lifecycle:
      run: echo hello
"#;

/// Findings as `line:column severity field message`.
fn findings(text: &str) -> Vec<String> {
    read(text.as_bytes())
        .findings
        .iter()
        .map(|finding| {
            let place = finding.place.map(|place| format!("{}:{}", place.line, place.column)).unwrap_or_default();
            let severity = if finding.severity == Severity::Error { "error" } else { "warning" };
            assert!(!finding.remedy.is_empty(), "no remedy: {finding}");
            format!("{place} {severity} {}: {}", finding.field, finding.message)
        })
        .collect()
}

/// CR 1.1: keys in any case, scalars as written, both encodings give the same model.
#[test]
fn both_encodings_give_one_model() {
    let yaml = r#"---
recipeformatversion: "2020-01-25"
componentName: com.example.X
ComponentVersion: 1.10.0
ComponentType: AWS.greengrass.Generic
ComponentConfiguration:
  DefaultConfiguration: {rate: 1.10, on: yes, port: 010, deep: {list: [1, ~, true]}}
ComponentDependencies:
  aws.greengrass.TokenExchangeService: {VersionRequirement: ^2.0.0, DependencyType: soft}
Manifests:
  - Name: lin
    Platform: {os: linux, architecture: /arm|aarch64/}
    Lifecycle:
      setenv: {VERSION: 1.10, FLAG: true}
      Run: {Script: |-
          one
          two, Timeout: 30, RequiresPrivilege: true}
    Artifacts:
      - URI: s3://bucket/dir/app.zip
        Unarchive: zip
        Permission: {Execute: owner}
"#;
    let first =
        read(yaml.replace("{Script: |-\n          one\n          two, ", "{Script: \"one\\ntwo\", ").as_bytes());
    assert_eq!(first.errors().collect::<Vec<_>>(), Vec::<&marram_recipe::Finding>::new());
    let recipe = first.recipe.unwrap();
    assert_eq!(recipe.version.to_string(), "1.10.0");
    assert_eq!(
        recipe.default_configuration,
        Some(json!({"rate": 1.1, "on": "yes", "port": "010", "deep": {"list": [1, null, true]}}))
    );
    assert_eq!(recipe.dependencies["aws.greengrass.TokenExchangeService"].kind, DependencyType::Soft);
    let manifest = &recipe.manifests[0];
    assert_eq!(manifest.lifecycle["setenv"], json!({"VERSION": "1.10", "FLAG": "true"}));
    let step = Lifecycle(&manifest.lifecycle).step(StepName::Run).unwrap().unwrap();
    assert_eq!((step.script.as_str(), step.timeout_secs, step.requires_privilege), ("one\ntwo", Some(30), true));
    assert_eq!(manifest.artifacts[0].permission.mode(), 0o550);

    let json = recipe.to_json();
    let again = read(json.to_string().as_bytes());
    assert_eq!(again.findings, vec![]);
    assert_eq!(again.recipe.as_ref(), Some(&recipe));
    assert_eq!(again.recipe.unwrap().to_json(), json);
}

/// CR 1.1, CP 7.2: unknown keys are ignored as in the original, but a component that would do nothing because of a slip is refused; so
/// is one that waits for itself. The core goes on: it may have such a recipe already.
#[test]
fn slips_that_take_the_scripts_away_are_errors() {
    for (from, to, expected) in [
        (
            "  - Lifecycle:",
            "  - Lifecycel:",
            "5:5 error Manifests[0].Lifecycel: the key `Lifecycel` is not known and is ignored",
        ),
        ("Manifests:", "Manifest:", "4:1 error Manifest: the key `Manifest` is not known and is ignored"),
        (
            "      run: echo hello",
            "      runn: echo hello",
            "6:7 error Manifests[0].Lifecycle.runn: `runn` is not a lifecycle step",
        ),
        (
            "  - Lifecycle:",
            "  - Comment: x\n    Lifecycle:",
            "5:5 warning Manifests[0].Comment: the key `Comment` is not known and is ignored",
        ),
        (
            "Manifests:",
            "ComponentDependencies: {com.example.hello: {VersionRequirement: ^1.0.0}}\nManifests:",
            "4:24 error ComponentDependencies.com.example.Hello: `com.example.Hello` depends on itself",
        ),
    ] {
        let text = SMALL.replace(from, to);
        assert!(findings(&text).contains(&expected.to_owned()), "{to}: {:?}", findings(&text));
        assert!(read(text.as_bytes()).recipe.is_some(), "{to}");
    }
}

/// CR 1.1, 1.5, 1.7, 1.8, CP 7.2: what can never have been meant is refused, what will probably not do is told; recipes that are right
/// are told nothing.
#[test]
fn authors_are_told_what_will_not_do() {
    let manifest = |text: &str| SMALL.replace("  - Lifecycle:", &format!("  - {text}\n    Lifecycle:"));
    let top = |text: &str| SMALL.replace("Manifests:", &format!("{text}\nManifests:"));
    let script = |text: &str| SMALL.replace("echo hello", text);
    let global = |selection: &str| {
        format!(
            "{}    Selections: [{selection}]\nLifecycle: {{run: {{linux: {{Script: x}}}}}}\n",
            SMALL.replace("Lifecycle:\n      run: echo hello\n", "Name: n\n")
        )
    };
    let cases = [
        (top("Dependencies: {}"), Some(("error", "Dependencies", "write ComponentDependencies"))),
        (top("ComponentDependency: {}"), Some(("error", "ComponentDependency", "write ComponentDependencies"))),
        (
            top("ComponentConfiguration: {DefaultConfig: {}}"),
            Some(("error", "ComponentConfiguration.DefaultConfig", "write DefaultConfiguration")),
        ),
        (
            manifest("Artifacts: [{URI: \"s3://b/x.zip\", Permissions: {Execute: ALL}}]"),
            Some(("error", "Manifests[0].Artifacts[0].Permissions", "write Permission")),
        ),
        (
            script("{Script: x, RequirePrivilege: true}"),
            Some(("error", "Manifests[0].Lifecycle.run.RequirePrivilege", "write RequiresPrivilege")),
        ),
        (
            script("{Script: x, TimeOutSeconds: 3}"),
            Some(("error", "Manifests[0].Lifecycle.run.TimeOutSeconds", "write Timeout")),
        ),
        (script("x\n      Run: y"), Some(("error", "Manifests[0].Lifecycle.Run", "keep one of them"))),
        (top("Description: x"), Some(("warning", "Description", "known here: RecipeFormatVersion"))),
        (manifest("Platform: {os: Linux}"), Some(("warning", "Manifests[0].Platform.os", "write linux"))),
        (
            manifest("Platform: {architecture: arm64}"),
            Some(("warning", "Manifests[0].Platform.architecture", "write aarch64")),
        ),
        (manifest("Platform: {os: /linux|darwin/, architecture: \"*\", kind: Arm64}"), None),
        (global("linx"), Some(("error", "Manifests[0].Selections", "name a keyword"))),
        (global("linux"), None),
        (script("\"{artifacts:pth}/x\""), Some(("warning", "Manifests[0].Lifecycle.run", "known here: path"))),
        (script("\"{artifact:path}/x\""), Some(("warning", "Manifests[0].Lifecycle.run", "write artifacts"))),
        (
            script("\"{com.example.Z:artifacts:path}/x\""),
            Some(("warning", "Manifests[0].Lifecycle.run", "name com.example.Z in ComponentDependencies")),
        ),
        (script("\"{configuration:a}\""), Some(("warning", "Manifests[0].Lifecycle.run", "write a JSON pointer"))),
        (script("\"{configuration:/a} {iot:thingName} {kernel:rootPath} ${a:-b} {x:y}\""), None),
    ];
    for (text, wanted) in cases {
        let told = read(text.as_bytes()).findings;
        match wanted {
            None => assert_eq!(told, vec![], "{text}"),
            Some((severity, field, remedy)) => {
                let severity = if severity == "error" { Severity::Error } else { Severity::Warning };
                let is_it = |finding: &marram_recipe::Finding| {
                    (finding.severity, finding.field.as_str()) == (severity, field)
                        && finding.remedy.starts_with(remedy)
                };
                assert!(told.iter().any(is_it), "{text}\n{told:?}");
            }
        }
    }
}

/// SEC-157: a name that would be a folder of somebody else, in every place where a recipe may name one.
#[test]
fn names_that_lead_elsewhere_are_refused() {
    let dependency = |name: &str| {
        SMALL.replace(
            "Manifests:",
            &format!("ComponentDependencies: {{\"{name}\": {{VersionRequirement: ^1.0.0}}}}\nManifests:"),
        )
    };
    for name in ["..", ".", ".hidden", "-x", "main", "DeploymentService", "_x"] {
        let named = SMALL.replace("com.example.Hello", &format!("\"{name}\""));
        for text in [named, dependency(name)] {
            let reading = read(text.as_bytes());
            assert!(reading.recipe.is_none() && reading.errors().count() == 1, "{text}");
        }
    }
    for (file, good) in [("app.zip", true), ("..zip", false), ("...zip", false), ("..", false)] {
        let text = format!("{SMALL}    Artifacts:\n      - {{URI: \"s3://bucket/dir/{file}\", Unarchive: ZIP}}\n");
        assert_eq!(read(text.as_bytes()).errors().count() == 0, good, "{file}");
    }
}

/// CR 1.10, CP 7.2: an author learns everything at once, each with its place and what to do.
#[test]
fn each_mistake_has_its_place() {
    let text = r#"RecipeFormatVersion: 2020-01-26
ComponentName: com/example
ComponentVersion: 1.10
ComponentTyp: x
ComponentDependencies:
  dep:
    VersionRequirement: latest
    DependencyType: WEAK
Manifests:
  - Platform: {os: /(?=a)/, arch: "!x"}
    lifecycle:
      run: {Skripts: x}
      instal: y
    Artifacts:
      - URI: ftp://host/file
      - {}
"#;
    assert_eq!(
        findings(text),
        [
            "1:22 error RecipeFormatVersion: the format version `2020-01-26` does not exist",
            "2:16 error ComponentName: `com/example` is not a component name",
            "3:19 error ComponentVersion: `1.10` is not MAJOR.MINOR.PATCH[-pre][+build]: unexpected end of input while parsing minor version number",
            "4:1 error ComponentTyp: the key `ComponentTyp` is not known and is ignored",
            "7:25 error ComponentDependencies.dep.VersionRequirement: `latest` is not a version comparator; write for example ^1.2.0, ~1.2.0, >=1.0.0 <2.0.0 or 1.2.x",
            "8:21 error ComponentDependencies.dep.DependencyType: `WEAK` is not possible here",
            "10:20 error Manifests[0].Platform.os: `/(?=a)/` is not a usable pattern",
            "10:35 warning Manifests[0].Platform.arch: `!x` never matches",
            "11:5 warning Manifests[0].lifecycle: `lifecycle` is spelled `Lifecycle`; other readers compare case",
            "12:12 error Manifests[0].Lifecycle.run: the step has no `Script`",
            "12:13 error Manifests[0].Lifecycle.run.Skripts: the key `Skripts` is not known and is ignored",
            "13:7 error Manifests[0].Lifecycle.instal: `instal` is not a lifecycle step",
            "15:14 error Manifests[0].Artifacts[0].URI: artifacts of the scheme `ftp` are not supported",
            "16:9 error Manifests[0].Artifacts[1].URI: the artifact has no URI",
        ]
    );
    assert!(read(text.as_bytes()).recipe.is_none());
}

/// CR 1.1: what is no document, and what would be dangerous to expand.
#[test]
fn broken_documents_are_refused_at_a_place() {
    let bomb: String = (0..12).fold("a0: &a0 [x,x,x,x,x,x,x,x]\n".to_owned(), |text, n| {
        let next = n + 1;
        format!("{text}a{next}: &a{next} [*a{n},*a{n},*a{n},*a{n},*a{n},*a{n},*a{n},*a{n}]\n")
    });
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    for (text, wanted) in [
        ("", "1:1 error : the text is empty"),
        ("{\"a\": 1, \"a\": 2}", "1:10 error : `a` is written twice"),
        ("{\"a\": tru}", "1:7 error : neither a text, number, true, false nor null"),
        ("a: 1\na: 2\n", "2:1 error : `a` is written twice"),
        ("a: 1\n---\nb: 2\n", "2:1 error : a recipe is one document, here a second begins"),
        ("a: &x [*x]", "1:8 error : an alias inside of what it stands for"),
        (&bomb, "6:10 error : nested too deeply or too large"),
        (&deep, "1:66 error : nested too deeply or too large"),
        ("- a\n", "1:1 error : this is not a map"),
    ] {
        assert_eq!(findings(text), [wanted], "{}", &text[..text.len().min(60)]);
    }
    assert!(read(&[0xff, 0xfe]).recipe.is_none());
    assert!(read(&vec![b' '; 300 * 1024]).recipe.is_none());
}

/// CR 1.1: every alias and merge key within the budget is followed.
#[test]
fn aliases_and_merge_keys_are_followed() {
    let text = format!(
        "{SMALL}    Platform: &p {{os: linux}}\n  - Platform: {{<<: *p, architecture: arm}}\n    Lifecycle: {{run: echo}}\n"
    );
    let recipe = read(text.as_bytes()).recipe.unwrap();
    assert_eq!(json!(recipe.manifests[1].platform), json!({"os": "linux", "architecture": "arm"}));
}

/// CR 1.5: the table of rules, one row per rule.
#[test]
fn platforms_match_as_the_original_does() {
    let matches = marram_recipe::matches_attribute;
    for (key, template, label, wanted) in [
        ("os", None, Some("linux"), true),
        ("runtime", Some("*"), None, true),
        ("runtime", Some("aws_nucleus_lite"), Some("marram"), false),
        ("runtime", Some("aws_nucleus_lite"), None, false),
        ("os", Some("/linux|darwin/"), Some("linux"), true),
        ("os", Some("/linu/"), Some("linux"), false),
        ("os", Some("/(a+)+$/"), Some("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"), false),
        ("os", Some("any"), Some("linux"), true),
        ("architecture", Some("all"), Some("arm"), true),
        ("custom", Some("all"), Some("x"), false),
        ("custom", Some("!x"), Some("!x"), false),
        ("os", Some("Linux"), Some("linux"), false),
        ("os", Some("linux"), Some("linux"), true),
    ] {
        assert_eq!(matches(key, template, label), wanted, "{key} {template:?} {label:?}");
    }
}

/// CR 1.4: the first manifest that matches wins.
#[test]
fn the_first_matching_manifest_wins() {
    let text = "RecipeFormatVersion: 2020-01-25\nComponentName: a\nComponentVersion: 1.0.0\nManifests:\n\
        - {Name: arm, Platform: {architecture: arm}}\n- {Name: lin, Platform: {os: linux}}\n- {Name: all}\n- {Name: never}\n";
    let reading = read(text.as_bytes());
    assert_eq!(reading.findings.len(), 1, "the manifest after the one for all is told");
    let recipe = reading.recipe.unwrap();
    let chosen = |os: &str, architecture: &str| {
        let device: Attributes =
            [("os", os), ("architecture", architecture)].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        recipe.manifest_for(&device).and_then(|manifest| manifest.name.clone()).unwrap()
    };
    assert_eq!(chosen("linux", "amd64"), "lin");
    assert_eq!(chosen("linux", "arm"), "arm");
    assert_eq!(chosen("darwin", "amd64"), "all");
}

/// CR 1.7: the example of the section, and its corners.
#[test]
fn selections_choose_from_the_global_lifecycle() {
    let lifecycle = |global: Value, selections: &[&str], others: &[&str]| -> Value {
        let text = json!({
            "RecipeFormatVersion": "2020-01-25", "ComponentName": "a", "ComponentVersion": "1.0.0",
            "Lifecycle": global,
            "Manifests": [{"Selections": selections}, {"Selections": others}],
        });
        let recipe = read(text.to_string().as_bytes()).recipe.unwrap();
        Value::Object(recipe.lifecycle_for(&recipe.manifests[0]))
    };
    let global =
        json!({"install": {"linux": {"Script": "a"}, "all": {"Script": "b"}}, "run": {"all": {"Script": "c"}}});
    assert_eq!(lifecycle(global.clone(), &["linux"], &[]), json!({"install": {"Script": "a"}, "run": {"Script": "c"}}));
    assert_eq!(lifecycle(global, &[], &["linux"]), json!({"install": {"Script": "b"}, "run": {"Script": "c"}}));
    assert_eq!(lifecycle(json!({"linux": {"run": "x"}}), &[], &["linux"]), json!({}));
    assert_eq!(
        lifecycle(json!({"run": {"Script": {"arm": "1", "linux": "2"}, "Timeout": 5}}), &["arm", "linux"], &[]),
        json!({"run": {"Script": "1", "Timeout": 5}})
    );
    assert_eq!(lifecycle(json!({"run": "plain"}), &[], &[]), json!({"run": "plain"}));
}

/// CR 1.8: substitution, rendering, and what stays as written.
#[test]
fn variables_are_replaced_once() {
    let resolve = |text: &str| {
        let done = interpolate(text, |variable| match (variable.component, variable.namespace, variable.key) {
            (None, "configuration", "/port") => Some(json!(8080)),
            (None, "configuration", "/nothing") => Some(json!(null)),
            (None, "configuration", "/map") => Some(json!({"b": [1, "x"], "a": {"z": 1, "y": "{iot:thingName}"}})),
            (None, "iot", "thingName") => Some(json!("core")),
            (Some("dep"), "configuration", "/port") => Some(json!("dep-port")),
            _ => None,
        });
        (done.text, done.unresolved)
    };
    let plain = |text: &str| (text.to_owned(), Vec::<String>::new());
    assert_eq!(resolve("a {configuration:/port} {iot:thingName}"), plain("a 8080 core"));
    assert_eq!(resolve("${iot:thingName} {{iot:thingName}}"), plain("$core {core}"));
    assert_eq!(resolve("{dep:configuration:/port}"), plain("dep-port"));
    assert_eq!(resolve("{configuration:/nothing}"), plain("null"));
    assert_eq!(resolve("{configuration:/map}"), plain(r#"{"a":{"y":"{iot:thingName}","z":1},"b":[1,"x"]}"#));
    assert_eq!(
        resolve("{configuration:/gone} {other:configuration:/port}"),
        (
            "{configuration:/gone} {other:configuration:/port}".to_owned(),
            vec!["{configuration:/gone}".to_owned(), "{other:configuration:/port}".to_owned()]
        )
    );
    for same in ["{", "}", "{}", "{a}", "{ a:b}", "if { x: y; }", "{a:b:c:d}", "awk '{print $1}'"] {
        assert_eq!(resolve(same), plain(same));
    }
}

/// CR 1.7: steps as text or object, conditions, and what is not valid.
#[test]
fn steps_are_read() {
    let step = |value: Value| Lifecycle(json!({"Install": value}).as_object().unwrap()).step(StepName::Install);
    assert_eq!(step(json!("x")).unwrap().unwrap().script, "x");
    assert_eq!(step(json!(null)), Ok(None));
    assert_eq!(step(json!([])), Err(StepError::Shape));
    assert_eq!(step(json!({"timeout": 1})), Err(StepError::NoScript));
    assert_eq!(step(json!({"script": "x", "Timeout": "1m"})), Err(StepError::Timeout));
    assert_eq!(step(json!({"script": "x", "Skipif": "when x"})), Err(StepError::SkipIf("when x".to_owned())));
    let full = step(json!({"SCRIPT": "x", "timeout": "60", "skipif": "!onpath git", "setenv": {"A": 1, "B": null}}))
        .unwrap()
        .unwrap();
    assert_eq!(full.timeout_secs, Some(60));
    assert_eq!(full.skip_if, Some(SkipIf::OnPath { command: "git".to_owned(), negated: true }));
    assert_eq!(json!(full.setenv), json!({"A": "1", "B": ""}));
    assert_eq!(SkipIf::parse("exists /a b"), Some(SkipIf::Exists { path: "/a b".to_owned(), negated: false }));
}

/// CR 1.6: URIs, their file names, and their errors.
#[test]
fn artifact_uris() {
    let place = |text: &str| text.parse::<marram_recipe::ArtifactUri>();
    assert_eq!(place("S3://my-bucket/a/b.zip").unwrap().file_name(), Some("b.zip"));
    assert_eq!(place("s3://BUCKET_NAME/x/hello.py").unwrap().file_name(), Some("hello.py"));
    assert_eq!(place("greengrass:abc/1.0.0/b.zip").unwrap().file_name(), Some("b.zip"));
    assert_eq!(place("docker:public.ecr.aws/x/y:1").unwrap().file_name(), None);
    for (text, wanted) in [
        ("", ArtifactUriError::Empty),
        ("file.zip", ArtifactUriError::NoScheme("file.zip".to_owned())),
        ("ftp://x/y", ArtifactUriError::UnsupportedScheme("ftp".to_owned())),
        ("s3://bucket/", ArtifactUriError::S3("s3://bucket/".to_owned())),
        ("s3://bucket/a/..", ArtifactUriError::S3("s3://bucket/a/..".to_owned())),
        ("greengrass:a/", ArtifactUriError::Malformed("greengrass:a/".to_owned())),
        ("docker:Bad Image", ArtifactUriError::Docker("docker:Bad Image".to_owned())),
    ] {
        assert_eq!(place(text), Err(wanted), "{text}");
    }
    assert_eq!(Permission::default().mode(), 0o440);
}
