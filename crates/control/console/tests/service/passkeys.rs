//! Passkeys: enrolling, signing in, proving again, keeping; and every answer that must not be accepted.

use std::time::Duration;

use serde_json::{Value, json};

use crate::authenticator::{MAY_BE_COPIED, ORIGIN, PRESENT, SoftKey, VERIFIED};
use crate::support::{Bench, Browser, PASSWORD, nothing, token_of};

const REFUSED: (u16, &str) = (403, "AccessDeniedException");
const INVALID: (u16, &str) = (400, "ValidationException");
/// Longer than any delay of a user who failed.
const CALM: Duration = Duration::from_secs(61);

async fn enrolling<'b>(bench: &'b Bench, user: &str) -> Browser<'b> {
    let token = token_of(bench.console.link_for(&bench.account, user).await.unwrap().unwrap());
    let mut browser = bench.browser().await;
    let answer = browser.post("sign-in/link", json!({"token": token})).await;
    assert_eq!(answer.document["state"], "enrolling", "{}", answer.document);
    browser
}

/// Somebody who enrolled with a passkey.
async fn person<'b>(bench: &'b Bench, user: &str) -> (Browser<'b>, SoftKey) {
    let mut browser = enrolling(bench, user).await;
    let options = browser.challenge("enrol").await;
    let mut key = SoftKey::new();
    let answer = browser.post("enrol/passkey", key.register(&options, "laptop")).await;
    assert_eq!(answer.document["state"], "signed-in", "{}", answer.document);
    (browser, key)
}

/// Outcome and reason of the newest record of an event.
fn newest(bench: &Bench, event: &str) -> (Value, Value) {
    let record = bench.records(&bench.account, event).swap_remove(0);
    (record["responseElements"][event].clone(), record["errorMessage"].clone())
}

/// SEC-64, SEC-65: the first link enrols with a passkey alone; the passkey then tells by itself who signs in.
#[tokio::test]
async fn a_passkey_enrols_and_signs_in() {
    let bench = Bench::start().await;
    let mut browser = enrolling(&bench, "administrator").await;
    let options = browser.challenge("enrol").await;
    assert_eq!((&options["rp"]["id"], &options["attestation"]), (&json!("api"), &json!("none")));
    assert_eq!((&options["userVerification"], &options["residentKey"]), (&json!("required"), &json!("required")));
    assert_eq!(options["algorithms"], json!([-7, -8, -257]));
    let mut key = SoftKey::new();
    let answer = browser.post("enrol/passkey", key.register(&options, "laptop")).await;
    assert_eq!(answer.document["methods"], json!({"password": false, "passkeys": 1}), "{}", answer.document);
    assert!(bench.console.first_link().await.unwrap().is_none(), "somebody is in");
    assert_eq!(browser.call("sts", "GetCallerIdentity", json!({})).await.status, 200);
    let (before, csrf) = (browser.cookie.clone(), browser.csrf.clone());

    let signed_out = browser.post("sign-out", json!({})).await.document;
    assert_eq!(signed_out["firstRun"], false);
    assert_eq!(signed_out["passkeys"], json!({"rpId": "api", "origin": ORIGIN}));
    let answer = browser.sign_in_with(&mut key).await;
    assert_eq!(answer.document["user"], "administrator", "{}", answer.document);
    assert!(before != browser.cookie && csrf != browser.csrf, "tokens change with rights (SEC-97)");
    let record = &bench.records(&bench.account, "ConsoleLogin")[0];
    assert_eq!(record["additionalEventData"]["SignInMethod"], "passkey");
    assert_eq!(record["additionalEventData"]["PasskeyName"], "laptop");
    assert_eq!(newest(&bench, "ConsoleEnrolment").0, "Success");

    bench.clock.advance(Duration::from_secs(16 * 60));
    let delete = json!({"UserName": "nobody"});
    assert_eq!(browser.call("iam", "DeleteUser", delete.clone()).await.error().1, "ReauthenticationRequiredException");
    let options = browser.challenge("again").await;
    assert_eq!(options["allow"], json!([key.id_text()]));
    assert_eq!(browser.post("reauthenticate/passkey", key.sign(&options)).await.status, 200);
    assert_eq!(browser.call("iam", "DeleteUser", delete).await.error().1, "NoSuchEntity");

    let (_, secret) = bench.person(&bench.account, "administrator").await;
    bench.clock.advance(CALM);
    assert_eq!(bench.browser().await.sign_in_with(&mut key).await.error(), REFUSED, "a link begins anew");
    assert_eq!(newest(&bench, "ConsoleLogin").1, "the passkey is not known");
    bench.clock.advance(CALM);
    let credentials = json!({"user": "administrator", "password": PASSWORD, "code": bench.next_code(&secret)});
    assert_eq!(bench.browser().await.post("sign-in/password", credentials).await.status, 200);
}

/// SEC-64: a registration counts only from our page, for our challenge, with its person checked, with an algorithm we know.
#[tokio::test]
async fn registrations_that_are_refused() {
    type Bend = fn(&mut SoftKey);
    let bench = Bench::start().await;
    let mut browser = enrolling(&bench, "administrator").await;
    let rows: [(&str, Bend); 8] = [
        ("the page that asked is not this console's", |key| key.origin = "https://evil.example".to_owned()),
        ("the page that asked is not this console's", |key| key.origin = "https://api:2".to_owned()),
        ("the page that asked is not this console's", |key| key.client = json!({"crossOrigin": true})),
        ("the answer is of another kind", |key| key.client = json!({"type": "webauthn.get"})),
        ("the credential is of another host", |key| key.host = "evil.example".to_owned()),
        ("the authenticator did not check who was there", |key| key.flags = PRESENT),
        ("nobody was there", |key| key.flags = VERIFIED),
        ("the algorithm is not one of those asked for", |key| key.algorithm = -47),
    ];
    for (reason, bend) in rows {
        bench.clock.advance(CALM);
        let options = browser.challenge("enrol").await;
        let mut key = SoftKey::new();
        bend(&mut key);
        let answer = browser.post("enrol/passkey", key.register(&options, "laptop")).await;
        assert_eq!(answer.error(), INVALID, "{reason}: {}", answer.document);
        assert_eq!(newest(&bench, "ConsoleEnrolment"), (json!("Failure"), json!(reason)));
    }
    let of_sign_in = browser.challenge("sign-in").await;
    let of_another = enrolling(&bench, "administrator").await.challenge("enrol").await;
    for options in [of_sign_in, of_another] {
        bench.clock.advance(CALM);
        let answer = browser.post("enrol/passkey", SoftKey::new().register(&options, "laptop")).await;
        assert_eq!(answer.error(), INVALID, "a challenge for another purpose or browser");
    }
    assert_eq!(browser.session().await["state"], "enrolling", "nothing came of it");
    for name in ["", "  ", "a\u{7}b", &"x".repeat(65)] {
        let options = browser.challenge("enrol").await;
        let answer = browser.post("enrol/passkey", SoftKey::new().register(&options, name)).await;
        assert_eq!((answer.error(), &answer.document["error"]["field"]), (INVALID, &json!("name")));
    }
}

/// SEC-64: an assertion counts once, from our page, for this browser's challenge, of an untouched passkey of its person.
#[tokio::test]
async fn assertions_that_are_refused() {
    type Bend = fn(&mut SoftKey);
    let bench = Bench::start().await;
    let (_, mut key) = person(&bench, "administrator").await;
    key.counter = 7;
    assert_eq!(bench.browser().await.sign_in_with(&mut key).await.status, 200);
    let counter = key.counter;
    let rows: [(&str, Bend); 10] = [
        ("the page that asked is not this console's", |key| key.origin = "https://api:2".to_owned()),
        ("the page that asked is not this console's", |key| key.client = json!({"topOrigin": "https://evil.example"})),
        ("the answer is of another kind", |key| key.client = json!({"type": "webauthn.create"})),
        ("the challenge is not one of this browser's, too old, or answered already", |key| {
            key.client = json!({"challenge": "AAAA"});
        }),
        ("the client data cannot be read", |key| key.client = json!({"challenge": 1})),
        ("the credential is of another host", |key| key.host = "evil.example".to_owned()),
        ("the authenticator did not check who was there", |key| key.flags = PRESENT),
        ("nobody was there", |key| key.flags = VERIFIED),
        ("the passkey says otherwise than before whether it may be copied", |key| key.flags |= MAY_BE_COPIED),
        ("the counter of the passkey went back: it may have been copied", |key| key.counter -= 1),
    ];
    let mut browser = bench.browser().await;
    for (reason, bend) in rows {
        bench.clock.advance(Duration::from_secs(1_801));
        key.counter = counter;
        let (origin, host, flags) = (key.origin.clone(), key.host.clone(), key.flags);
        bend(&mut key);
        let answer = browser.sign_in_with(&mut key).await;
        (key.origin, key.host, key.flags, key.client) = (origin, host, flags, json!({}));
        assert_eq!(answer.error(), REFUSED, "{reason}");
        assert_eq!(answer.document["error"]["message"], "The passkey was not accepted.", "strangers learn nothing");
        assert_eq!(newest(&bench, "ConsoleLogin"), (json!("Failure"), json!(reason)));
    }

    bench.clock.advance(Duration::from_secs(1_801));
    key.counter = counter;
    let options = browser.challenge("sign-in").await;
    let mut answer = key.sign(&options);
    answer["authenticatorData"] = SoftKey::new().sign(&options)["authenticatorData"].clone();
    assert_eq!(browser.post("sign-in/passkey", answer).await.error(), REFUSED);
    assert_eq!(newest(&bench, "ConsoleLogin").1, "the signature is wrong");
    let spent = key.sign(&options);
    assert_eq!(browser.post("sign-in/passkey", spent).await.error(), REFUSED, "a failure spends the challenge too");

    bench.clock.advance(CALM);
    let options = browser.challenge("sign-in").await;
    bench.clock.advance(Duration::from_secs(181));
    assert_eq!(browser.post("sign-in/passkey", key.sign(&options)).await.error(), REFUSED, "three minutes");

    bench.clock.advance(CALM);
    let options = browser.challenge("sign-in").await;
    let stolen = (browser.cookie.clone(), browser.csrf.clone());
    let answer = key.sign(&options);
    assert_eq!(browser.post("sign-in/passkey", answer.clone()).await.status, 200);
    let mut thief = bench.browser().await;
    assert_eq!(thief.post("sign-in/passkey", answer.clone()).await.error(), REFUSED, "another browser");
    (thief.cookie, thief.csrf) = stolen;
    bench.clock.advance(CALM);
    assert_eq!(thief.post("sign-in/passkey", answer).await.error(), REFUSED, "the same answer twice");
    bench.clock.advance(CALM);
    assert_eq!(bench.browser().await.sign_in_with(&mut SoftKey::new()).await.error(), REFUSED, "nobody's passkey");
}

/// SEC-64, SEC-66: a passkey speaks for its own person only, whatever it says of itself.
#[tokio::test]
async fn passkeys_of_others() {
    let bench = Bench::start().await;
    bench.user("anna", nothing()).await;
    let (mut administrator, mut theirs) = person(&bench, "administrator").await;
    let (mut anna, mut own) = person(&bench, "anna").await;

    let options = administrator.challenge("again").await;
    assert_eq!(administrator.post("reauthenticate/passkey", own.sign(&options)).await.error(), REFUSED);
    let options = administrator.challenge("again").await;
    let handle = std::mem::replace(&mut own.handle, theirs.handle.clone());
    assert_eq!(administrator.post("reauthenticate/passkey", own.sign(&options)).await.error(), REFUSED);
    assert_eq!(bench.browser().await.sign_in_with(&mut own).await.error(), REFUSED, "anna's key, another's handle");
    own.handle = Value::Null;
    assert_eq!(bench.browser().await.sign_in_with(&mut own).await.error(), REFUSED, "nobody named");
    own.handle = handle;
    let reasons: Vec<Value> =
        bench.records(&bench.account, "ConsoleLogin").iter().map(|record| record["errorMessage"].clone()).collect();
    assert_eq!(reasons, ["the passkey is somebody else's", "the passkey is somebody else's"]);

    bench.clock.advance(CALM);
    let id = json!({"id": theirs.id_text(), "name": "mine now"});
    let missing = (404, "ResourceNotFoundException");
    assert_eq!(anna.post("my/passkey-remove", id.clone()).await.error(), missing);
    assert_eq!(anna.post("my/passkey-rename", id).await.error(), missing);
    let twin = anna.add(&mut theirs, "twin").await;
    assert_eq!(twin.error(), INVALID, "an id is the installation's only one: {}", twin.document);

    assert_eq!(bench.browser().await.sign_in_with(&mut own).await.document["user"], "anna");
    bench.iam("DeleteUserPolicy", json!({"UserName": "anna", "PolicyName": "only"})).await;
    bench.iam("DeleteUser", json!({"UserName": "anna"})).await;
    assert_eq!(bench.browser().await.sign_in_with(&mut own).await.error(), REFUSED, "gone");
    bench.iam("CreateUser", json!({"UserName": "anna"})).await;
    bench.clock.advance(CALM);
    assert_eq!(bench.browser().await.sign_in_with(&mut own).await.error(), REFUSED, "another Anna");
}

/// SEC-64: people keep their own ways in; the last one stays, changes are fresh and recorded and end other sessions.
#[tokio::test]
async fn people_keep_their_passkeys() {
    let bench = Bench::start().await;
    let (mut browser, mut first) = person(&bench, "administrator").await;
    let remove = |key: &SoftKey| json!({"id": key.id_text()});
    let last = (409, "DeleteConflictException");
    assert_eq!(browser.post("my/passkey-remove", remove(&first)).await.error(), last);
    assert_eq!(browser.post("my/password-remove", json!({})).await.error(), INVALID, "there is none");

    let mut second = SoftKey::new();
    let mut elsewhere = bench.browser().await;
    assert_eq!(elsewhere.sign_in_with(&mut first).await.status, 200);
    bench.clock.advance(Duration::from_secs(1));
    let added = browser.add(&mut second, " key ring ").await;
    assert_eq!(added.status, 200, "{}", added.document);
    assert_eq!(elsewhere.call("sts", "GetCallerIdentity", json!({})).await.status, 401, "other sessions end");
    assert_eq!(browser.call("sts", "GetCallerIdentity", json!({})).await.status, 200);
    let rename = json!({"id": second.id_text(), "name": "blue key"});
    let listed = browser.post("my/passkey-rename", rename).await.document;
    let names: Vec<&str> =
        listed["passkeys"].as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap()).collect();
    assert_eq!((names, &listed["limit"]), (vec!["laptop", "blue key"], &json!(10)));
    assert_eq!(browser.post("my/passkey-remove", remove(&first)).await.status, 200);
    assert_eq!(browser.post("my/passkey-remove", remove(&second)).await.error(), last);
    assert_eq!(bench.browser().await.sign_in_with(&mut first).await.error(), REFUSED, "it is gone");

    let begun = browser.post("my/password-begin", json!({})).await.document;
    let secret = crate::support::unbase32(begun["secret"].as_str().unwrap());
    let wrong = json!({"password": PASSWORD, "code": "000000"});
    assert_eq!(browser.post("my/password-set", wrong).await.error(), REFUSED);
    let right = json!({"password": PASSWORD, "code": bench.code(&secret)});
    assert_eq!(browser.post("my/password-set", right.clone()).await.document["password"], true);
    assert_eq!(browser.post("my/password-set", right).await.error().1, "ReauthenticationRequiredException");
    assert_eq!(browser.post("my/passkey-remove", remove(&second)).await.status, 200, "the password stays");
    assert_eq!(browser.post("my/password-remove", json!({})).await.error(), last);

    for n in 0..10 {
        assert_eq!(browser.add(&mut SoftKey::new(), &format!("key {n}")).await.status, 200);
    }
    let eleventh = browser.add(&mut SoftKey::new(), "eleventh").await;
    assert_eq!(eleventh.error(), (409, "LimitExceededException"));
    assert_eq!(browser.post("my/password-remove", json!({})).await.status, 200);

    bench.clock.advance(Duration::from_secs(15 * 60));
    let stale = (403, "ReauthenticationRequiredException");
    for (verb, body) in [
        ("passkey/challenge", json!({"purpose": "add"})),
        ("my/passkey-remove", remove(&second)),
        ("my/password-begin", json!({})),
        ("my/password-remove", json!({})),
    ] {
        assert_eq!(browser.post(verb, body).await.error(), stale, "{verb}");
    }
    for (event, successes) in [
        ("AddPasskey", 11),
        ("RenamePasskey", 1),
        ("RemovePasskey", 2),
        ("SetConsolePassword", 1),
        ("RemoveConsolePassword", 1),
    ] {
        let records = bench.records(&bench.account, event);
        let done = records.iter().filter(|record| record["responseElements"][event] == "Success").count();
        assert_eq!(done, successes, "{event}");
    }
    let records = bench.records(&bench.account, "RemovePasskey");
    let mut outcomes: Vec<(&str, &str)> = records
        .iter()
        .map(|record| (&record["requestParameters"]["name"], &record["responseElements"]["RemovePasskey"]))
        .map(|(name, outcome)| (name.as_str().unwrap(), outcome.as_str().unwrap()))
        .collect();
    // Within a second, what was refused may be written down after what was done.
    outcomes.sort_unstable();
    let (laptop, key, done, refused) = ("laptop", "blue key", "Success", "Failure");
    assert_eq!(outcomes, [(key, refused), (key, done), (laptop, refused), (laptop, done)], "refusals, too");

    let bench = bench.restart().await;
    let listed = bench.browser().await.session().await;
    assert_eq!(listed["firstRun"], false, "passkeys outlive a restart");
}

/// SEC-97: who is not signed in, or enrolling, asks for nothing but a challenge to sign in.
#[tokio::test]
async fn strangers_get_no_options() {
    let bench = Bench::start().await;
    let mut browser = bench.browser().await;
    let nobody = (401, "UnauthenticatedException");
    for purpose in ["again", "enrol", "add"] {
        assert_eq!(browser.post("passkey/challenge", json!({"purpose": purpose})).await.error(), nobody, "{purpose}");
    }
    assert_eq!(browser.post("passkey/challenge", json!({"purpose": "other"})).await.error(), INVALID);
    let options = browser.challenge("sign-in").await;
    assert_eq!(options["allow"], json!([]), "nobody's passkeys are told");
    for verb in ["my/methods", "my/passkey-add", "my/passkey-remove", "my/password-begin", "reauthenticate/passkey"] {
        assert_eq!(browser.post(verb, json!({})).await.error(), nobody, "{verb}");
    }
    for body in [json!({}), json!({"id": "not base64!"}), json!({"id": 1})] {
        assert_eq!(browser.post("sign-in/passkey", body).await.error(), INVALID);
    }
}
