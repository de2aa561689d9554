//! Thing groups: hierarchies, memberships, limits (CP 4.4).

use serde_json::{Value, json};

use crate::bench::Bench;

async fn group(bench: &Bench, name: &str, parent: Option<&str>) {
    let mut input = json!({"thingGroupName": name});
    if let Some(parent) = parent {
        input["parentGroupName"] = parent.into();
    }
    bench.ok("CreateThingGroup", input).await;
}

fn names(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["groupName"].as_str().unwrap()).collect()
}

/// CP 4.4: properties, path from the root, versions; repeated creation; the parent is fixed.
#[tokio::test]
async fn groups_are_described_with_their_path() {
    let bench = Bench::new();
    group(&bench, "plant", None).await;
    group(&bench, "hall", Some("plant")).await;
    let properties = json!({"thingGroupDescription": "line four", "attributePayload": {"attributes": {"n": "4"}}});
    let input = json!({"thingGroupName": "line", "parentGroupName": "hall", "thingGroupProperties": properties});
    let created = bench.ok("CreateThingGroup", input.clone()).await;
    assert_eq!(bench.ok("CreateThingGroup", input.clone()).await, created);
    let described = bench.ok("DescribeThingGroup", json!({"thingGroupName": "line"})).await;
    assert_eq!(described["thingGroupId"], created["thingGroupId"]);
    assert_eq!(described["thingGroupProperties"], properties);
    assert_eq!(described["version"], 1);
    let metadata = &described["thingGroupMetadata"];
    assert_eq!(metadata["parentGroupName"], "hall");
    assert_eq!(names(metadata["rootToParentThingGroups"].as_array().unwrap()), ["plant", "hall"]);

    let mut moved = input;
    moved["parentGroupName"] = "plant".into();
    let error = bench.refused("CreateThingGroup", moved, "ResourceAlreadyExistsException").await;
    assert_eq!(error.members["resourceArn"], created["thingGroupArn"]);
    let update = json!({"thingGroupName": "line", "expectedVersion": 1,
        "thingGroupProperties": {"attributePayload": {"attributes": {"m": "5"}, "merge": true}}});
    assert_eq!(bench.ok("UpdateThingGroup", update.clone()).await["version"], 2);
    bench.refused("UpdateThingGroup", update, "VersionConflictException").await;
    let described = bench.ok("DescribeThingGroup", json!({"thingGroupName": "line"})).await;
    assert_eq!(described["thingGroupProperties"]["attributePayload"]["attributes"], json!({"m": "5", "n": "4"}));
    assert_eq!(described["thingGroupProperties"]["thingGroupDescription"], "line four");
    bench.refused("DescribeThingGroup", json!({"thingGroupName": "x"}), "ResourceNotFoundException").await;
    let orphan = json!({"thingGroupName": "o", "parentGroupName": "x"});
    bench.refused("CreateThingGroup", orphan, "InvalidRequestException").await;
}

/// CP 4.4: seven levels, a hundred children, and no deletion of a parent.
#[tokio::test]
async fn hierarchies_are_bounded() {
    let bench = Bench::new();
    group(&bench, "l1", None).await;
    for level in 2..=7 {
        group(&bench, &format!("l{level}"), Some(&format!("l{}", level - 1))).await;
    }
    let eighth = json!({"thingGroupName": "l8", "parentGroupName": "l7"});
    bench.refused("CreateThingGroup", eighth, "InvalidRequestException").await;
    for child in 1..100 {
        group(&bench, &format!("c{child}"), Some("l1")).await;
    }
    let more = json!({"thingGroupName": "c100", "parentGroupName": "l1"});
    bench.refused("CreateThingGroup", more, "InvalidRequestException").await;
    bench.refused("DeleteThingGroup", json!({"thingGroupName": "l6"}), "InvalidRequestException").await;
    bench
        .refused("DeleteThingGroup", json!({"thingGroupName": "l7", "expectedVersion": 9}), "VersionConflictException")
        .await;
    bench.ok("DeleteThingGroup", json!({"thingGroupName": "l7"})).await;
    bench.ok("DeleteThingGroup", json!({"thingGroupName": "l7"})).await;
    bench.ok("DeleteThingGroup", json!({"thingGroupName": "l6"})).await;
}

/// CP 4.4: lists of groups by parent, prefix and depth.
#[tokio::test]
async fn groups_are_listed_by_parent_prefix_and_depth() {
    let bench = Bench::new();
    for (name, parent) in [("a", None), ("ab", Some("a")), ("abc", Some("ab")), ("b", None), ("ba", Some("b"))] {
        group(&bench, name, parent).await;
    }
    let cases: [(Value, &[&str]); 7] = [
        (json!({}), &["a", "ab", "abc", "b", "ba"]),
        (json!({"recursive": false}), &["a", "b"]),
        (json!({"namePrefixFilter": "ab"}), &["ab", "abc"]),
        (json!({"parentGroup": "a"}), &["ab", "abc"]),
        (json!({"parentGroup": "a", "recursive": false}), &["ab"]),
        (json!({"parentGroup": "a", "namePrefixFilter": "abc"}), &["abc"]),
        (json!({"parentGroup": "ba"}), &[]),
    ];
    for (input, wanted) in cases {
        for page in [1, 2, 100] {
            let found = bench.pages("ListThingGroups", input.clone(), "thingGroups", page).await;
            assert_eq!(names(&found), wanted, "{input}");
        }
    }
    bench.refused("ListThingGroups", json!({"parentGroup": "zz"}), "ResourceNotFoundException").await;
}

/// CP 4.4: a thing is in at most ten groups, never twice in one hierarchy; lists follow.
#[tokio::test]
async fn memberships_follow_the_rules() {
    let bench = Bench::new();
    for number in 0..11 {
        group(&bench, &format!("g{number:02}"), None).await;
    }
    group(&bench, "child", Some("g00")).await;
    group(&bench, "sibling", Some("g00")).await;
    bench.ok("CreateThing", json!({"thingName": "t"})).await;
    bench.ok("CreateThing", json!({"thingName": "u"})).await;
    let add = |group: &str| json!({"thingName": "t", "thingGroupName": group});
    for _ in 0..2 {
        bench.ok("AddThingToThingGroup", add("child")).await;
    }
    for same_hierarchy in ["g00", "sibling"] {
        bench.refused("AddThingToThingGroup", add(same_hierarchy), "InvalidRequestException").await;
    }
    for number in 1..10 {
        bench.ok("AddThingToThingGroup", add(&format!("g{number:02}"))).await;
    }
    bench.refused("AddThingToThingGroup", add("g10"), "InvalidRequestException").await;
    let groups = bench.pages("ListThingGroupsForThing", json!({"thingName": "t"}), "thingGroups", 3).await;
    assert_eq!(groups.len(), 10);

    let by_arn = json!({
        "thingArn": "arn:aws:iot:us-east-1:000000000000:thing/u",
        "thingGroupArn": "arn:aws:iot:us-east-1:000000000000:thinggroup/g00",
    });
    bench.ok("AddThingToThingGroup", by_arn.clone()).await;
    let members = |recursive: bool| json!({"thingGroupName": "g00", "recursive": recursive});
    assert_eq!(bench.pages("ListThingsInThingGroup", members(false), "things", 1).await, ["u"]);
    let mut all = bench.pages("ListThingsInThingGroup", members(true), "things", 1).await;
    all.sort_by_key(|name| name.as_str().unwrap().to_owned());
    assert_eq!(all, ["t", "u"]);
    for _ in 0..2 {
        bench.ok("RemoveThingFromThingGroup", by_arn.clone()).await;
    }
    assert_eq!(bench.pages("ListThingsInThingGroup", members(false), "things", 9).await, [] as [&str; 0]);

    let update = json!({"thingName": "t", "thingGroupsToAdd": ["g10"], "thingGroupsToRemove": ["g01"]});
    bench.ok("UpdateThingGroupsForThing", update).await;
    let atomic = json!({"thingName": "t", "thingGroupsToAdd": ["g01", "g00"], "thingGroupsToRemove": ["g02"]});
    bench.refused("UpdateThingGroupsForThing", atomic, "InvalidRequestException").await;
    let groups = bench.pages("ListThingGroupsForThing", json!({"thingName": "t"}), "thingGroups", 100).await;
    assert!(names(&groups).contains(&"g02") && !names(&groups).contains(&"g01"), "all or nothing: {groups:?}");

    for (operation, input, code) in [
        ("AddThingToThingGroup", json!({"thingName": "v", "thingGroupName": "g10"}), "ResourceNotFoundException"),
        ("AddThingToThingGroup", json!({"thingName": "u", "thingGroupName": "x"}), "ResourceNotFoundException"),
        ("AddThingToThingGroup", json!({"thingName": "u"}), "InvalidRequestException"),
        ("RemoveThingFromThingGroup", json!({"thingName": "u", "thingGroupName": "x"}), "ResourceNotFoundException"),
        ("ListThingsInThingGroup", json!({"thingGroupName": "x"}), "ResourceNotFoundException"),
        ("ListThingGroupsForThing", json!({"thingName": "x"}), "ResourceNotFoundException"),
        (
            "UpdateThingGroupsForThing",
            json!({"thingName": "t", "thingGroupsToAdd": ["g05"], "thingGroupsToRemove": ["g05"]}),
            "InvalidRequestException",
        ),
    ] {
        bench.refused(operation, input, code).await;
    }
}
