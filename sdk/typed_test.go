package sdk

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type place struct{ Cellar string }

type bottle struct {
	place
	Acid   float32 `feature:"acid"`
	Colour string  `feature:"colour"`
	Year   *uint16 `feature:"year"`
	Cork   bool    `feature:"-"`
	Note   string
}

func TestStructsAreRecords(t *testing.T) {
	t.Parallel()
	q := captured(t, cellar(t))
	in, err := Of[bottle](q, "wine")
	require.NoError(t, err)
	year := uint16(2020)
	require.NoError(t, in.Insert(t.Context(), &bottle{Acid: 7.5, Colour: "red", Year: &year, Cork: true}))
	require.NoError(t, in.InsertAs(t.Context(), "id", time.Unix(3, 0), &bottle{Acid: 7.5}))
	list := q.Drain("wine")
	require.Equal(t, `values:{name:"acid" float:7.5} values:{name:"colour" string:"red"} values:{name:"year" int:2020}`, strings.ReplaceAll(list[0].GetFeatures().String(), "  ", " "))
	require.Equal(t, `values:{name:"acid" float:7.5} values:{name:"colour" string:""} values:{name:"year" missing:{}}`, strings.ReplaceAll(list[1].GetFeatures().String(), "  ", " "))
	require.ErrorContains(t, in.Insert(t.Context(), nil), RuleEmptyRecord)

	_, err = Of[struct {
		Acid  string   `feature:"acid"`
		Other int      `feature:"other"`
		List  []string `feature:"colour"`
	}](q, "wine")
	require.ErrorContains(t, err, "field Acid: ")
	require.ErrorContains(t, err, "field Other: ")
	require.ErrorContains(t, err, "field List: ")
	_, err = Of[place](q, "wine")
	require.ErrorContains(t, err, "no field")
	_, err = Of[int](q, "wine")
	require.ErrorContains(t, err, "no struct")
	_, err = Of[bottle](q, "beer")
	require.ErrorIs(t, err, ErrNoAlias)
}
