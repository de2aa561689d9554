//! Fleet status that comes in pieces (control-plane-api 7.4): components are gathered until every piece is there.

use std::collections::{BTreeMap, HashMap};

use marram_registry::Realm;
use serde_json::Value;

/// Pieces of one status.
const MAX_CHUNKS: i64 = 64;
/// Cores whose pieces are waited for; when there are more, all begin anew.
const MAX_WAITING: usize = 1000;
/// Components of one status.
const MAX_COMPONENTS: usize = 2000;

/// Pieces by core.
#[derive(Default)]
pub(super) struct Chunks {
    waiting: HashMap<(Realm, String), Waiting>,
}

struct Waiting {
    sequence: i64,
    total: i64,
    pieces: BTreeMap<i64, Vec<Value>>,
}

impl Chunks {
    /// Takes a piece; answers the whole status with the last one. A newer sequence number begins anew.
    pub(super) fn take(&mut self, core: (Realm, String), mut piece: Value) -> Option<Value> {
        let info = &piece["chunkInfo"];
        let (Some(id), Some(total)) = (info["chunkId"].as_i64(), info["totalChunks"].as_i64()) else {
            return Some(piece);
        };
        if total <= 1 {
            return Some(piece);
        }
        if total > MAX_CHUNKS || !(0..=total).contains(&id) {
            return None;
        }
        let sequence = piece["sequenceNumber"].as_i64().unwrap_or(0);
        if self.waiting.len() >= MAX_WAITING && !self.waiting.contains_key(&core) {
            self.waiting.clear();
        }
        let fresh = || Waiting { sequence, total, pieces: BTreeMap::new() };
        let waiting = self.waiting.entry(core.clone()).or_insert_with(fresh);
        if waiting.sequence != sequence || waiting.total != total {
            *waiting = fresh();
        }
        let components = piece["components"].as_array().cloned().unwrap_or_default();
        waiting.pieces.insert(id, components);
        let gathered: usize = waiting.pieces.values().map(Vec::len).sum();
        if gathered > MAX_COMPONENTS {
            self.waiting.remove(&core);
            return None;
        }
        if i64::try_from(waiting.pieces.len()).unwrap_or(0) < total {
            return None;
        }
        let whole = self.waiting.remove(&core)?;
        piece["components"] = whole.pieces.into_values().flatten().collect();
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use marram_types::{AccountId, Partition, Region};
    use serde_json::json;

    use super::*;

    fn piece(sequence: i64, id: i64, total: i64, name: &str) -> Value {
        json!({"sequenceNumber": sequence, "chunkInfo": {"chunkId": id, "totalChunks": total},
               "components": [{"componentName": name}]})
    }

    /// CP 7.4: pieces are put together in their order, a newer status drops an older one, and one piece is whole at once.
    #[test]
    fn pieces_become_one_status() {
        let realm =
            Realm { partition: Partition::aws(), account: AccountId::first(), region: Region::default_region() };
        let core = || (realm.clone(), "core".to_owned());
        let mut chunks = Chunks::default();
        assert_eq!(chunks.take(core(), json!({"sequenceNumber": 1})), Some(json!({"sequenceNumber": 1})));
        assert_eq!(chunks.take(core(), piece(1, 2, 2, "b")), None);
        assert_eq!(chunks.take(core(), piece(2, 2, 2, "d")), None);
        let whole = chunks.take(core(), piece(2, 1, 2, "c")).unwrap();
        assert_eq!(whole["components"], json!([{"componentName": "c"}, {"componentName": "d"}]));
        assert_eq!(chunks.take(core(), piece(3, 1, 100, "x")), None);
    }
}
