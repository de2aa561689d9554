//! `ListThings` with its filters.
//!
//! Each combination of filters has a statement that walks an index in the order of its page key, so that a page costs
//! the same at the start and at the end of a million things.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::{Row, params};
use marram_types::ThingTypeName;
use serde_json::{Map, Value};

use crate::attribute;
use crate::input::Input;
use crate::page::{BEHIND_ALL, Style};
use crate::realm::Realm;
use crate::service::Registry;

const BY_NAME: &str = "SELECT name, type, attributes, version FROM iot_thing
    WHERE account = $1 AND region = $2 AND name > $3 ORDER BY name LIMIT $4";
const BY_TYPE: &str = "SELECT name, type, attributes, version FROM iot_thing
    WHERE account = $1 AND region = $2 AND type = $5 AND name > $3 ORDER BY name LIMIT $4";
const BY_ATTRIBUTE: &str = "SELECT t.name, t.type, t.attributes, t.version, a.value FROM iot_thing_attribute a
    JOIN iot_thing t ON t.account = a.account AND t.region = a.region AND t.name = a.thing
    WHERE a.account = $1 AND a.region = $2 AND a.attribute = $5 AND a.value >= $6 AND a.value < $7
      AND (a.value, a.thing) > ($8, $3) AND ($9 = '' OR t.type = $9)
    ORDER BY a.value, a.thing LIMIT $4";

/// Lists things by name, type, or attribute (exact value, prefix, or any).
pub(crate) async fn list_things(registry: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    drop(ctx.authorize(ctx.operation.iam_action, "*", |_| ())?);
    let realm = Realm::of(ctx);
    let type_name = input.parse_opt::<ThingTypeName>("thingTypeName")?;
    let type_name = type_name.as_ref().map_or("", ThingTypeName::as_str);
    let attribute = input.text("attributeName").unwrap_or("");
    let value = input.text("attributeValue").unwrap_or("");
    let prefix = input.flag("usePrefixAttributeValue");
    if attribute.is_empty() && !value.is_empty() {
        return Err(ApiError::invalid_request("attributeValue needs an attributeName"));
    }
    let filter = [type_name, attribute, value, if prefix { "prefix" } else { "" }];
    let page = registry.tokens().page(ctx, &input, Style::NextToken, &filter)?;
    let account = &realm.account;
    let region = &realm.region;
    let rows = ctx.read(|snapshot| {
        let mut rows = Vec::with_capacity(page.limit + 1);
        let limit = page.fetch();
        let arn_prefix = realm.arn("thing/");
        if attribute.is_empty() {
            let each = |row: &Row<'_>| {
                // Only the last row of a page is ever asked for its key.
                let is_last = rows.len() + 1 == page.limit;
                let key = if is_last { vec![row.text(0)?.to_owned()] } else { Vec::new() };
                rows.push((key, item(&arn_prefix, row)?));
                Ok::<_, CallError>(true)
            };
            if type_name.is_empty() {
                snapshot.query_each(BY_NAME, params![account, region, page.after(0), limit], each)?;
            } else {
                snapshot.query_each(BY_TYPE, params![account, region, page.after(0), limit, type_name], each)?;
            }
        } else {
            let behind = match (value.is_empty(), prefix) {
                (true, _) => BEHIND_ALL.to_owned(),
                (false, true) => format!("{value}{BEHIND_ALL}"),
                // Blanks sort before everything an attribute value may hold, so only the value itself lies between.
                (false, false) => format!("{value} "),
            };
            let (after_value, after_name) = (page.after(0), page.after(1));
            let values = params![account, region, after_name, limit, attribute, value, behind, after_value, type_name];
            snapshot.query_each(BY_ATTRIBUTE, values, |row: &Row<'_>| {
                rows.push((vec![row.text(4)?.to_owned(), row.text(0)?.to_owned()], item(&arn_prefix, row)?));
                Ok::<_, CallError>(true)
            })?;
        }
        Ok(rows)
    })?;
    Ok(page.answer("things", rows))
}

/// `arn_prefix`: `arn:…:thing/`. Members are put in the order of the map, one by one: this runs for each row.
fn item(arn_prefix: &str, row: &Row<'_>) -> Result<Value, CallError> {
    let name = row.text(0)?;
    let mut item = Map::new();
    item.insert("attributes".to_owned(), attribute::column_value(row.text(2)?));
    item.insert("thingArn".to_owned(), [arn_prefix, name].concat().into());
    item.insert("thingName".to_owned(), name.into());
    if let Some(type_name) = row.get::<Option<String>>(1)? {
        item.insert("thingTypeName".to_owned(), type_name.into());
    }
    item.insert("version".to_owned(), row.get::<i64>(3)?.into());
    Ok(Value::Object(item))
}
