# Verifies a delivery in Ruby 2.7 or later, without gems. Copy the function you need and those it calls.
require "openssl"

# Use this function if you can choose. The signature covers the id and the time as well as the body, so a replay is
# refused after five minutes. `headers` is `request.headers` of Rails. `body` is `request.raw_post`: parse it
# afterwards. Raises ArgumentError.
def verify_standard(secret, headers, body)
  # As plain bytes, because `split` raises for a header that is not valid text.
  id, time, given = %w[webhook-id webhook-timestamp webhook-signature].map { |name| headers[name].to_s.b }
  key = checked(secret).delete_prefix("whsec_").unpack1("m")
  unless time.match?(/\A\d{1,12}\z/) && (Time.now.to_i - time.to_i).abs <= 300
    raise ArgumentError, "webhook-timestamp is not within five minutes of now"
  end
  expected = "v1," + [OpenSSL::HMAC.digest("SHA256", key, "#{id}.#{time}.".b + body.b)].pack("m0")
  # After a rotation, both the new and the old secret sign for 24 hours. One match is enough.
  return if given.split(" ").any? { |one| OpenSSL.secure_compare(one, expected) }

  raise ArgumentError, "webhook-signature does not match"
end

# The product's own form, for receivers that already use it. It covers only the body, so it cannot detect a replay.
def verify_statuspulse(secret, headers, body)
  expected = OpenSSL::HMAC.hexdigest("SHA256", checked(secret), body)
  # During a rotation with the style "split", a separate header has the new secret's digest.
  given = %w[x-statuspulse-signature x-statuspulse-signature-next].map { |name| headers[name].to_s.b }.join(",")
  # secure_compare takes constant time. The duration of == would reveal how much of a guess was right.
  return if given.split(",").any? { |one| OpenSSL.secure_compare(one, expected) }

  raise ArgumentError, "X-StatusPulse-Signature does not match"
end

# Refuses a malformed secret. A missing setting is an empty secret, with which anyone can sign.
def checked(secret)
  return secret if secret.to_s.b.match?(%r{\Awhsec_[A-Za-z0-9+/]{32,86}={0,2}\z})

  raise ArgumentError, "the secret is not whsec_ and 24 to 64 bytes in base64"
end

# STATUSPULSE_SECRET=whsec_… ruby verify.rb < request
if $PROGRAM_NAME == __FILE__
  $stdin.binmode
  headers = {}
  while (line = $stdin.gets&.chomp) && !line.empty?
    name, value = line.split(":", 2)
    headers[name.downcase] = value.to_s.strip
  end
  body = $stdin.read
  begin
    verify_standard(ENV["STATUSPULSE_SECRET"], headers, body)
    verify_statuspulse(ENV["STATUSPULSE_SECRET"], headers, body)
  rescue ArgumentError => e
    puts "refused: #{e.message}"
    exit 1
  end
  puts "ok"
end
