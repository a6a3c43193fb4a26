package rabbitmq

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
)

// definitions is what the node imports at its start: users and permissions.
func definitions(users map[string]User) string {
	type object = map[string]any
	var accounts, permissions []object
	for name, u := range users {
		accounts = append(accounts, object{
			"name": name, "password_hash": hash(u.Password), "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": u.Tags,
		})
		permissions = append(permissions, object{
			"user": name, "vhost": "/", "configure": u.Configure, "write": u.Write, "read": u.Read,
		})
	}
	text, _ := json.Marshal(object{ //nolint:errchkjson // strings only
		"vhosts": []object{{"name": "/"}}, "users": accounts, "permissions": permissions,
	})
	return string(text)
}

// hash is the form in which RabbitMQ keeps a password; the salt of a test need
// not be random.
func hash(password string) string {
	salt := []byte("salt")
	sum := sha256.Sum256(append(salt, password...))
	return base64.StdEncoding.EncodeToString(append([]byte("salt"), sum[:]...))
}
