package client

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestKeyRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), KeyFile)
	if err := WriteKey(path, testKey(1)); err != nil {
		t.Fatal(err)
	}
	key, err := ReadKey(path)
	if err != nil || !key.Equal(testKey(1)) {
		t.Fatalf("another key, %v", err)
	}
	if err := WriteKey(path, testKey(2)); !os.IsExist(err) {
		t.Errorf("a key was replaced: %v", err)
	}
}

func TestKeyPermissions(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // modes mean nothing there
	}
	path := filepath.Join(t.TempDir(), KeyFile)
	if err := WriteKey(path, testKey(1)); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o660, 0o601, 0o644} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKey(path); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	for _, mode := range []os.FileMode{0o600, 0o400} {
		os.Chmod(path, mode)
		if _, err := ReadKey(path); err != nil {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}

func TestKeyRefusals(t *testing.T) {
	dir := t.TempDir()
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(other)
	if err != nil {
		t.Fatal(err)
	}
	for want, content := range map[string][]byte{
		"no PEM block":      []byte("nothing"),
		"not a private key": pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: []byte("junk")}),
		"need Ed25519":      pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}),
	} {
		path := filepath.Join(dir, strings.ReplaceAll(want, " ", "-"))
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		var e *Error
		if _, err := ReadKey(path); !errors.As(err, &e) || !strings.Contains(e.Cause, want) || e.Next == "" {
			t.Errorf("%v, want %q and a next step", err, want)
		}
	}
	var e *Error
	if _, err := ReadKey(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &e) || e.Next == "" {
		t.Error(err)
	}
}
