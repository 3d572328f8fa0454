package client

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"runtime"
)

const (
	pemType    = "PRIVATE KEY"
	restoreKey = "restore the file from where it was made; without its key nobody can act in its owner's name"
)

// ReadKey reads a private key: PEM of PKCS#8, Ed25519. It refuses a file that
// the group or others may read, because then it is not private.
func ReadKey(path string) (ed25519.PrivateKey, error) {
	if err := checkPrivate(path); err != nil {
		return nil, err
	}
	raw, err := readBounded(path, 1<<16)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil || block.Type != pemType {
		return nil, Refuse(restoreKey, "%s: no PEM block of type %q", path, pemType)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, Refuse(restoreKey, "%s: not a private key: %w", path, err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, Refuse(restoreKey, "%s: a key of type %T, need Ed25519", path, parsed)
	}
	return key, nil
}

func checkPrivate(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Refuse(restoreKey, "the private key is missing: %w", err)
	}
	if err != nil {
		return err
	}
	if open := info.Mode().Perm() & 0o077; open != 0 && runtime.GOOS != "windows" {
		return Refuse("type `chmod 600 "+path+"`, and if someone may have copied it, replace the identity",
			"%s: others may read this private key (mode %04o)", path, info.Mode().Perm())
	}
	return nil
}

// WriteKey writes a private key for its owner alone, durably. It refuses to
// replace a file.
func WriteKey(path string, key ed25519.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}), 0o600)
}

// WriteFile makes a new file with the given content and syncs it. It refuses
// to replace one.
func WriteFile(path string, content []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}
