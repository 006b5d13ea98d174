#!/bin/sh
# Write the passwords that compose.yaml asks for into .env, each once: what is there stays.
# Hexadecimal digits only, because they become parts of URLs as they are.
set -eu
cd "$(dirname "$0")/.."
umask 077
touch .env
for name in RABBITMQ_PASSWORD MONGODB_PASSWORD REDIS_PASSWORD; do
  if grep -q "^$name=" .env; then
    echo "$name: kept"
  else
    password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
    printf '%s=%s\n' "$name" "$password" >>.env
    echo "$name: written"
  fi
done
