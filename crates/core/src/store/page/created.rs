//! Pages by time of writing.

use diesel::sql_types::{BigInt, Integer, Timestamptz};

use super::{CreatedKey, PageQuery, Scope};
use crate::store::statement::Statement;

/// The order of the rows `p` of a page.
pub(super) const SORTED: &str =
    "b.created_at {direction}, p.batch_id {direction}, p.coin_id {direction}, p.observed_at {direction}";

/// By time of writing: the batches in order, and the rows of each. The source and the span of times of a batch leave few
/// partitions to look into.
const BATCHES: &str = "
select {columns}, b.created_at
  from etl_batches b
  join data_sources s on s.name = b.source
 cross join lateral (
       select {columns} from observations o
        where o.source_id = s.source_id and o.batch_id = b.batch_id
          and o.observed_at between b.observed_from and b.observed_to{bounds}
        order by o.coin_id {direction}, o.observed_at {direction}
        limit $2) o
 where b.loaded + b.restated > 0{source}{overlap}{after}
 order by b.created_at {direction}, b.batch_id {direction}, o.coin_id {direction}, o.observed_at {direction}";

/// By time of writing, behind a row: the rest of its batch, then the batches behind that one.
const BEHIND: &str = "
with rest as materialized (
    select {columns}, b.created_at
      from etl_batches b
      join data_sources s on s.name = b.source
      join observations o on o.source_id = s.source_id and o.batch_id = b.batch_id
                         and o.observed_at between b.observed_from and b.observed_to
     where b.batch_id = $14 and o.batch_id = $14 and (o.coin_id, o.observed_at) {beyond} ($15, $16){bounds}
     order by o.coin_id {direction}, o.observed_at {direction}
     limit $2),
following as ({batches}
     limit $2)
select * from (select * from rest union all select * from following) o
 order by o.created_at {direction}, o.batch_id {direction}, o.coin_id {direction}, o.observed_at {direction}
offset $3 limit $4";

/// By time of writing, of a few rows.
const OF_FEW: &str = "
select {columns}, b.created_at
  from (select {columns} from {selected}) o
  join etl_batches b on b.batch_id = o.batch_id
 where true{after}
 order by b.created_at {direction}, b.batch_id {direction}, o.coin_id {direction}, o.observed_at {direction}
offset $3 limit $4";

/// What spares looking into the rows of a batch that lie outside of the bounds.
const OVERLAP: &str = "
   and b.observed_to >= coalesce($5, '-infinity') and b.observed_from <= coalesce($6, 'infinity')";

/// The rows of a page, behind a row or not.
pub(super) fn rows(query: &PageQuery, behind: bool) -> String {
    let key = "(b.created_at, b.batch_id, o.coin_id, o.observed_at) {beyond} ($13, $14, $15, $16)";
    if query.few {
        let after = if behind { [" and ", key].concat() } else { String::new() };
        return OF_FEW.replace("{after}", &after);
    }
    let source = match &query.selection.scope {
        Scope::All(_) | Scope::Coins(_) => "",
        Scope::Sources { .. } => " and b.source = any($1)",
    };
    let overlap = if query.selection.bounds.is_some() { OVERLAP } else { "" };
    let batches = BATCHES.replace("{source}", source).replace("{overlap}", overlap);
    if !behind {
        return [batches.replace("{after}", "").as_str(), "\noffset $3 limit $4"].concat();
    }
    let after = " and (b.created_at, b.batch_id) {beyond} ($13, $14) and (select count(*) from rest) < $2";
    BEHIND.replace("{batches}", &batches.replace("{after}", after))
}

/// Binds the key, from `$13`.
pub(super) fn bind(statement: Statement, key: &CreatedKey) -> Statement {
    statement
        .bind::<Timestamptz, _>(key.created_at)
        .bind::<BigInt, _>(key.batch_id)
        .bind::<Integer, _>(key.coin_id)
        .bind::<Timestamptz, _>(key.observed_at)
}
