#!/bin/sh
# Generates an image through a gateway with curl: submits, waits in long polls, and downloads.
#
#   FLUX2_API_KEY=f2gw_... FLUX2_BASE_URL=http://127.0.0.1:8787 sh client.sh "a red fox" fox.png
set -eu

prompt=${1:-a red fox in the snow} file=${2:-image.png}
base=${FLUX2_BASE_URL:-http://127.0.0.1:8787}

# The key of idempotency makes it safe to repeat the request: --retry buys nothing twice.
key=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
body=$(printf '%s' "$prompt" | sed 's/[\\"]/\\&/g')
response=$(curl -sS --fail-with-body --retry 5 --retry-all-errors "$base/api/v1/images/generations" \
    -H "Authorization: Bearer $FLUX2_API_KEY" -H "Idempotency-Key: $key" -H 'Content-Type: application/json' \
    -d "{\"prompt\":\"$body\"}") || { echo "$response" >&2 && exit 1; }
task=$(printf '%s' "$response" | sed -n 's/.*"task_id":"\([^"]*\)".*/\1/p')

# Each of these requests waits until the task has ended, or for 30 seconds.
while :; do
    response=$(curl -sS --fail-with-body --retry 5 "$base/api/v1/tasks/$task?wait=30" \
        -H "Authorization: Bearer $FLUX2_API_KEY") || { echo "$response" >&2 && exit 1; }
    case $response in
    *'"status":"SUCCESS"'*) break ;;
    *'"status":"QUEUED"'* | *'"status":"IN_PROGRESS"'*) ;;
    *) echo "$response" >&2 && exit 1 ;;
    esac
done

url=$(printf '%s' "$response" | sed -n 's/.*"image_url":"\([^"]*\)".*/\1/p' | sed 's/\\//g')
curl -sS --fail --retry 5 -o "$file" "$url"
echo "$file"
