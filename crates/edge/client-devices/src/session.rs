//! Sessions of client devices with broker components: unguessable tokens, the least used go first (CC 2.5.4).

use std::collections::HashMap;

use crate::devices::Device;

/// Tokens and whose they are.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    by_token: HashMap<String, (Device, u64)>,
    used: u64,
}

impl Sessions {
    /// A token for `device`; at most `most` are kept.
    pub(crate) fn open(&mut self, device: Device, most: usize) -> String {
        self.used += 1;
        while self.by_token.len() >= most {
            let oldest = self.by_token.iter().min_by_key(|(_, (_, used))| *used).map(|(token, _)| token.clone());
            let Some(oldest) = oldest else { break };
            self.by_token.remove(&oldest);
        }
        let token = uuid::Uuid::new_v4().to_string();
        self.by_token.insert(token.clone(), (device, self.used));
        token
    }

    /// The device of a token.
    pub(crate) fn get(&mut self, token: &str) -> Option<Device> {
        self.used += 1;
        let (device, used) = self.by_token.get_mut(token)?;
        *used = self.used;
        Some(device.clone())
    }
}
