<?php
// Verifies a delivery with nothing but PHP (8 or later). Copy the function you need, and what it calls.
declare(strict_types=1);

// Use this one if you can choose. It covers id and time as well as the body, so a recorded delivery that somebody sends
// again is refused after five minutes. $headers is array_change_key_case(getallheaders()), $body is
// file_get_contents('php://input'): parse it later.
function verify_standard(string $secret, array $headers, string $body): void
{
    [$id, $time] = [$headers['webhook-id'] ?? '', $headers['webhook-timestamp'] ?? ''];
    $key = base64_decode(substr(checked($secret), strlen('whsec_')), true);
    if (!preg_match('/^\d{1,12}$/D', $time) || abs(time() - (int) $time) > 300) {
        throw new InvalidArgumentException('webhook-timestamp is not within five minutes of now');
    }
    $expected = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$time.$body", $key, true));
    // Two for a day after a rotation, the new secret's and the old one's. One that fits is enough.
    foreach (explode(' ', $headers['webhook-signature'] ?? '') as $one) {
        // In constant time: === would tell by its duration how much of a guess was right.
        if (hash_equals($expected, $one)) {
            return;
        }
    }
    throw new InvalidArgumentException('webhook-signature does not match');
}

// The product's own form, for whoever has it already: it covers the body alone, so it does not notice a replay.
function verify_statuspulse(string $secret, array $headers, string $body): void
{
    $expected = hash_hmac('sha256', $body, checked($secret));
    // A rotation of the style "split" has the new secret's digest in a header of its own.
    $given = ($headers['x-statuspulse-signature'] ?? '') . ',' . ($headers['x-statuspulse-signature-next'] ?? '');
    foreach (explode(',', $given) as $one) {
        if (hash_equals($expected, $one)) {
            return;
        }
    }
    throw new InvalidArgumentException('X-StatusPulse-Signature does not match');
}

// Anybody can sign with an empty key, which is what a setting that was forgotten amounts to.
function checked(string $secret): string
{
    if (!preg_match('~^whsec_[A-Za-z0-9+/]{43}=$~D', $secret)) {
        throw new InvalidArgumentException('the secret is not whsec_ and 32 bytes in base64');
    }
    return $secret;
}

// STATUSPULSE_SECRET=whsec_… php verify.php < request
$headers = [];
while (($line = rtrim((string) fgets(STDIN), "\r\n")) !== '') {
    [$name, $value] = explode(':', $line, 2) + [1 => ''];
    $headers[strtolower($name)] = trim($value, ' ');
}
$body = stream_get_contents(STDIN);
$secret = (string) getenv('STATUSPULSE_SECRET');
try {
    verify_standard($secret, $headers, $body);
    verify_statuspulse($secret, $headers, $body);
    echo "ok\n";
} catch (InvalidArgumentException $refusal) {
    echo "refused: {$refusal->getMessage()}\n";
    exit(1);
}
