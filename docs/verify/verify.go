// Verifies a delivery in Go 1.19 or later, without modules. Copy the function you need and those it calls.
package main

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"time"
)

// VerifyStandard is the function to use if you can choose. The signature covers the id and the time as well as the
// body, so a replay is refused after five minutes. body is the result of io.ReadAll(r.Body): parse it afterwards.
func VerifyStandard(secret string, header http.Header, body []byte) error {
	key, err := keyOf(secret)
	if err != nil {
		return err
	}
	id, timestamp := header.Get("webhook-id"), header.Get("webhook-timestamp")
	sent, err := strconv.ParseInt(timestamp, 10, 64)
	now := time.Now().Unix()
	if err != nil || sent < now-300 || sent > now+300 {
		return errors.New("webhook-timestamp is not within five minutes of now")
	}
	signed := append([]byte(id+"."+timestamp+"."), body...)
	expected := "v1," + base64.StdEncoding.EncodeToString(digest(key, signed))
	// After a rotation, both the new and the old secret sign for 24 hours. One match is enough.
	for _, one := range strings.Split(header.Get("webhook-signature"), " ") {
		// In constant time: the duration of == would reveal how much of a guess was right.
		if hmac.Equal([]byte(one), []byte(expected)) {
			return nil
		}
	}
	return errors.New("webhook-signature does not match")
}

// VerifyStatusPulse checks the product's own form, for receivers that already use it. It covers only the body, so it
// cannot detect a replay.
func VerifyStatusPulse(secret string, header http.Header, body []byte) error {
	if _, err := keyOf(secret); err != nil {
		return err
	}
	expected := hex.EncodeToString(digest([]byte(secret), body))
	// During a rotation with the style "split", a separate header has the new secret's digest.
	given := header.Get("X-StatusPulse-Signature") + "," + header.Get("X-StatusPulse-Signature-Next")
	for _, one := range strings.Split(given, ",") {
		if hmac.Equal([]byte(one), []byte(expected)) {
			return nil
		}
	}
	return errors.New("X-StatusPulse-Signature does not match")
}

func digest(key, data []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(data)
	return mac.Sum(nil)
}

// keyOf decodes the secret, and refuses a malformed one. A missing setting is an empty secret, with which anyone can
// sign.
func keyOf(secret string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) < 24 || len(key) > 64 || !strings.HasPrefix(secret, "whsec_") {
		return nil, errors.New("the secret is not whsec_ and 24 to 64 bytes in base64")
	}
	return key, nil
}

// STATUSPULSE_SECRET=whsec_… go run verify.go < request
func main() {
	if err := run(os.Getenv("STATUSPULSE_SECRET")); err != nil {
		fmt.Println("refused:", err)
		os.Exit(1)
	}
	fmt.Println("ok")
}

func run(secret string) error {
	input := bufio.NewReader(os.Stdin)
	header, err := textproto.NewReader(input).ReadMIMEHeader()
	if err != nil {
		return err
	}
	body, err := io.ReadAll(input)
	if err != nil {
		return err
	}
	if err := VerifyStandard(secret, http.Header(header), body); err != nil {
		return err
	}
	return VerifyStatusPulse(secret, http.Header(header), body)
}
