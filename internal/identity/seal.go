package identity

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
)

// Seal encrypts a text with the first of the keys, by AES-GCM with a nonce of its
// own. It is opened only by who names what it is about.
func (k *Keys) Seal(plain, about []byte) ([]byte, error) {
	aead, err := sealWith(k.All()[0])
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, plain, about), nil
}

// Open decrypts what any of the keys has sealed, and tells by its place in the list
// which one; ok is false where none has.
func (k *Keys) Open(sealed, about []byte) (plain []byte, which int, ok bool) {
	for i, key := range k.All() {
		aead, err := sealWith(key)
		if err != nil {
			continue // it has the right length
		}
		if plain, err := aead.Open(nil, nil, sealed, about); err == nil {
			return plain, i, true
		}
	}
	return nil, 0, false
}

func sealWith(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make seal: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("make seal: %w", err)
	}
	return aead, nil
}
