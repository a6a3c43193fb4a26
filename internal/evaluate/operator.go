package evaluate

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// operator compares values.
type operator struct {
	// holds compares. An error says that the values are none that it compares.
	holds func(actual, expected any) (bool, error)
	// by is what of a value is compared: all of it when nil.
	by func(any) (any, error)
	// once makes of what is expected something that is quicker to compare many items
	// with; nil where there is nothing to be made.
	once func(expected any) any
	// lists: it compares whole lists; others compare each item.
	lists bool
	// alone: it does not look at what is expected.
	alone bool
}

func (o operator) subject(v any) (any, error) {
	if o.by == nil {
		return v, nil
	}
	return o.by(v)
}

// operators are all of them, by name.
var operators = map[string]operator{
	"equals":    {holds: func(a, e any) (bool, error) { return equals(a, e), nil }},
	"not_equal": {holds: func(a, e any) (bool, error) { return !equals(a, e), nil }},

	"greater_than":          {holds: numbers(func(a, e float64) bool { return a > e }), by: onlyNumber},
	"greater_than_or_equal": {holds: numbers(func(a, e float64) bool { return a >= e }), by: onlyNumber},
	"less_than":             {holds: numbers(func(a, e float64) bool { return a < e }), by: onlyNumber},
	"less_than_or_equal":    {holds: numbers(func(a, e float64) bool { return a <= e }), by: onlyNumber},
	"approximately_equals":  {holds: approximately},
	"in_range":              {holds: inRange},
	"not_in_range":          {holds: not(inRange)},
	"is_positive":           {holds: numbers(func(a, _ float64) bool { return a > 0 }).alone(), alone: true},
	"is_negative":           {holds: numbers(func(a, _ float64) bool { return a < 0 }).alone(), alone: true},
	"is_zero":               {holds: numbers(func(a, _ float64) bool { return a == 0 }).alone(), alone: true},

	"has_length_equal":                 {holds: numbers(func(a, e float64) bool { return a == e }), by: lengthOf, lists: true},
	"has_length_greater_than":          {holds: numbers(func(a, e float64) bool { return a > e }), by: lengthOf, lists: true},
	"has_length_greater_than_or_equal": {holds: numbers(func(a, e float64) bool { return a >= e }), by: lengthOf, lists: true},
	"has_length_less_than":             {holds: numbers(func(a, e float64) bool { return a < e }), by: lengthOf, lists: true},
	"has_length_less_than_or_equal":    {holds: numbers(func(a, e float64) bool { return a <= e }), by: lengthOf, lists: true},

	"contains":      {holds: contains, lists: true},
	"not_contains":  {holds: not(contains)},
	"starts_with":   {holds: texts(strings.HasPrefix)},
	"ends_with":     {holds: texts(strings.HasSuffix)},
	"matches":       {holds: matches, once: compiled},
	"matches_regex": {holds: matches, once: compiled},
	"contains_word": {holds: texts(containsWord)},

	"is_numeric": {holds: kind[json.Number], lists: true, alone: true},
	"is_string":  {holds: kind[string], lists: true, alone: true},
	"is_boolean": {holds: kind[bool], lists: true, alone: true},
	"is_null":    {holds: func(a, _ any) (bool, error) { return a == nil, nil }, lists: true, alone: true},
	"is_array":   {holds: kind[[]any], lists: true, alone: true},
	"is_object":  {holds: kind[map[string]any], lists: true, alone: true},

	"is_email":        {holds: textual(email.MatchString), alone: true},
	"is_url":          {holds: textual(url.MatchString), alone: true},
	"is_uuid":         {holds: textual(uuid.MatchString), alone: true},
	"is_iso8601":      {holds: textual(iso8601.MatchString), alone: true},
	"is_json":         {holds: textual(func(s string) bool { return json.Valid([]byte(s)) }), alone: true},
	"is_alphabetic":   {holds: textual(every(alphabetic)), alone: true},
	"is_alphanumeric": {holds: textual(every(func(r rune) bool { return alphabetic(r) || unicode.IsNumber(r) })), alone: true},
	"is_lower_case":   {holds: cased(lower), alone: true},
	"is_upper_case":   {holds: cased(upper), alone: true},

	"contains_all":     {holds: lists(func(has, all []any) bool { return countIn(has, all) == len(all) }), lists: true},
	"contains_any":     {holds: containsAny, lists: true},
	"contains_none":    {holds: lists(func(has, none []any) bool { return countIn(has, none) == 0 }), lists: true},
	"sequence_matches": {holds: lists(func(has, all []any) bool { return same(has, all) }), lists: true},
	"is_empty":         {holds: empty, lists: true, alone: true},
	"is_not_empty":     {holds: not(empty), lists: true, alone: true},
	"has_unique_items": {holds: unique, lists: true, alone: true},
}

// compares is what operators do.
type compares func(actual, expected any) (bool, error)

var (
	errNumber = errors.New("it is no number")
	errText   = errors.New("it is no text")
	errKinds  = errors.New("the two are not of kinds that are compared")
)

func not(holds compares) compares {
	return func(actual, expected any) (bool, error) {
		ok, err := holds(actual, expected)
		return !ok, err
	}
}

func numbers(compare func(actual, expected float64) bool) compares {
	return func(actual, expected any) (bool, error) {
		a, is := number(actual)
		e, too := number(expected)
		if !is || !too {
			return false, errNumber
		}
		return compare(a, e), nil
	}
}

// alone is the same of one number.
func (c compares) alone() compares {
	return func(actual, _ any) (bool, error) { return c(actual, json.Number("0")) }
}

func onlyNumber(v any) (any, error) {
	if _, ok := v.(json.Number); !ok {
		return nil, errNumber
	}
	return v, nil
}

func lengthOf(v any) (any, error) {
	n, ok := length(v)
	if !ok {
		return nil, errors.New("it has no length")
	}
	return count(n), nil
}

// equals compares numbers by their values, also with those that are texts.
func equals(actual, expected any) bool {
	a, aText := actual.(string)
	e, eText := expected.(string)
	an, aNumber := actual.(json.Number)
	en, eNumber := expected.(json.Number)
	switch {
	case aNumber && eNumber:
		_, _, aWhole := whole(an)
		_, _, eWhole := whole(en)
		if aWhole == eWhole {
			return sameNumber(an, en)
		}
		x, _ := number(an)
		y, _ := number(en)
		return x == y
	case aText && eNumber:
		return sameAsText(en, a)
	case aNumber && eText:
		return sameAsText(an, e)
	}
	return same(actual, expected)
}

func sameAsText(n json.Number, text string) bool {
	if strings.ContainsAny(text, "xXpP_") { // what only Go takes for a number
		return false
	}
	f, err := strconv.ParseFloat(text, 64)
	x, _ := number(n)
	return err == nil && f == x
}

// pair reads two numbers.
func pair(v any) (first, second float64, err error) {
	list, _ := v.([]any)
	if len(list) != 2 {
		return 0, 0, errors.New("what is expected is no list of two numbers")
	}
	first, ok := number(list[0])
	second, too := number(list[1])
	if !ok || !too {
		return 0, 0, errors.New("what is expected is no list of two numbers")
	}
	return first, second, nil
}

func approximately(actual, expected any) (bool, error) {
	want, tolerance, err := pair(expected)
	if err != nil {
		return false, err
	}
	a, ok := number(actual)
	if !ok {
		return false, errNumber
	}
	return math.Abs(a-want) <= tolerance, nil
}

func inRange(actual, expected any) (bool, error) {
	a, ok := number(actual)
	if !ok {
		return false, errNumber
	}
	least, most, err := pair(expected)
	return err == nil && a >= least && a <= most, err
}

func in(list []any, v any) bool {
	for _, item := range list {
		if same(item, v) {
			return true
		}
	}
	return false
}

// fewPairs is up to where items are compared one by one.
const fewPairs = 1000

// countIn is how many of the wanted a list has.
func countIn(list, wanted []any) (n int) {
	if len(list)*len(wanted) > fewPairs {
		keys := make(map[string]bool, len(list))
		for _, item := range list {
			keys[key(item)] = true
		}
		for _, v := range wanted {
			if keys[key(v)] {
				n++
			}
		}
		return n
	}
	for _, v := range wanted {
		if in(list, v) {
			n++
		}
	}
	return n
}

func contains(actual, expected any) (bool, error) {
	if list, ok := actual.([]any); ok {
		return in(list, expected), nil
	}
	return texts(strings.Contains)(actual, expected)
}

func containsAny(actual, expected any) (bool, error) {
	words, ok := expected.([]any)
	text, is := actual.(string)
	if !ok || !is {
		return lists(func(has, some []any) bool { return countIn(has, some) > 0 })(actual, expected)
	}
	for _, word := range words {
		if w, ok := word.(string); ok && strings.Contains(text, w) {
			return true, nil
		}
	}
	return false, nil
}

func lists(compare func(actual, expected []any) bool) compares {
	return func(actual, expected any) (bool, error) {
		a, is := actual.([]any)
		e, too := expected.([]any)
		if !is || !too {
			return false, errKinds
		}
		return compare(a, e), nil
	}
}

func texts(compare func(actual, expected string) bool) compares {
	return func(actual, expected any) (bool, error) {
		a, is := actual.(string)
		e, too := expected.(string)
		if !is || !too {
			return false, errKinds
		}
		return compare(a, e), nil
	}
}

func textual(is func(string) bool) compares {
	return func(actual, _ any) (bool, error) {
		s, ok := actual.(string)
		if !ok {
			return false, errText
		}
		return is(s), nil
	}
}

func kind[T any](actual, _ any) (bool, error) {
	_, ok := actual.(T)
	return ok, nil
}

func empty(actual, _ any) (bool, error) {
	if actual == nil {
		return true, nil
	}
	n, ok := length(actual)
	if !ok {
		return false, errKinds
	}
	return n == 0, nil
}

func unique(actual, _ any) (bool, error) {
	list, ok := actual.([]any)
	if !ok {
		return false, errKinds
	}
	seen := make(map[string]bool, len(list))
	for _, item := range list {
		k := key(item)
		if seen[k] {
			return false, nil
		}
		seen[k] = true
	}
	return true, nil
}

// The formats that texts may have.
var (
	email   = regexp.MustCompile(`^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}$`)
	url     = regexp.MustCompile(`^https?://[a-zA-Z0-9][a-zA-Z0-9-]*(\.[a-zA-Z0-9][a-zA-Z0-9-]*)*(/.*)?$`)
	uuid    = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)
	iso8601 = regexp.MustCompile(`^\p{Nd}{4}-\p{Nd}{2}-\p{Nd}{2}(T\p{Nd}{2}:\p{Nd}{2}:\p{Nd}{2}(\.\p{Nd}+)?(Z|[+-]\p{Nd}{2}:\p{Nd}{2})?)?$`)
)

func alphabetic(r rune) bool {
	return unicode.IsLetter(r) || unicode.In(r, unicode.Nl, unicode.Other_Alphabetic)
}

func lower(r rune) bool { return unicode.IsLower(r) || unicode.Is(unicode.Other_Lowercase, r) }

func upper(r rune) bool { return unicode.IsUpper(r) || unicode.Is(unicode.Other_Uppercase, r) }

func every(is func(rune) bool) func(string) bool {
	return func(s string) bool {
		for _, r := range s {
			if !is(r) {
				return false
			}
		}
		return true
	}
}

// cased looks at letters alone, of which there must be one.
func cased(is func(rune) bool) compares {
	return func(actual, _ any) (bool, error) {
		s, ok := actual.(string)
		if !ok || !strings.ContainsFunc(s, alphabetic) {
			return false, errors.New("it is no text with letters")
		}
		return every(func(r rune) bool { return !alphabetic(r) || is(r) })(s), nil
	}
}

// maxPattern bounds a pattern.
const maxPattern = 4096

// pattern compiles a regular expression in which \d, \w and \s are those of all
// scripts.
func pattern(text string) (*regexp.Regexp, error) {
	if len(text) > maxPattern {
		return nil, fmt.Errorf("the pattern is longer than %d bytes", maxPattern)
	}
	re, err := regexp.Compile(wide(text))
	if err != nil {
		return nil, fmt.Errorf("the pattern is not understood: %w", err)
	}
	return re, nil
}

// read is a pattern that was compiled, or why it cannot be.
type read struct {
	re  *regexp.Regexp
	err error
}

// compiled reads a pattern once for many items.
func compiled(expected any) any {
	e, ok := expected.(string)
	if !ok {
		return expected
	}
	re, err := pattern(e)
	return read{re, err}
}

func matches(actual, expected any) (bool, error) {
	a, is := actual.(string)
	r, too := compiled(expected).(read)
	if !is || !too {
		return false, errKinds
	}
	return r.err == nil && r.re.MatchString(a), r.err
}
