package evaluate

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// response is an answer of a language model, whoever's it is.
type response struct {
	raw                  any
	calls                []call
	content              string
	model, finish        any // a text, or nil
	input, output, total any // a number, or nil
}

// call is a call of a tool that the model asks for.
type call struct {
	name string
	args any
}

// responseAt reads the answer at a path of the context; without one, at its member
// response, or all of it.
func responseAt(context any, path, provider string) (*response, error) {
	v := context
	if path != "" {
		found, err := at(context, path)
		if err != nil {
			return nil, err
		}
		v = found
	} else if members, ok := context.(map[string]any); ok {
		if inner, ok := members["response"]; ok {
			v = inner
		}
	}
	members, ok := v.(map[string]any)
	if !ok {
		return nil, errResponse
	}
	read := formOf(members, provider)
	if read == nil {
		return nil, errResponse
	}
	r := &response{raw: v}
	read(r, object(members))
	return r, nil
}

var errResponse = errors.New("it is no answer of a language model whose form is known")

// adkMembers tell an answer of the Agent Development Kit from Gemini's.
var adkMembers = []string{
	"partial", "turn_complete", "interrupted", "error_code", "error_message", "interaction_id", "live_session_resumption_update",
	"input_transcription", "output_transcription", "custom_metadata", "usage_metadata", "model_version",
}

// formOf is who reads an answer: of a provider, or of whoever's it looks like; nil
// when that is nobody's.
func formOf(members map[string]any, provider string) func(*response, object) {
	has := func(names ...string) bool {
		for _, name := range names {
			if _, ok := members[name]; ok {
				return true
			}
		}
		return false
	}
	switch strings.ToLower(provider) {
	case "openai":
		return (*response).openAI
	case "anthropic":
		return (*response).anthropic
	case "gemini":
		return (*response).gemini
	case "google", "vertex":
		if has("predictions") {
			return (*response).predictions
		}
		return (*response).gemini
	case "googleadk", "google_adk":
		return (*response).adk
	}
	switch {
	case has("choices"):
		return (*response).openAI
	case has("predictions"):
		return (*response).predictions
	case has("stop_reason") && has("content"):
		return (*response).anthropic
	case has(adkMembers...):
		return (*response).adk
	case has("candidates"):
		return (*response).gemini
	}
	return nil
}

// object is a JSON object; what it has not, or of another kind, is empty.
type object map[string]any

func (o object) in(name string) object {
	inner, _ := o[name].(map[string]any)
	return inner
}

func (o object) list(name string) (all []object) {
	list, _ := o[name].([]any)
	for _, item := range list {
		inner, _ := item.(map[string]any)
		all = append(all, inner)
	}
	return all
}

func (o object) text(name string) string {
	s, _ := o[name].(string)
	return s
}

// textOrNull is nil where there is no text.
func (o object) textOrNull(name string) any {
	if s, ok := o[name].(string); ok {
		return s
	}
	return nil
}

// number is one; 0 where there is none.
func (o object) number(name string) any {
	if n, ok := o[name].(json.Number); ok {
		return n
	}
	return count(0)
}

func (r *response) openAI(o object) {
	r.model = o.text("model")
	usage := o.in("usage")
	r.input, r.output, r.total = usage.number("prompt_tokens"), usage.number("completion_tokens"), usage.number("total_tokens")
	for i, choice := range o.list("choices") {
		message := choice.in("message")
		if i == 0 {
			r.content, r.finish = message.text("content"), choice.text("finish_reason")
		}
		for _, c := range message.list("tool_calls") {
			f := c.in("function")
			args, err := Decode([]byte(f.text("arguments")))
			if err != nil {
				args = nil
			}
			r.calls = append(r.calls, call{f.text("name"), args})
		}
	}
}

func (r *response) anthropic(o object) {
	r.model, r.finish = o.text("model"), o.textOrNull("stop_reason")
	usage := o.in("usage")
	r.input, r.output = usage.number("input_tokens"), usage.number("output_tokens")
	in, _ := number(r.input)
	out, _ := number(r.output)
	r.total = count(int(in + out))
	for _, block := range o.list("content") {
		switch block.text("type") {
		case "text":
			r.content = block.text("text") // the last one
		case "tool_use":
			r.calls = append(r.calls, call{block.text("name"), block["input"]})
		}
	}
}

// parts reads the parts of a message of Google's; text says whether its last text is
// the answer's.
func (r *response) parts(content object, name string, text bool) {
	for _, part := range content.list("parts") {
		if s, ok := part["text"].(string); ok && text {
			r.content = s
		}
		if f, ok := part[name].(map[string]any); ok {
			r.calls = append(r.calls, call{object(f).text("name"), f["args"]})
		}
	}
}

// tokens reads counts that are only there together.
func (r *response) tokens(o object, usage, input, output, total string) {
	if _, ok := o[usage].(map[string]any); !ok {
		return
	}
	u := o.in(usage)
	r.input, r.output, r.total = u.number(input), u.number(output), u.number(total)
}

func (r *response) gemini(o object) {
	r.model = o.textOrNull("modelVersion")
	r.tokens(o, "usageMetadata", "promptTokenCount", "candidatesTokenCount", "totalTokenCount")
	for i, candidate := range o.list("candidates") {
		if i == 0 {
			r.finish = candidate.textOrNull("finishReason")
		}
		r.parts(candidate.in("content"), "functionCall", i == 0)
	}
}

func (r *response) adk(o object) {
	r.model, r.finish = o.textOrNull("model_version"), o.textOrNull("finish_reason")
	r.tokens(o, "usage_metadata", "prompt_token_count", "candidates_token_count", "total_token_count")
	r.parts(o.in("content"), "function_call", true)
}

func (r *response) predictions(o object) { r.model = o.text("model") }

// responseValue is something of an answer.
type responseValue struct {
	Name      *string         `json:"name"`
	Arguments json.RawMessage `json:"arguments"`
	Names     []string        `json:"names"`
	Argument  string          `json:"argument_key"`
	Path      string          `json:"path"`
	arguments any
	take      responseTaker
}

type responseTaker func(v *responseValue, r *response) (any, error)

func (v *responseValue) of(from source) (any, error) { return v.take(v, from.response) }

// responseTakers are what there is to take of answers.
var responseTakers = map[string]responseTaker{
	"tool_called":     func(v *responseValue, r *response) (any, error) { return v.called(r) > 0, nil },
	"tool_not_called": func(v *responseValue, r *response) (any, error) { return v.called(r) == 0, nil },
	"tool_called_with_args": func(v *responseValue, r *response) (any, error) {
		for _, c := range r.calls {
			if c.name == v.name() && partly(c.args, v.arguments) {
				return true, nil
			}
		}
		return false, nil
	},
	"tool_call_sequence": func(v *responseValue, r *response) (any, error) {
		left := v.Names
		for _, c := range r.calls {
			if len(left) > 0 && c.name == left[0] {
				left = left[1:]
			}
		}
		return len(left) == 0, nil
	},
	"tool_call_count": func(v *responseValue, r *response) (any, error) { return count(v.called(r)), nil },
	"tool_argument": func(v *responseValue, r *response) (any, error) {
		for _, c := range r.calls {
			if c.name == v.name() {
				members, _ := c.args.(map[string]any)
				return members[v.Argument], nil
			}
		}
		return nil, nil
	},
	"tool_result": func(*responseValue, *response) (any, error) { return nil, nil }, // no answer has one
	"response_content": func(_ *responseValue, r *response) (any, error) {
		if r.content == "" {
			return nil, nil
		}
		return r.content, nil
	},
	"response_model":         func(_ *responseValue, r *response) (any, error) { return r.model, nil },
	"response_finish_reason": func(_ *responseValue, r *response) (any, error) { return r.finish, nil },
	"response_input_tokens":  func(_ *responseValue, r *response) (any, error) { return r.input, nil },
	"response_output_tokens": func(_ *responseValue, r *response) (any, error) { return r.output, nil },
	"response_total_tokens":  func(_ *responseValue, r *response) (any, error) { return r.total, nil },
	"response_field": func(v *responseValue, r *response) (any, error) {
		found, err := at(r.raw, v.Path)
		if err != nil && !leads(v.Path) {
			return nil, err
		}
		return found, nil // nil for what is not there
	},
}

func (v *responseValue) name() string {
	if v.Name == nil {
		return ""
	}
	return *v.Name
}

// called counts the calls of the tool, or all where none is named.
func (v *responseValue) called(r *response) (n int) {
	for _, c := range r.calls {
		if v.Name == nil || c.name == *v.Name {
			n++
		}
	}
	return n
}

// partly reports whether a value has all that another has.
func partly(actual, expected any) bool {
	a, is := actual.(map[string]any)
	e, too := expected.(map[string]any)
	if !is || !too {
		return same(actual, expected)
	}
	for name, want := range e {
		if has, ok := a[name]; !ok || !partly(has, want) {
			return false
		}
	}
	return true
}

func responseValueOf(raw json.RawMessage) (value, error) {
	kind, body, err := only(raw)
	if err != nil {
		return nil, err
	}
	v := &responseValue{take: responseTakers[kind]}
	if v.take == nil {
		return nil, fmt.Errorf("%.60q is nothing that an answer has", kind)
	}
	if err := strictly(body, v); err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	if len(v.Arguments) > 0 {
		v.arguments, err = Decode(v.Arguments)
	}
	return v, err
}
