//! Thing types (CP 4.4), role aliases (CP 4.1) and tags (CP 10.1).

use serde_json::{Value, json};

use crate::bench::Bench;

/// CP 4.4: the life of a type.
#[tokio::test]
async fn types_live_deprecate_and_go() {
    let bench = Bench::new();
    let properties = json!({"thingTypeDescription": "pumps", "searchableAttributes": ["b", "a"]});
    let input = json!({"thingTypeName": "pump", "thingTypeProperties": properties});
    let created = bench.ok("CreateThingType", input.clone()).await;
    assert_eq!(bench.ok("CreateThingType", input).await, created);
    let error =
        bench.refused("CreateThingType", json!({"thingTypeName": "pump"}), "ResourceAlreadyExistsException").await;
    assert_eq!(error.members["resourceId"], "pump");
    let four = json!({"thingTypeName": "x", "thingTypeProperties": {"searchableAttributes": ["a", "b", "c", "d"]}});
    bench.refused("CreateThingType", four, "InvalidRequestException").await;

    let name = json!({"thingTypeName": "pump"});
    let update = |properties: Value| json!({"thingTypeName": "pump", "thingTypeProperties": properties});
    bench.ok("UpdateThingType", update(json!({"thingTypeDescription": "big pumps"}))).await;
    bench.refused("UpdateThingType", update(json!({"searchableAttributes": ["z"]})), "InvalidRequestException").await;
    let described = bench.ok("DescribeThingType", name.clone()).await;
    assert_eq!(
        described["thingTypeProperties"],
        json!({"thingTypeDescription": "big pumps", "searchableAttributes": ["a", "b"]})
    );
    assert_eq!(described["thingTypeMetadata"]["deprecated"], false);

    bench.ok("CreateThing", json!({"thingName": "t", "thingTypeName": "pump"})).await;
    bench.refused("DeleteThingType", name.clone(), "InvalidRequestException").await;
    bench.ok("DeprecateThingType", name.clone()).await;
    assert_eq!(bench.ok("DescribeThingType", name.clone()).await["thingTypeMetadata"]["deprecated"], true);
    bench.advance(299);
    bench.ok("DeprecateThingType", name.clone()).await;
    bench.refused("DeleteThingType", name.clone(), "InvalidRequestException").await;
    bench.advance(1);
    let error = bench.refused("DeleteThingType", name.clone(), "InvalidRequestException").await;
    assert_eq!(error.message, "Thing type pump is still used by things");
    bench.ok("DeprecateThingType", json!({"thingTypeName": "pump", "undoDeprecate": true})).await;
    bench.ok("UpdateThing", json!({"thingName": "t", "removeThingType": true})).await;
    bench.refused("DeleteThingType", name.clone(), "InvalidRequestException").await;
    bench.ok("DeprecateThingType", name.clone()).await;
    bench.advance(300);
    bench.ok("DeleteThingType", name.clone()).await;
    for operation in ["DescribeThingType", "UpdateThingType", "DeprecateThingType", "DeleteThingType"] {
        bench.refused(operation, name.clone(), "ResourceNotFoundException").await;
    }
}

/// CP 1.6: types are listed by name, or one of them.
#[tokio::test]
async fn types_are_listed() {
    let bench = Bench::new();
    for name in ["c", "a", "b"] {
        bench.ok("CreateThingType", json!({"thingTypeName": name})).await;
    }
    let listed = bench.pages("ListThingTypes", json!({}), "thingTypes", 2).await;
    let names: Vec<&str> = listed.iter().map(|type_| type_["thingTypeName"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(bench.pages("ListThingTypes", json!({"thingTypeName": "b"}), "thingTypes", 2).await.len(), 1);
}

/// CP 10.1: tags of what can carry them; at most fifty, none of them reserved.
#[tokio::test]
async fn resources_are_tagged() {
    let bench = Bench::new();
    let tag = |key: &str, value: &str| json!({"Key": key, "Value": value});
    let tags = json!([tag("b", "2"), tag("a", "1")]);
    let arn = bench.ok("CreateThingGroup", json!({"thingGroupName": "g", "tags": tags})).await["thingGroupArn"].clone();
    let list = json!({"resourceArn": arn});
    assert_eq!(bench.ok("ListTagsForResource", list.clone()).await["tags"], json!([tag("a", "1"), tag("b", "2")]));
    bench.ok("TagResource", json!({"resourceArn": arn, "tags": [tag("a", "9"), tag("ä ö", "")]})).await;
    bench.ok("UntagResource", json!({"resourceArn": arn, "tagKeys": ["b", "never"]})).await;
    assert_eq!(bench.ok("ListTagsForResource", list.clone()).await["tags"], json!([tag("a", "9"), tag("ä ö", "")]));
    let many: Vec<Value> = (0..49).map(|n| tag(&format!("k{n}"), "")).collect();
    bench.refused("TagResource", json!({"resourceArn": arn, "tags": many}), "LimitExceededException").await;
    bench.ok("TagResource", json!({"resourceArn": arn, "tags": many[..48]})).await;
    for bad in
        [json!([tag("aws:x", "")]), json!([tag("a*b", "")]), json!([tag("a", ""), tag("a", "")]), json!([tag("", "")])]
    {
        bench.refused("TagResource", json!({"resourceArn": arn, "tags": bad}), "InvalidRequestException").await;
    }
    bench.ok("CreateThing", json!({"thingName": "t"})).await;
    for (arn, code) in [
        ("arn:aws:iot:us-east-1:000000000000:thing/t", "InvalidRequestException"),
        ("arn:aws:iot:us-east-1:000000000000:thinggroup/none", "ResourceNotFoundException"),
        ("arn:aws:iot:us-east-1:111111111111:thinggroup/g", "InvalidRequestException"),
        ("nonsense", "InvalidRequestException"),
    ] {
        bench.refused("ListTagsForResource", json!({"resourceArn": arn}), code).await;
    }
    bench.ok("DeleteThingGroup", json!({"thingGroupName": "g"})).await;
    bench.ok("CreateThingGroup", json!({"thingGroupName": "g"})).await;
    assert_eq!(bench.ok("ListTagsForResource", list).await["tags"], json!([]), "a new resource has no old tags");
}

/// CP 4.1: role aliases name a role of the account for a bounded time.
#[tokio::test]
async fn role_aliases_are_managed() {
    let bench = Bench::new();
    let role = "arn:aws:iam::000000000000:role/Devices";
    let created = bench.ok("CreateRoleAlias", json!({"roleAlias": "alias", "roleArn": role})).await;
    assert_eq!(created["roleAliasArn"], "arn:aws:iot:us-east-1:000000000000:rolealias/alias");
    bench
        .refused("CreateRoleAlias", json!({"roleAlias": "alias", "roleArn": role}), "ResourceAlreadyExistsException")
        .await;
    for (input, code) in [
        (json!({"roleAlias": "b", "roleArn": role, "credentialDurationSeconds": 899}), "InvalidRequestException"),
        (json!({"roleAlias": "b", "roleArn": role, "credentialDurationSeconds": 43_201}), "InvalidRequestException"),
        (json!({"roleAlias": "b", "roleArn": "arn:aws:iam::111111111111:role/Devices"}), "InvalidRequestException"),
        (json!({"roleAlias": "b", "roleArn": "arn:aws:iam::000000000000:user/anna"}), "InvalidRequestException"),
    ] {
        bench.refused("CreateRoleAlias", input, code).await;
    }
    bench.advance(10);
    bench.ok("UpdateRoleAlias", json!({"roleAlias": "alias", "credentialDurationSeconds": 900})).await;
    let described = bench.ok("DescribeRoleAlias", json!({"roleAlias": "alias"})).await["roleAliasDescription"].clone();
    assert_eq!(described["roleArn"], role);
    assert_eq!(described["credentialDurationSeconds"], 900);
    assert_eq!(described["owner"], "000000000000");
    assert!(described["lastModifiedDate"].as_f64() > described["creationDate"].as_f64());
    for name in ["c", "b"] {
        bench.ok("CreateRoleAlias", json!({"roleAlias": name, "roleArn": role})).await;
    }
    assert_eq!(bench.pages("ListRoleAliases", json!({}), "roleAliases", 2).await, ["alias", "b", "c"]);
    let descending = json!({"ascendingOrder": false});
    assert_eq!(bench.pages("ListRoleAliases", descending, "roleAliases", 2).await, ["c", "b", "alias"]);
    bench.ok("DeleteRoleAlias", json!({"roleAlias": "alias"})).await;
    for operation in ["DescribeRoleAlias", "UpdateRoleAlias", "DeleteRoleAlias"] {
        bench.refused(operation, json!({"roleAlias": "alias"}), "ResourceNotFoundException").await;
    }
}
