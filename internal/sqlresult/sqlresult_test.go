package sqlresult_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/driftmesh/driftmesh/internal/sqlresult"
)

func TestFormats(t *testing.T) {
	t.Parallel()
	rows := []string{
		`[18446744073709551615, "a, \"b\"\nc\td\\", null, {"k":"v","n":[1,2]}]`,
		`["nan", "", "\u0000null", []]`,
	}
	for format, want := range map[string]string{
		"json": `{"n":18446744073709551615,"a \"name\"":"a, \"b\"\nc\td\\","x":null,"m":{"k":"v","n":[1,2]}}` + "\n" +
			`{"n":"nan","a \"name\"":"","x":"\u0000null","m":[]}` + "\n",
		"csv": "n,\"a \"\"name\"\"\",x,m\n18446744073709551615,\"a, \"\"b\"\"\nc\td\\\",,\"{\"\"k\"\":\"\"v\"\",\"\"n\"\":[1,2]}\"\nnan,,\x00null,[]\n",
		"tsv": "n\ta \"name\"\tx\tm\n18446744073709551615\ta, \"b\"\\nc\\td\\\\\t\\N\t{\"k\":\"v\",\"n\":[1,2]}\nnan\t\t\\0null\t[]\n",
	} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			var b strings.Builder
			w := sqlresult.New(&b, format)
			require.NoError(t, w.Begin([]string{"n", `a "name"`, "x", "m"}))
			for _, row := range rows {
				require.NoError(t, w.Row(row))
			}
			require.NoError(t, w.End())
			require.Equal(t, want, b.String())
			require.Error(t, w.Row("nonsense"))
		})
	}
	require.Nil(t, sqlresult.New(nil, "xml"))
}
