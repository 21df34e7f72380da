//! Pages by an amount.

use diesel::sql_types::{Integer, Nullable, Numeric, Timestamptz};

use super::{AmountColumn, AmountKey, PageQuery};
use crate::store::statement::Statement;

/// The order of the rows `p` of a page.
pub(super) const SORTED: &str =
    "p.{amount} {direction} nulls last, p.coin_id {direction}, p.observed_at {direction}";

/// By an amount, over sources: the index of each source is read in order and the heads are merged. The rows
/// without the amount come behind all others and are only read when those do not fill the page.
const OF_SOURCES: &str = "
with known as materialized (
    select o.*
      from unnest($1) as s (source_id)
     cross join lateral (
           select {columns} from observations o
            where o.source_id = s.source_id and {known}{range}
            order by o.{amount} {direction} {index_nulls}, o.coin_id {direction}, o.observed_at {direction}
            limit $2) o
     order by o.{amount} {direction}, o.coin_id {direction}, o.observed_at {direction}
     limit $2),
unknown as (
    select o.*
      from unnest($1) as s (source_id)
     cross join lateral (
           select {columns} from observations o
            where o.source_id = s.source_id and o.{amount} is null{unknown}{bounds} and (select count(*) from known) < $2
            order by o.{amount} {direction} {index_nulls}, o.coin_id {direction}, o.observed_at {direction}
            limit $2) o)
select * from (select * from known union all select * from unknown) o
 order by o.{amount} {direction} nulls last, o.coin_id {direction}, o.observed_at {direction}
offset $3 limit $4";

/// By an amount, of a few rows, which are sorted. What is not known counts as a value that no amount can have
/// (amounts are neither negative nor infinite), so that it can be compared in a row.
const OF_FEW: &str = "
select {columns} from {selected}{after}
 order by coalesce(o.{amount}, {void}) {direction}, o.coin_id {direction}, o.observed_at {direction}
offset $3 limit $4";

/// Between the first and the last row of a page that was read before.
const WITHIN: &str = "(o.{amount}, o.coin_id, o.observed_at) {from} ($13, $14, $15)
                                and (o.{amount}, o.coin_id, o.observed_at) {to} ($16, $17, $18)";

/// The rows of a page, behind a row if there is one.
pub(super) fn rows(query: &PageQuery, amount: AmountColumn, after: Option<&AmountKey>) -> String {
    if query.few {
        let behind = " and (coalesce(o.{amount}, {void}), o.coin_id, o.observed_at) {beyond} (coalesce($13, {void}), $14, $15)";
        return OF_FEW.replace("{after}", if after.is_some() { behind } else { "" });
    }
    let (known, unknown) = match after {
        None if query.span.is_some() => (WITHIN, ""),
        None => ("o.{amount} is not null", ""),
        Some(AmountKey { amount: Some(_), .. }) => {
            ("(o.{amount}, o.coin_id, o.observed_at) {beyond} ($13, $14, $15)", "")
        }
        Some(AmountKey { amount: None, .. }) => {
            ("false", " and (o.coin_id, o.observed_at) {beyond} ($14, $15)")
        }
    };
    let range = query.selection.bounds_with_range(amount);
    OF_SOURCES.replace("{known}", known).replace("{unknown}", unknown).replace("{range}", &range)
}

/// Binds a key, the first one from `$13`.
pub(super) fn bind(statement: Statement, key: &AmountKey) -> Statement {
    statement
        .bind::<Nullable<Numeric>, _>(key.amount.clone())
        .bind::<Integer, _>(key.coin_id)
        .bind::<Timestamptz, _>(key.observed_at)
}
