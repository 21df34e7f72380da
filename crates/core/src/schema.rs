//! The tables as Diesel sees them; the migrations carry their description.

diesel::table! {
    /// Where diesel_migrations notes what was applied.
    #[sql_name = "__diesel_schema_migrations"]
    applied_migrations (version) {
        version -> Text,
    }
}

diesel::table! {
    data_sources (source_id) {
        source_id -> SmallInt,
        name -> Text,
        kind -> Text,
        coins -> BigInt,
        observations -> BigInt,
        raw_records -> BigInt,
        batch_number -> BigInt,
        last_batch_at -> Nullable<Timestamptz>,
        pruned_before -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    etl_runs (run_id) {
        run_id -> BigInt,
        source -> Text,
        status -> Text,
        success -> Nullable<Bool>,
        records_processed -> BigInt,
        started_at -> Timestamptz,
        ended_at -> Nullable<Timestamptz>,
        error_message -> Nullable<Text>,
        program_version -> Text,
        is_reprocess -> Bool,
    }
}

diesel::table! {
    etl_run_sources (run_id, source) {
        run_id -> BigInt,
        source -> Text,
        status -> Text,
        failure_kind -> Nullable<Text>,
        error_message -> Nullable<Text>,
        batches -> BigInt,
        extracted -> BigInt,
        loaded -> BigInt,
        restated -> BigInt,
        unchanged -> BigInt,
        duplicate -> BigInt,
        rejected -> BigInt,
        started_at -> Timestamptz,
        ended_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    etl_run_counts (source, status) {
        source -> Text,
        status -> Text,
        runs -> BigInt,
    }
}

diesel::table! {
    etl_lease (source) {
        source -> Text,
        owner -> Text,
        epoch -> BigInt,
        run_id -> Nullable<BigInt>,
        expires_at -> Timestamptz,
        backend_pid -> Nullable<Integer>,
        backend_start -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    etl_checkpoints (source) {
        source -> Text,
        last_processed_id -> Nullable<Text>,
        last_processed_timestamp -> Nullable<Timestamptz>,
        cursor -> Jsonb,
        not_before -> Nullable<Timestamptz>,
        batch_number -> BigInt,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    raw_api_data (raw_id) {
        raw_id -> BigInt,
        source -> Text,
        url -> Text,
        status -> SmallInt,
        content_type -> Nullable<Text>,
        fetched_at -> Timestamptz,
        sha256 -> Binary,
        record_count -> Integer,
        body -> Binary,
        encoding -> Text,
    }
}

diesel::table! {
    csv_files (file_id) {
        file_id -> BigInt,
        path -> Text,
        generation -> Integer,
        size_bytes -> BigInt,
        modified_ns -> BigInt,
        inode -> Text,
        read_bytes -> BigInt,
        read_lines -> BigInt,
        prefix_hash -> Binary,
        as_of -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    raw_csv_data (raw_id) {
        raw_id -> BigInt,
        source -> Text,
        file_id -> BigInt,
        generation -> Integer,
        first_line -> BigInt,
        last_line -> BigInt,
        first_byte -> BigInt,
        end_byte -> BigInt,
        fetched_at -> Timestamptz,
        sha256 -> Binary,
        record_count -> Integer,
        body -> Binary,
        encoding -> Text,
    }
}

diesel::table! {
    etl_batches (batch_id) {
        batch_id -> BigInt,
        run_id -> BigInt,
        source -> Text,
        number -> BigInt,
        lease_epoch -> BigInt,
        raw_api_id -> Nullable<BigInt>,
        raw_csv_id -> Nullable<BigInt>,
        origin -> Text,
        extracted -> Integer,
        loaded -> Integer,
        restated -> Integer,
        unchanged -> Integer,
        duplicate -> Integer,
        rejected -> Integer,
        superseded -> Integer,
        observed_from -> Nullable<Timestamptz>,
        observed_to -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
        coin_ids -> Nullable<Array<Integer>>,
    }
}

diesel::table! {
    coins (coin_id) {
        coin_id -> Integer,
        source_id -> SmallInt,
        crypto_id -> Text,
    }
}

diesel::table! {
    coin_labels (label_id) {
        label_id -> Integer,
        coin_id -> Integer,
        crypto_name -> Nullable<Text>,
        symbol -> Nullable<Text>,
    }
}

diesel::table! {
    observations (coin_id, observed_at) {
        observed_at -> Timestamptz,
        batch_id -> BigInt,
        coin_id -> Integer,
        label_id -> Integer,
        raw_position -> Integer,
        rank -> Nullable<Integer>,
        source_id -> SmallInt,
        price_usd -> Nullable<Numeric>,
        market_cap_usd -> Nullable<Numeric>,
        volume_24h_usd -> Nullable<Numeric>,
        change_24h_percent -> Nullable<Numeric>,
        circulating_supply -> Nullable<Numeric>,
        total_supply -> Nullable<Numeric>,
        max_supply -> Nullable<Numeric>,
    }
}

diesel::table! {
    observation_revisions (coin_id, observed_at, batch_id) {
        coin_id -> Integer,
        observed_at -> Timestamptz,
        batch_id -> BigInt,
        superseded_by -> BigInt,
        label_id -> Integer,
        raw_position -> Integer,
        source_id -> SmallInt,
        rank -> Nullable<Integer>,
        price_usd -> Nullable<Numeric>,
        market_cap_usd -> Nullable<Numeric>,
        volume_24h_usd -> Nullable<Numeric>,
        change_24h_percent -> Nullable<Numeric>,
        circulating_supply -> Nullable<Numeric>,
        total_supply -> Nullable<Numeric>,
        max_supply -> Nullable<Numeric>,
    }
}

diesel::table! {
    observation_partitions (source_id, month) {
        source_id -> SmallInt,
        month -> Date,
        indexed -> Bool,
        created_at -> Timestamptz,
        counted -> Bool,
        closed -> Integer,
        open_from -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    coin_latest (coin_id) {
        coin_id -> Integer,
        source_id -> SmallInt,
        observed_at -> Timestamptz,
        first_observed_at -> Timestamptz,
        observations -> BigInt,
        batch_id -> BigInt,
        label_id -> Integer,
        raw_position -> Integer,
        rank -> Nullable<Integer>,
        price_usd -> Nullable<Numeric>,
        market_cap_usd -> Nullable<Numeric>,
        volume_24h_usd -> Nullable<Numeric>,
        change_24h_percent -> Nullable<Numeric>,
        circulating_supply -> Nullable<Numeric>,
        total_supply -> Nullable<Numeric>,
        max_supply -> Nullable<Numeric>,
    }
}

diesel::table! {
    rejects (reject_id) {
        reject_id -> BigInt,
        source -> Text,
        fingerprint -> Binary,
        code -> Text,
        field -> Nullable<Text>,
        message -> Text,
        excerpt -> Text,
        batch_id -> BigInt,
        raw_position -> Integer,
        times -> BigInt,
        first_seen_at -> Timestamptz,
        last_seen_at -> Timestamptz,
    }
}

diesel::table! {
    source_calls (source, host, day) {
        source -> Text,
        host -> Text,
        day -> Date,
        calls -> BigInt,
    }
}

diesel::table! {
    schema_drift (source, field, kind) {
        source -> Text,
        field -> Text,
        kind -> Text,
        required -> Bool,
        evidence -> Text,
        suggestion -> Nullable<Text>,
        times -> BigInt,
        first_seen_at -> Timestamptz,
        last_seen_at -> Timestamptz,
    }
}

diesel::table! {
    assets (asset_id) {
        asset_id -> Integer,
        slug -> Text,
        name -> Text,
        symbol -> Nullable<Text>,
        state -> Text,
        merged_into -> Nullable<Integer>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    asset_links (link_id) {
        link_id -> BigInt,
        asset_id -> Integer,
        coin_id -> Integer,
        method -> Text,
        confidence -> Double,
        evidence -> Jsonb,
        created_at -> Timestamptz,
        ended_at -> Nullable<Timestamptz>,
        ended_reason -> Nullable<Text>,
    }
}

diesel::table! {
    asset_reviews (coin_id) {
        coin_id -> Integer,
        reason -> Text,
        candidates -> Array<Integer>,
        candidate_count -> Integer,
        since -> Timestamptz,
    }
}

diesel::table! {
    asset_rulings (ruling_id) {
        ruling_id -> BigInt,
        verdict -> Text,
        source -> Text,
        crypto_id -> Text,
        other_source -> Text,
        other_id -> Text,
        note -> Nullable<Text>,
        created_at -> Timestamptz,
        ended_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    coin_contracts (source_id, crypto_id, chain, address) {
        source_id -> SmallInt,
        crypto_id -> Text,
        chain -> Text,
        address -> Text,
        first_seen_at -> Timestamptz,
        ended_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    listed_coins (source_id, crypto_id) {
        source_id -> SmallInt,
        crypto_id -> Text,
        is_active -> Bool,
        first_seen_at -> Timestamptz,
        ended_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    coin_states (coin_id, since) {
        coin_id -> Integer,
        state -> Text,
        since -> Timestamptz,
        until -> Nullable<Timestamptz>,
        migrated_to -> Nullable<Text>,
        migrated_by -> Nullable<Text>,
    }
}

diesel::table! {
    quality_findings (rule, coin_id) {
        rule -> Text,
        coin_id -> Integer,
        observed_at -> Timestamptz,
        evidence -> Text,
        times -> BigInt,
        first_seen_at -> Timestamptz,
        last_seen_at -> Timestamptz,
        cleared_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    record_layouts (layout_id) {
        layout_id -> BigInt,
        source -> Text,
        file_id -> Nullable<BigInt>,
        generation -> Nullable<Integer>,
        layout -> Jsonb,
        declared_at -> Timestamptz,
    }
}

diesel::joinable!(coins -> data_sources (source_id));
diesel::joinable!(coin_latest -> coins (coin_id));
diesel::joinable!(coin_latest -> coin_labels (label_id));
diesel::joinable!(coin_latest -> etl_batches (batch_id));
diesel::joinable!(etl_batches -> etl_runs (run_id));
diesel::joinable!(etl_run_sources -> etl_runs (run_id));
diesel::joinable!(asset_links -> assets (asset_id));
diesel::joinable!(asset_links -> coins (coin_id));
diesel::joinable!(coin_states -> coins (coin_id));
diesel::joinable!(asset_reviews -> coins (coin_id));

diesel::allow_tables_to_appear_in_same_query!(
    data_sources,
    etl_runs,
    etl_run_sources,
    etl_lease,
    etl_checkpoints,
    raw_api_data,
    csv_files,
    raw_csv_data,
    etl_batches,
    coins,
    coin_labels,
    observations,
    observation_revisions,
    record_layouts,
    coin_latest,
    rejects,
    source_calls,
    schema_drift,
    assets,
    asset_links,
    asset_reviews,
    asset_rulings,
    coin_contracts,
    listed_coins,
    coin_states,
);
