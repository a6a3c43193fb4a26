// Package weak tells passwords that others guess first: those that many chose
// before and that are in every list of leaked ones, single words and names with
// a few digits, walks over the keyboard, repetitions, and the user's own name.
//
// The list is zxcvbn's (Dropbox, MIT licence): the 30,000 commonest passwords of
// breaches, and the common words and names of English. It is kept as a Bloom
// filter, made by scripts/weak-passwords.sh; about one good password in 10,000
// is taken for one of the list.
package weak

import (
	_ "embed"
	"encoding/binary"
	"hash/fnv"
	"math/bits"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// least is how many characters must be left of a password without the names.
	least = 8
	// leastKinds is how many different characters it must have.
	leastKinds = 5
	// decoration is how many digits and signs around a word do not make it a good
	// password: a year and an exclamation mark.
	decoration = 5
	// leastName is how long a name is at least that matters in a password.
	leastName = 3
)

// Reason says in words why a password is easily guessed, "" if it is not. names
// are those of the user, the tenant, and whatever else an attacker knows.
func Reason(password string, names ...string) string {
	text := strings.ToLower(password)
	rest := text
	for _, name := range names {
		if utf8.RuneCountInString(name) >= leastName {
			rest = strings.ReplaceAll(rest, strings.ToLower(name), "")
		}
	}
	switch {
	case rest != text && utf8.RuneCountInString(rest) < least:
		return "is little more than the name of the user or the tenant"
	case kinds(rest) < leastKinds:
		return "has too few different characters"
	case isWalk(rest):
		return "is a row of keys or letters"
	case isCommon(rest):
		return "is one that others guess first"
	}
	return ""
}

func kinds(text string) int {
	seen := map[rune]bool{}
	for _, r := range text {
		seen[r] = true
	}
	return len(seen)
}

// rows are what fingers walk along.
var rows = []string{"1234567890", "qwertyuiop", "qwertzuiop", "azertyuiop", "asdfghjkl", "zxcvbnm", "yxcvbnm"}

// isWalk tells whether three quarters of the steps from one character to the
// next go nowhere, or to the neighbour in the alphabet or on the keyboard.
func isWalk(text string) bool {
	runes := []rune(text)
	near := 0
	for i := 1; i < len(runes); i++ {
		a, b := runes[i-1], runes[i]
		if d := a - b; d >= -1 && d <= 1 || neighbours(a, b) {
			near++
		}
	}
	return 4*near >= 3*(len(runes)-1)
}

func neighbours(a, b rune) bool {
	for _, row := range rows {
		i, j := strings.IndexRune(row, a), strings.IndexRune(row, b)
		if d := i - j; i >= 0 && j >= 0 && (d == 1 || d == -1) {
			return true
		}
	}
	return false
}

// plain undoes the usual disguises of letters.
var plain = strings.NewReplacer("@", "a", "4", "a", "3", "e", "1", "i", "!", "i", "0", "o", "$", "s", "5", "s", "7", "t")

// isCommon tells whether the password is one of the list, or one with some
// digits and signs around, or the same one several times.
func isCommon(text string) bool {
	text = unit(text)
	bare := strings.TrimFunc(text, func(r rune) bool { return !unicode.IsLetter(r) })
	for _, form := range []string{text, plain.Replace(text)} {
		if listed(form) {
			return true
		}
	}
	if utf8.RuneCountInString(text)-utf8.RuneCountInString(bare) > decoration {
		return false
	}
	// Disguises at the ends look like decoration: p4ssw0rd1 and pa$$w0rd! both.
	trimmed := strings.TrimRightFunc(text, func(r rune) bool { return !unicode.IsLetter(r) })
	return listed(unit(bare)) || listed(plain.Replace(unit(bare))) || listed(plain.Replace(trimmed))
}

// unit is what a text repeats, or the text.
func unit(text string) string {
	if i := strings.Index((text + text)[min(1, len(text)):], text) + 1; i > 0 && i < len(text) {
		return text[:i]
	}
	return text
}

//go:embed list.bloom
var list string

// listed tells whether a word is in the list.
func listed(word string) bool { return Has(list, word) }

// Has tells whether a filter has a word: surely not, or probably.
func Has(filter, word string) bool {
	has := len(filter) > 0
	probe(word, len(filter), func(i int, bit byte) { has = has && filter[i]&bit != 0 })
	return has
}

// Add puts a word into a filter.
func Add(filter []byte, word string) {
	probe(word, len(filter), func(i int, bit byte) { filter[i] |= bit })
}

// probes is how many bits stand for a word: the best for 20 bits a word.
const probes = 14

// probe gives the places of a word's bits, two hashes and their combinations
// (Kirsch and Mitzenmacher 2006).
func probe(word string, size int, at func(i int, bit byte)) {
	h := fnv.New128a()
	_, _ = h.Write([]byte(word)) // never fails (hash.Hash)
	sum := h.Sum(nil)
	one, two := binary.BigEndian.Uint64(sum), binary.BigEndian.Uint64(sum[8:])|1
	for i := range uint64(probes) {
		n, _ := bits.Mul64(one+i*two, uint64(size)*8) //nolint:gosec // a length
		at(int(n/8), 1<<(n%8))                        //nolint:gosec // below size
	}
}
