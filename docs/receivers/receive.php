<?php
// Receives deliveries with PHP: STATUSPULSE_SECRET=whsec_... php -S 127.0.0.1:8000 receive.php

$secret = getenv('STATUSPULSE_SECRET');
if (!is_string($secret) || !str_starts_with($secret, 'whsec_')) {
    http_response_code(500);
    exit('STATUSPULSE_SECRET is not set');
}

// The bytes as they came.
$body = file_get_contents('php://input');
$expected = hash_hmac('sha256', $body, $secret);
// During a rotation there are two signatures: in one header, or in two.
$given = ($_SERVER['HTTP_X_STATUSPULSE_SIGNATURE'] ?? '') . ',' . ($_SERVER['HTTP_X_STATUSPULSE_SIGNATURE_NEXT'] ?? '');
$is_signed = false;
foreach (explode(',', $given) as $one) {
    $is_signed = hash_equals($expected, $one) || $is_signed;
}
if (!$is_signed) {
    http_response_code(401);
    exit('wrong signature');
}

$message = json_decode($body, true);
if (str_starts_with($message['event_type'], 'incident_')) {
    error_log($message['event_type'] . ' ' . $message['incident_id']);
}
http_response_code(200);
