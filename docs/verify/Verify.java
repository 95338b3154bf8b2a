import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Instant;
import java.util.Arrays;
import java.util.Base64;
import java.util.HexFormat;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.function.UnaryOperator;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** Verifies a delivery in Java 17 or later, without libraries. Copy the method you need and those it calls. */
public final class Verify {
    /**
     * Use this method if you can choose. The signature covers the id and the time as well as the body, so a replay is
     * refused after five minutes. {@code header} is {@code request::getHeader} of a servlet or
     * {@code headers::getFirst} of Spring. {@code body} is the bytes as received: parse them afterwards.
     */
    public static void standard(String secret, UnaryOperator<String> header, byte[] body) throws GeneralSecurityException {
        String id = text(header, "webhook-id");
        String time = text(header, "webhook-timestamp");
        byte[] key = Base64.getDecoder().decode(checked(secret).substring("whsec_".length()));
        if (!time.matches("[0-9]{1,12}") || Math.abs(Instant.now().getEpochSecond() - Long.parseLong(time)) > 300) {
            throw new GeneralSecurityException("webhook-timestamp is not within five minutes of now");
        }
        String expected = "v1," + Base64.getEncoder().encodeToString(digest(key, bytes(id + "." + time + "."), body));
        // After a rotation, both the new and the old secret sign for 24 hours. One match is enough.
        for (String one : text(header, "webhook-signature").split(" ")) {
            // In constant time: the duration of equals() would reveal how much of a guess was right.
            if (MessageDigest.isEqual(bytes(one), bytes(expected))) {
                return;
            }
        }
        throw new GeneralSecurityException("webhook-signature does not match");
    }

    /** The product's own form, for receivers that use it already. It covers only the body and detects no replay. */
    public static void statusPulse(String secret, UnaryOperator<String> header, byte[] body) throws GeneralSecurityException {
        String expected = HexFormat.of().formatHex(digest(bytes(checked(secret)), body));
        // During a rotation with the style "split", a separate header has the new secret's digest.
        String given = text(header, "x-statuspulse-signature") + "," + text(header, "x-statuspulse-signature-next");
        for (String one : given.split(",")) {
            if (MessageDigest.isEqual(bytes(one), bytes(expected))) {
                return;
            }
        }
        throw new GeneralSecurityException("X-StatusPulse-Signature does not match");
    }

    private static byte[] digest(byte[] key, byte[]... parts) throws GeneralSecurityException {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        for (byte[] part : parts) {
            mac.update(part);
        }
        return mac.doFinal();
    }

    /** Refuses a malformed secret. A missing setting is an empty secret, with which anyone can sign. */
    private static String checked(String secret) throws GeneralSecurityException {
        if (secret == null || !secret.matches("whsec_[A-Za-z0-9+/]{32,86}={0,2}")) {
            throw new GeneralSecurityException("the secret is not whsec_ and 24 to 64 bytes in base64");
        }
        return secret;
    }

    private static String text(UnaryOperator<String> header, String name) {
        return Objects.requireNonNullElse(header.apply(name), "");
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** STATUSPULSE_SECRET=whsec_… java Verify.java < request */
    public static void main(String[] arguments) throws Exception {
        byte[] request = System.in.readAllBytes();
        // In Latin-1 every byte is one character, so positions in the text and in the bytes are the same.
        String text = new String(request, StandardCharsets.ISO_8859_1);
        Map<String, String> headers = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
        int at = 0;
        while (true) {
            int end = text.indexOf('\n', at);
            String line = text.substring(at, end < 0 ? text.length() : end).stripTrailing();
            at = end < 0 ? text.length() : end + 1;
            if (line.isEmpty()) {
                break;
            }
            String[] parts = line.split(":", 2);
            headers.put(parts[0], parts.length == 2 ? parts[1].strip() : "");
        }
        byte[] body = Arrays.copyOfRange(request, at, request.length);
        String secret = System.getenv("STATUSPULSE_SECRET");
        try {
            standard(secret, headers::get, body);
            statusPulse(secret, headers::get, body);
            System.out.println("ok");
        } catch (GeneralSecurityException refusal) {
            System.out.println("refused: " + refusal.getMessage());
            System.exit(1);
        }
    }
}
