//! Inviting people: who may, what it gives, when it ends, what is written down.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Bench, PASSWORD};

const REFUSED: (u16, &str) = (403, "AccessDeniedException");
const HOUR: Duration = Duration::from_secs(3600);

fn allow(actions: Value, resource: &str) -> Value {
    json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": actions, "Resource": resource}})
}

fn token(answer: &Value) -> Value {
    json!({"token": answer["url"].as_str().unwrap().rsplit_once("token=").unwrap().1})
}

/// SEC-65: an invitation is a link for one user, shown once; it opens the enrolment and then nothing, and lists tell of it.
#[tokio::test]
async fn an_invitation_lets_one_person_in() {
    let bench = Bench::start().await;
    let (mut browser, _) = bench.person(&bench.account, "administrator").await;
    bench.user("Anna", allow(json!("iot:*"), "*")).await;
    let made = browser.post("invitations/make", json!({"user": "anna", "hours": 48})).await;
    assert_eq!((made.status, &made.document["user"]), (200, &json!("Anna")), "{}", made.document);
    assert!(made.document["url"].as_str().unwrap().starts_with("https://api:1/console/#/welcome?token="));
    let listed = browser.post("invitations/list", json!({})).await.document;
    assert_eq!(listed["entered"], json!(["administrator"]));
    assert_eq!(listed["invitations"][0]["user"], "Anna");
    assert_eq!(listed["invitations"][0]["by"], "arn:aws:iam::000000000000:user/administrator");
    assert_eq!(listed["invitations"][0]["expires"], made.document["expires"]);
    assert!(!listed.to_string().contains("token"), "the link is told once");

    bench.clock.advance(HOUR * 47);
    let mut anna = bench.browser().await;
    let enrolling = anna.post("sign-in/link", token(&made.document)).await;
    assert_eq!((enrolling.status, &enrolling.document["user"]), (200, &json!("Anna")));
    let again = bench.browser().await.post("sign-in/link", token(&made.document)).await;
    assert_eq!(again.error(), REFUSED, "once");
    let secret = crate::support::unbase32(enrolling.document["secret"].as_str().unwrap());
    let enrolled = anna.post("enrol", json!({"password": PASSWORD, "code": bench.code(&secret)})).await;
    assert_eq!(enrolled.document["state"], "signed-in", "{}", enrolled.document);
    let record = &bench.records(&bench.account, "CreateConsoleLink")[0];
    assert_eq!(record["userIdentity"]["userName"], "administrator");
    assert_eq!(record["requestParameters"]["userName"], "Anna");
    assert!(!record.to_string().contains("token="), "the log holds no link");
}

/// SEC-65: an invitation ends with its time and when it is withdrawn, even while it is being used.
#[tokio::test]
async fn invitations_end() {
    let bench = Bench::start().await;
    let (mut browser, secret) = bench.person(&bench.account, "administrator").await;
    bench.user("anna", allow(json!("iot:*"), "*")).await;
    let anna = json!({"user": "anna", "hours": 1});
    let first = browser.post("invitations/make", anna.clone()).await.document;
    let second = browser.post("invitations/make", anna.clone()).await.document;
    let link = |answer: &Value| token(answer);
    assert_eq!(bench.browser().await.post("sign-in/link", link(&first)).await.error(), REFUSED, "replaced");
    assert_eq!(browser.post("invitations/withdraw", anna.clone()).await.document["invitations"], json!([]));
    assert_eq!(bench.browser().await.post("sign-in/link", link(&second)).await.error(), REFUSED, "withdrawn");
    let missing = (404, "ResourceNotFoundException");
    assert_eq!(browser.post("invitations/withdraw", anna.clone()).await.error(), missing);

    let third = browser.post("invitations/make", anna.clone()).await.document;
    let mut enrolling = bench.browser().await;
    assert_eq!(enrolling.post("sign-in/link", link(&third)).await.document["state"], "enrolling");
    assert_eq!(browser.post("invitations/withdraw", anna.clone()).await.status, 200);
    assert_eq!(enrolling.session().await["state"], "signed-out", "half way in is out again");

    let fourth = browser.post("invitations/make", anna.clone()).await.document;
    bench.clock.advance(HOUR);
    assert_eq!(bench.browser().await.post("sign-in/link", link(&fourth)).await.error(), REFUSED, "too late");
    let sign_in = json!({"user": "administrator", "password": PASSWORD, "code": bench.next_code(&secret)});
    assert_eq!(browser.post("sign-in/password", sign_in).await.status, 200);
    assert_eq!(browser.post("invitations/list", json!({})).await.document["invitations"], json!([]));
    for hours in [json!(0), json!(169), json!("1"), json!(-1)] {
        let answer = browser.post("invitations/make", json!({"user": "anna", "hours": hours})).await;
        assert_eq!((answer.error().1, &answer.document["error"]["field"]), ("ValidationException", &json!("hours")));
    }
    bench.clock.advance(Duration::from_secs(16 * 60));
    assert_eq!(browser.post("invitations/make", anna).await.error().1, "ReauthenticationRequiredException");
    let made = bench.records(&bench.account, "CreateConsoleLink");
    let by_hand = made.iter().filter(|record| record["userIdentity"]["userName"] == "administrator").count();
    assert_eq!((by_hand, bench.records(&bench.account, "DeleteConsoleLink").len()), (4, 2));
}

/// SEC-60, SEC-65: an inviter needs the permissions of a login profile on that very user; refusals are on the record.
#[tokio::test]
async fn only_who_may_invites() {
    let bench = Bench::start().await;
    let users = "arn:aws:iam::000000000000:user/new-*";
    bench.user("helpdesk", allow(json!(["iam:CreateLoginProfile", "iam:GetLoginProfile"]), users)).await;
    bench.user("new-anna", allow(json!("iot:*"), "*")).await;
    bench.user("berta", allow(json!("iot:*"), "*")).await;
    let (mut browser, _) = bench.person(&bench.account, "helpdesk").await;
    for user in ["berta", "administrator", "nobody"] {
        let answer = browser.post("invitations/make", json!({"user": user})).await;
        assert_eq!(answer.error(), REFUSED, "{user}");
    }
    assert_eq!(browser.post("invitations/make", json!({"user": "new-nobody"})).await.error(), (404, "NoSuchEntity"));
    assert_eq!(browser.post("invitations/make", json!({"user": "new-anna"})).await.status, 200);
    assert_eq!(browser.post("invitations/withdraw", json!({"user": "new-anna"})).await.error(), REFUSED);
    let listed = browser.post("invitations/list", json!({})).await.document;
    assert_eq!(listed["invitations"].as_array().unwrap().len(), 1);
    assert_eq!(listed["entered"], json!([]), "others are none of their business");

    let _ = bench.person(&bench.account, "new-anna").await;
    let replaced = browser.post("invitations/make", json!({"user": "new-anna"})).await;
    assert_eq!(replaced.error(), REFUSED, "who is in keeps their ways in: {}", replaced.document);
    let refused = bench.records(&bench.account, "CreateConsoleLink").into_iter();
    let refused: Vec<Value> = refused.filter(|record| record["errorCode"] == "AccessDenied").collect();
    assert_eq!(refused.len(), 4, "berta, the administrator, nobody, new-anna again");
    assert_eq!(refused[0]["userIdentity"]["userName"], "helpdesk");
    assert!(refused[0]["errorMessage"].as_str().unwrap().contains("iam:UpdateLoginProfile"));

    let other = bench.person(&bench.other, "administrator").await.0.post("invitations/list", json!({})).await;
    assert_eq!(other.document, json!({"invitations": [], "entered": ["administrator"]}), "nothing of other accounts");
}
