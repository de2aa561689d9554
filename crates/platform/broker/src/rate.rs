//! Rates: generic cells (GCRA), each a single time, and the cells of a tenant's CONNECTs.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use marram_mqtt::ClientId;

use crate::options::Rate;

/// Client ids with debts above which those without are swept out.
const SWEEP_MIN: usize = 1024;

/// When the next one is due at the rate; in the past: nothing is owed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cell(Option<Instant>);

impl Cell {
    /// The cell after one more at `now`; `None` when the rate and its burst are spent.
    fn after_one(self, rate: Rate, now: Instant) -> Option<Self> {
        let step = Duration::from_secs(1) / rate.per_sec.max(1);
        let due = self.0.map_or(now, |due| due.max(now));
        let burst = step * rate.burst.saturating_sub(1);
        (due.saturating_duration_since(now) <= burst).then(|| Self(Some(due + step)))
    }

    /// Takes one. `false`: none is left, and nothing was taken.
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> bool {
        let after = self.after_one(rate, now);
        *self = after.unwrap_or(*self);
        after.is_some()
    }
}

/// Which rate of CONNECTs is spent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Throttled {
    ClientId,
    Account,
}

/// The CONNECTs of one tenant.
#[derive(Debug, Default)]
pub(crate) struct ConnectRates {
    account: Cell,
    clients: HashMap<ClientId, Cell>,
    sweep_at: usize,
}

impl ConnectRates {
    /// One more CONNECT of a client that may connect. A refused one costs neither rate.
    pub(crate) fn admit(
        &mut self,
        client_id: &ClientId,
        per_client: Rate,
        per_account: Option<Rate>,
        now: Instant,
    ) -> Result<(), Throttled> {
        let known = self.clients.get(client_id).copied().unwrap_or_default();
        let client = known.after_one(per_client, now).ok_or(Throttled::ClientId)?;
        if let Some(rate) = per_account
            && !self.account.take(rate, now)
        {
            return Err(Throttled::Account);
        }
        if self.clients.len() >= self.sweep_at.max(SWEEP_MIN) {
            self.clients.retain(|_, cell| cell.0.is_some_and(|due| due > now));
            self.sweep_at = 2 * self.clients.len();
        }
        self.clients.insert(client_id.clone(), client);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ClientId {
        ClientId::new(text).unwrap()
    }

    /// SEC 12.2: one a second with a burst of three, per client id; others are not affected.
    #[test]
    fn a_client_id_gets_its_burst_and_then_its_rate() {
        let mut rates = ConnectRates::default();
        let rate = Rate { per_sec: 1, burst: 3 };
        let start = Instant::now();
        let mut admit = |client: &str, ms| rates.admit(&id(client), rate, None, start + Duration::from_millis(ms));
        for _ in 0..3 {
            assert_eq!(admit("a", 0), Ok(()));
        }
        assert_eq!(admit("a", 0), Err(Throttled::ClientId));
        assert_eq!(admit("b", 0), Ok(()));
        assert_eq!(admit("a", 999), Err(Throttled::ClientId));
        assert_eq!(admit("a", 1000), Ok(()));
        assert_eq!(admit("a", 1001), Err(Throttled::ClientId));
    }

    /// CP 5.2: the account's rate counts all its clients; one refused for its client id costs the account nothing.
    #[test]
    fn an_account_gets_its_rate() {
        let mut rates = ConnectRates::default();
        let (per_client, per_account) = (Rate { per_sec: 1, burst: 1 }, Some(Rate { per_sec: 500, burst: 2 }));
        let now = Instant::now();
        assert_eq!(rates.admit(&id("a"), per_client, per_account, now), Ok(()));
        for _ in 0..10 {
            assert_eq!(rates.admit(&id("a"), per_client, per_account, now), Err(Throttled::ClientId));
        }
        assert_eq!(rates.admit(&id("b"), per_client, per_account, now), Ok(()));
        assert_eq!(rates.admit(&id("c"), per_client, per_account, now), Err(Throttled::Account));
        assert_eq!(rates.admit(&id("c"), per_client, per_account, now + Duration::from_millis(2)), Ok(()));
    }

    /// SEC 12.2: a device that may use any client id does not fill memory with cells.
    #[test]
    fn cells_without_debts_are_forgotten() {
        let mut rates = ConnectRates::default();
        let rate = Rate { per_sec: 10, burst: 100 };
        let start = Instant::now();
        for number in 0..100_000_u64 {
            rates.admit(&id(&number.to_string()), rate, None, start + Duration::from_millis(number)).unwrap();
        }
        assert!(rates.clients.len() <= 2 * SWEEP_MIN, "{}", rates.clients.len());
    }
}
