#!/bin/sh
# Makes the passwords of the database in the containers, each once. Git ignores the folder.
set -eu
cd "$(dirname "$0")"

# The folder is closed to other users. The files are readable, because compose mounts them with their modes
# and the programs run as a user that does not exist outside of the containers.
mkdir -p secrets
chmod 700 secrets
umask 022

# A password in one file, and in another the address with which a role connects.
make() {
    role=$1 password_file=secrets/$2 url_file=secrets/$3
    [ ! -s "$password_file" ] || [ ! -s "$url_file" ] || return 0
    # That of the owner belongs to the volume, so one that is there stays.
    if [ ! -s "$password_file" ]; then
        password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
        printf '%s' "$password" >"$password_file"
    fi
    printf 'postgresql://%s:%s@db:5432/kasparro' "$role" "$(cat "$password_file")" >"$url_file"
    echo "made docker/$password_file: the password of $role in the containers"
}

make kasparro postgres_password database_url
make kasparro_loader loader_password loader_url
make kasparro_reader reader_password reader_url
