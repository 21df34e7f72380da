//! Coins that look like others and were not joined to them.

use super::{Places, Reason, Review, Work};

impl Work<'_> {
    /// Why a coin that is left is to be looked at, if it resembles any that could be its like.
    pub(super) fn review(&self, at: usize) -> Option<Review> {
        let folded = &self.evidence.coins[at].folded;
        let source = self.evidence.coins[at].source;
        let free = |places: Option<&Places>| -> Places {
            let free = places.into_iter().flatten().copied();
            let free: Places = free.filter(|other| !self.is_taken(self.group[*other], source)).collect();
            self.distinct(&free)
        };
        let contracts = self.contract_hits(at);
        let named = free(self.by_core.get(&(folded.symbol.as_str(), folded.core.as_str())));
        let (mut reason, mut candidates) = match () {
            () if contracts.len() > 1 => (Reason::AmbiguousContract, contracts),
            () if !contracts.is_empty() => (Reason::ContractDisagrees, contracts),
            () if !named.is_empty() => (Reason::AmbiguousName, named),
            () => {
                let symbols = free(self.by_symbol.get(folded.symbol.as_str()));
                if symbols.is_empty() {
                    (Reason::NameOnly, free(self.by_name.get(folded.core.as_str())))
                } else {
                    (Reason::SymbolOnly, symbols)
                }
            }
        };
        if let [only] = candidates[..]
            && let Some(objection) = self.objection(at, only)
        {
            reason = objection;
        }
        candidates.sort_by_key(|other| {
            let coin = &self.evidence.coins[*other];
            (coin.folded.name != folded.name, coin.rank.unwrap_or(i32::MAX), *other)
        });
        (!candidates.is_empty()).then_some(Review { coin: at, reason, candidates })
    }
}
