<?php
// Verifies a delivery in PHP 8 or later, without packages. Copy the function you need and those it calls.
declare(strict_types=1);

// Use this function if you can choose. The signature covers the id and the time as well as the body, so a replay is
// refused after five minutes. $headers is array_change_key_case(getallheaders()). $body is
// file_get_contents('php://input'): parse it afterwards.
function verify_standard(string $secret, array $headers, string $body): void
{
    [$id, $time] = [$headers['webhook-id'] ?? '', $headers['webhook-timestamp'] ?? ''];
    $key = base64_decode(substr(checked($secret), strlen('whsec_')), true);
    if (!preg_match('/^\d{1,12}$/D', $time) || abs(time() - (int) $time) > 300) {
        throw new InvalidArgumentException('webhook-timestamp is not within five minutes of now');
    }
    $expected = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$time.$body", $key, true));
    // After a rotation, both the new and the old secret sign for 24 hours. One match is enough.
    foreach (explode(' ', $headers['webhook-signature'] ?? '') as $one) {
        // In constant time: the duration of === would reveal how much of a guess was right.
        if (hash_equals($expected, $one)) {
            return;
        }
    }
    throw new InvalidArgumentException('webhook-signature does not match');
}

// The product's own form, for receivers that already use it. It covers only the body, so it cannot detect a replay.
function verify_statuspulse(string $secret, array $headers, string $body): void
{
    $expected = hash_hmac('sha256', $body, checked($secret));
    // During a rotation with the style "split", a separate header has the new secret's digest.
    $given = ($headers['x-statuspulse-signature'] ?? '') . ',' . ($headers['x-statuspulse-signature-next'] ?? '');
    foreach (explode(',', $given) as $one) {
        if (hash_equals($expected, $one)) {
            return;
        }
    }
    throw new InvalidArgumentException('X-StatusPulse-Signature does not match');
}

// Refuses a malformed secret. A missing setting is an empty secret, with which anyone can sign.
function checked(string $secret): string
{
    if (!preg_match('~^whsec_[A-Za-z0-9+/]{32,86}={0,2}$~D', $secret)) {
        throw new InvalidArgumentException('the secret is not whsec_ and 24 to 64 bytes in base64');
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
