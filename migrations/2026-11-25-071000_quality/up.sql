-- What cannot be true of a coin, found by the declared rules after each load that brought something.

create table quality_findings (
    rule          text collate "C" not null,
    coin_id       integer not null references coins,
    observed_at   timestamptz not null,
    evidence      text not null,
    times         bigint not null default 1 check (times > 0),
    first_seen_at timestamptz not null default clock_timestamp(),
    last_seen_at  timestamptz not null default clock_timestamp(),
    cleared_at    timestamptz,
    primary key (rule, coin_id)
);
comment on table quality_findings is 'One row is one plausibility rule that the newest observation of one coin breaks, or broke. Nothing is changed or left out because of it.';
comment on column quality_findings.rule is 'Name of the rule, as kasparro-core declares it.';
comment on column quality_findings.observed_at is 'Time of the observation that broke it last.';
comment on column quality_findings.evidence is 'The figures that break it, digit for digit.';
comment on column quality_findings.times is 'Number of checks that found it since first_seen_at.';
comment on column quality_findings.first_seen_at is 'First check that found it, without a check in between that did not.';
comment on column quality_findings.last_seen_at is 'Last check that found it.';
comment on column quality_findings.cleared_at is 'First check that did not find it any more; null while it holds.';
create index quality_findings_seen on quality_findings (first_seen_at, rule, coin_id);
