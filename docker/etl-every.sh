#!/bin/sh
# Runs the ETL every so many seconds, counted from start to start. The ETL itself is one-shot and exact about its end,
# so a schedule can be this small; where there is cron or a CronJob, run `kasparro-etl` from that instead.
set -u
every=${1:?usage: etl-every.sh SECONDS}

# A signal goes to the program that runs, and its exit code becomes ours.
child=
trap 'trap "" TERM INT; kill -TERM "$child" 2>/dev/null; wait "$child"; exit 143' TERM INT

in_background() {
    "$@" &
    child=$!
    wait "$child"
}

while :; do
    began=$(date +%s)
    in_background kasparro-etl run
    code=$?
    case $code in
    # Usage, configuration, schema version: the next run would say the same.
    64 | 78) exit "$code" ;;
    esac
    rest=$((began + every - $(date +%s)))
    echo "kasparro-etl ended with exit code $code; next run in $((rest > 0 ? rest : 0)) s"
    if [ "$rest" -gt 0 ]; then
        in_background sleep "$rest"
    fi
done
