//! What the log tells about being ready: once when the service is found unready, and once when it is ready again.

use crate::problem::{Code, Problem};

/// What was told.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    /// Why the service is unready, as far as the log has it. Each reason once, though they may alternate.
    told: Vec<Code>,
}

impl Readiness {
    /// Takes what came of asking the database.
    pub(crate) fn note(&mut self, problem: Option<&Problem>) {
        match problem {
            Some(problem) if self.is_news(problem.code()) => match problem.cause() {
                Some(cause) => log::warn!("not ready: {}: {}", problem.detail(), cause.trim_end()),
                None => log::warn!("not ready: {}", problem.detail()),
            },
            None if self.heals() => log::info!("ready: the database can be read"),
            _ => {}
        }
    }

    fn is_news(&mut self, reason: Code) -> bool {
        let is_news = !self.told.contains(&reason);
        if is_news {
            self.told.push(reason);
        }
        is_news
    }

    /// Whether the service was unready until now.
    fn heals(&mut self) -> bool {
        let was_unready = !self.told.is_empty();
        self.told.clear();
        was_unready
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_told_once_until_the_service_is_ready_again() {
        let mut readiness = Readiness::default();
        assert!(!readiness.heals(), "it was never unready");
        for _ in 0..2 {
            assert!(readiness.is_news(Code::DatabaseUnavailable) && readiness.is_news(Code::SchemaMismatch));
            assert!(
                !readiness.is_news(Code::DatabaseUnavailable) && !readiness.is_news(Code::SchemaMismatch)
            );
            assert!(readiness.heals() && !readiness.heals());
        }
    }
}
