#!/bin/sh
# Makes the password of the database in the containers, once. Git ignores the folder.
set -eu
cd "$(dirname "$0")"

# The folder is closed to other users. The files are readable, because compose mounts them with their modes
# and the programs run as a user that does not exist outside of the containers.
mkdir -p secrets
chmod 700 secrets
umask 022
password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
printf '%s' "$password" >secrets/postgres_password
printf 'postgresql://kasparro:%s@db:5432/kasparro' "$password" >secrets/database_url
echo 'made docker/secrets: the password of the database in the containers'
