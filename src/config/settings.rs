//! What no single limit can say: settings that contradict each other.
//!
//! Only combinations that can never work are refused. Those that are merely unusual are the
//! host's business.

use super::{Config, Settings};
use crate::{Code, Error, Result};

impl Settings {
    pub(super) fn check(&self, config: &Config) -> Result<()> {
        self.s3.check(config)?;
        let half = self.memory_budget / 2;
        let refuse = |ok: bool, key: &str, why: &str, other: &str, remedy: &str| {
            if ok {
                return Ok(());
            }
            let (this, that) = (config.shown(key), config.shown(other));
            Err(Error::new(Code::InvalidConfig, format!("{this} {why} {that}; {remedy}")))
        };
        let lower = "lower the one or raise the other";

        // The cache and lent buffers may overlap, because the cache yields; neither may be larger
        // than the whole.
        for (size, key) in
            [(self.cache_memory_size, "cache.memory.size"), (self.memory_lent_limit, "memory.lent.limit")]
        {
            refuse(size <= self.memory_budget, key, "is more than", "memory.budget", lower)?;
        }
        // A read reserves its fetch before it begins, and half of the budget is the uploads'.
        refuse(
            self.read_fetch_size <= half,
            "read.fetch.size",
            "is more than half of",
            "memory.budget",
            lower,
        )?;
        refuse(
            self.read_ahead_max <= half,
            "read.ahead.max",
            "is more than half of",
            "memory.budget",
            lower,
        )?;

        // Segments that expire before they are due are never offloaded.
        refuse(
            !is_below(self.policy_retention_size, self.policy_size_threshold),
            "policy.retention.size",
            "would delete segments before they are offloaded by",
            "policy.size.threshold",
            "raise the one or lower the other",
        )?;
        refuse(
            !is_below(self.policy_retention_age, self.policy_age_threshold),
            "policy.retention.age",
            "would delete segments before they are offloaded by",
            "policy.age.threshold",
            "raise the one or lower the other",
        )
    }
}

fn is_below<T: PartialOrd>(retention: Option<T>, threshold: Option<T>) -> bool {
    matches!((retention, threshold), (Some(retention), Some(threshold)) if retention < threshold)
}
