# Verifies a delivery with nothing but Ruby (2.7 or later). Copy the function you need, and what it calls.
require "openssl"

# Use this one if you can choose. It covers id and time as well as the body, so a recorded delivery that somebody sends
# again is refused after five minutes. `headers` are Rails' `request.headers`, `body` is `request.raw_post`: parse it
# later. Raises ArgumentError.
def verify_standard(secret, headers, body)
  # As plain bytes: a header may hold what is no valid text, on which `split` would raise.
  id, time, given = %w[webhook-id webhook-timestamp webhook-signature].map { |name| headers[name].to_s.b }
  key = checked(secret).delete_prefix("whsec_").unpack1("m")
  unless time.match?(/\A\d{1,12}\z/) && (Time.now.to_i - time.to_i).abs <= 300
    raise ArgumentError, "webhook-timestamp is not within five minutes of now"
  end
  expected = "v1," + [OpenSSL::HMAC.digest("SHA256", key, "#{id}.#{time}.".b + body.b)].pack("m0")
  # Two for a day after a rotation, the new secret's and the old one's. One that fits is enough.
  return if given.split(" ").any? { |one| OpenSSL.secure_compare(one, expected) }

  raise ArgumentError, "webhook-signature does not match"
end

# The product's own form, for whoever has it already: it covers the body alone, so it does not notice a replay.
def verify_statuspulse(secret, headers, body)
  expected = OpenSSL::HMAC.hexdigest("SHA256", checked(secret), body)
  # A rotation of the style "split" has the new secret's digest in a header of its own.
  given = %w[x-statuspulse-signature x-statuspulse-signature-next].map { |name| headers[name].to_s.b }.join(",")
  # secure_compare takes the same time whatever differs: == would tell how much of a guess was right.
  return if given.split(",").any? { |one| OpenSSL.secure_compare(one, expected) }

  raise ArgumentError, "X-StatusPulse-Signature does not match"
end

# Anybody can sign with an empty key, which is what a setting that was forgotten amounts to.
def checked(secret)
  return secret if secret.to_s.b.match?(%r{\Awhsec_[A-Za-z0-9+/]{43}=\z})

  raise ArgumentError, "the secret is not whsec_ and 32 bytes in base64"
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
