#!/bin/sh
# Verifies a delivery with openssl. Only for trying out by hand: openssl takes keys as arguments, so anyone who lists
# the processes of this machine can see the secret while it runs. For servers, use one of the other files.
set -eu
export LC_ALL=C # no multibyte characters

# Use this function if you can choose. The signature covers the id and the time as well as the body, so a replay is
# refused after five minutes. The body is a file, because a variable cannot contain zero bytes.
verify_standard() { # secret id timestamp signatures body-file
    key=$(key_of "$1") || refuse 'the secret is not whsec_ and 24 to 64 bytes in base64'
    is_now "$3" || refuse 'webhook-timestamp is not within five minutes of now'
    digest=$({ printf '%s.%s.' "$2" "$3" && cat "$5"; } | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | openssl base64 -A)
    # After a rotation, both the new and the old secret sign for 24 hours. One match is enough.
    any_is "v1,$digest" ' ' "$4" || refuse 'webhook-signature does not match'
}

# The product's own form, for receivers that already use it. It covers only the body, so it cannot detect a replay.
verify_statuspulse() { # secret signature signature-next body-file
    key_of "$1" > /dev/null || refuse 'the secret is not whsec_ and 24 to 64 bytes in base64'
    digest=$(openssl dgst -sha256 -hmac "$1" -r < "$4" | cut -d ' ' -f 1)
    # During a rotation with the style "split", a separate header has the new secret's digest.
    any_is "$digest" , "$2,$3" || refuse 'X-StatusPulse-Signature does not match'
}

any_is() { # expected separator list
    set -f # do not expand a * in the list to file names
    IFS=$2
    for one in $3; do
        unset IFS
        if [ ${#one} -eq ${#1} ] && [ "$(blinded "$one")" = "$(blinded "$1")" ]; then return 0; fi
    done
    unset IFS
    return 1
}

# The shell's = does not compare in constant time. It compares digests with a random key: its duration reveals nothing.
blinded() {
    printf %s "$1" | openssl dgst -sha256 -hmac "$blind" -r
}

is_now() {
    case $1 in '' | *[!0-9]*) return 1 ;; esac
    now=$(date +%s)
    [ ${#1} -le 12 ] && [ "$1" -ge $((now - 300)) ] && [ "$1" -le $((now + 300)) ]
}

# Prints the key in hex. Refuses a malformed secret: a missing setting is an empty one, with which anyone can sign.
key_of() {
    hex=$(printf %s "${1#whsec_}" | openssl base64 -d -A 2> /dev/null | od -An -v -tx1 | tr -d ' \n')
    case $1 in whsec_*) [ ${#hex} -ge 48 ] && [ ${#hex} -le 128 ] && echo "$hex" ;; *) return 1 ;; esac
}

refuse() {
    echo "refused: $1"
    exit 1
}

# STATUSPULSE_SECRET=whsec_… sh verify.sh < request
blind=$(openssl rand -hex 32)
id='' timestamp='' signatures='' signature='' next=''
while IFS= read -r line; do
    line=${line%"$(printf '\r')"}
    [ -n "$line" ] || break
    value=${line#*:}
    value=${value# }
    case $(printf %s "${line%%:*}" | tr '[:upper:]' '[:lower:]') in
        webhook-id) id=$value ;;
        webhook-timestamp) timestamp=$value ;;
        webhook-signature) signatures=$value ;;
        x-statuspulse-signature) signature=$value ;;
        x-statuspulse-signature-next) next=$value ;;
    esac
done
body=$(mktemp)
trap 'rm -f "$body"' EXIT
cat > "$body"
verify_standard "${STATUSPULSE_SECRET:-}" "$id" "$timestamp" "$signatures" "$body"
verify_statuspulse "${STATUSPULSE_SECRET:-}" "$signature" "$next" "$body"
echo ok
