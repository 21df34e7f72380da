#!/bin/bash
# Runs the ETL every so many seconds, counted from start to start. The ETL itself is one-shot and exact about its end,
# so a schedule can be this small; where there is cron or a CronJob, run `kasparro-etl` from that instead.
# Of bash: a program that dash has just started may miss a signal.
every=${1-}
case $every in
'' | *[!0-9]* | 0* | ??????????*)
    echo "etl-every.sh: ETL_EVERY_SECONDS is to be a whole number of seconds, at least 1, such as 3600; it is '$every'" >&2
    exit 64
    ;;
esac

# A signal goes to the program that runs, and its exit code becomes ours. It may come right after the start of one, so
# what runs is what was started last, unless that has ended.
ended=
end() {
    trap '' TERM INT
    child=$!
    if [ "$child" = "$ended" ] || ! kill -TERM "$child" 2>/dev/null; then
        exit 143
    fi
    wait "$child"
    exit $?
}
trap end TERM INT

in_background() {
    "$@" &
    wait "$!"
    code=$?
    ended=$!
}

while :; do
    began=$(date +%s)
    in_background kasparro-etl run
    said="kasparro-etl ended with exit code $code"
    case $code in
    # Usage, configuration, schema version. Ending would not help: compose would start us again at once.
    64 | 78) said="$said, which somebody must mend" ;;
    esac
    rest=$((began + every - $(date +%s)))
    echo "$said; next run in $((rest > 0 ? rest : 0)) s"
    if [ "$rest" -gt 0 ]; then
        in_background sleep "$rest"
    fi
done
