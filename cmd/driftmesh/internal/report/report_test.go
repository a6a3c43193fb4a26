package report_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/driftmesh/driftmesh/cmd/driftmesh/internal/report"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

func pointer(v float64) *float64 { return &v }

// score is a verdict on a feature with so many bins, of which the last has moved.
func score(feature string, bins int, verdict driftv1.Verdict) *driftv1.Score {
	s := &driftv1.Score{
		Monitor: "psi", Detector: "psi", Feature: feature, Verdict: verdict, Value: pointer(0.123456), Threshold: pointer(0.02), PValue: pointer(0.001),
		AdjustedPValue: pointer(0.003), Sample: 12345, Reference: 1234567,
		States: []*driftv1.BinScore{{Label: "missing", Expected: 0.01, Observed: 0.2, Count: 77, Contribution: 0.01}, {Label: "nan"}},
	}
	for i := range bins {
		b := &driftv1.BinScore{Label: fmt.Sprintf("(%d, %d]", i, i+1), Expected: 1 / float64(bins), Observed: 1 / float64(bins), Count: 10}
		if i == bins-1 {
			b.Observed, b.Contribution = 0.9, 0.2
		}
		s.Bins = append(s.Bins, b)
	}
	return s
}

func series(feature string, points int) report.Series {
	s := report.Series{Monitor: "psi", Feature: feature, Detector: "psi"}
	for i := range points {
		p := report.Point{Label: fmt.Sprintf("2026-01-01 %02d:00", i%24), Value: pointer(math.Sin(float64(i))), Threshold: pointer(0.5), Verdict: driftv1.Verdict_VERDICT_OK, Sample: 5}
		switch {
		case i == 1:
			p.Verdict, p.Value = driftv1.Verdict_VERDICT_INSUFFICIENT, nil
		case *p.Value > 0.5:
			p.Verdict = driftv1.Verdict_VERDICT_DRIFT
		}
		s.Points = append(s.Points, p)
	}
	return s
}

func written(t *testing.T, d report.Data) string {
	t.Helper()
	d.Made = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	var out bytes.Buffer
	require.NoError(t, report.Write(&out, d))
	return out.String()
}

// contains requires a text in a page, without showing the page.
func contains(t *testing.T, page, text string) {
	t.Helper()
	require.NotZero(t, strings.Count(page, text), text)
}

// requireClosed requires of a page that it asks nobody for anything, and of its
// charts that they are well-formed.
func requireClosed(t *testing.T, page string) {
	t.Helper()
	tree, err := html.Parse(strings.NewReader(page))
	require.NoError(t, err)
	for node := range tree.Descendants() {
		require.NotContains(t, []string{"script", "img", "link", "iframe", "object", "embed", "base", "form"}, node.Data)
		for _, a := range node.Attr {
			require.NotContains(t, []string{"src", "srcset", "style", "xlink:href"}, a.Key)
			require.False(t, strings.HasPrefix(a.Key, "on"), a.Key)
			if a.Key == "href" {
				require.True(t, strings.HasPrefix(a.Val, "#"), a.Val)
				contains(t, page, `id="`+a.Val[1:]+`"`)
			}
		}
	}
	require.Empty(t, regexp.MustCompile(`url\([^#]|@import|https?:|NaN|Inf|%!|ZgotmplZ`).FindString(page))
	for _, svg := range regexp.MustCompile(`(?s)<svg .*?</svg>`).FindAllString(page, -1) {
		d := xml.NewDecoder(strings.NewReader(svg))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else {
				require.NoError(t, err, svg)
			}
		}
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	const hostile = `<script>alert(1)</script>"'&`
	page := written(t, report.Data{
		Title: "s/n/1.0.0 " + hostile, When: "today", Facts: []string{"a fact"}, Rows: 4321, Reference: 1234567,
		Evaluation: &driftv1.Evaluation{Scores: []*driftv1.Score{
			score("steady", 10, driftv1.Verdict_VERDICT_OK), score(hostile, 10, driftv1.Verdict_VERDICT_DRIFT), score("few", 3, driftv1.Verdict_VERDICT_INSUFFICIENT),
			{Monitor: "empty", Detector: "no_data", Feature: "steady"},
		}},
		Series: []report.Series{series(hostile, 30), series("gone", 5), {Monitor: "silent", Feature: hostile, Points: []report.Point{{Label: "x", Value: pointer(0), Verdict: driftv1.Verdict_VERDICT_OK}}}},
	})
	requireClosed(t, page)
	for _, says := range []string{
		"<h1>&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp; has moved. Everything else holds.</h1>", "a fact", "4,321", "1,234,567",
		"◆ drift", "✓ as reference", "◌ insufficient", "0.1235", "0.003", "(9, 10]: 10.0 % → 90.0 %", "prefers-color-scheme:dark", "2026-11-27 12:00 UTC",
		"<th>(8, 9]<td>10.0 %<td>10.0 %<td>10<td>0\n",
		"<th>2026-01-01 02:00<td>0.9093<td>0.5<td>5<td>drift\n",
		"<title>psi of &lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp; over time, by monitor psi</title>",
	} {
		contains(t, page, says)
	}
	require.Less(t, strings.Index(page, `<h2 id="f1t"`), strings.Index(page, `<h2 id="f0t"`), "what moved comes first")
	require.Zero(t, strings.Count(page, "by monitor silent"), "what is 0 throughout is not drawn")
	require.Zero(t, strings.Count(page, "nan<"), "states without values are left out")

	for says, scores := range map[string][]*driftv1.Score{
		"Nothing was judged.":                 nil,
		"Nothing has moved.":                  {score("a", 2, driftv1.Verdict_VERDICT_OK), score("b", 2, driftv1.Verdict_VERDICT_INSUFFICIENT)},
		"There is too little to judge by.":    {score("a", 2, driftv1.Verdict_VERDICT_INSUFFICIENT)},
		"2 of 3 features have moved.":         {score("a", 2, driftv1.Verdict_VERDICT_DRIFT), score("b", 2, driftv1.Verdict_VERDICT_DRIFT), score("c", 2, driftv1.Verdict_VERDICT_OK)},
		"the 976 bins that add least are not": {score("a", 1000, driftv1.Verdict_VERDICT_DRIFT)},
	} {
		page := written(t, report.Data{Evaluation: &driftv1.Evaluation{Scores: scores}})
		requireClosed(t, page)
		contains(t, page, says)
	}
}

// A report of many features over a long time can still be sent around, and leaves
// out no drift.
func TestReportStaysSmall(t *testing.T) {
	t.Parallel()
	d := report.Data{Evaluation: &driftv1.Evaluation{}}
	for i := range 200 {
		name := fmt.Sprintf("a_feature_with_a_long_name_%03d", i)
		d.Evaluation.Scores = append(d.Evaluation.Scores, score(name, 20, driftv1.Verdict_VERDICT_DRIFT))
		s := series(name, 1000)
		for k := range s.Points {
			s.Points[k].Verdict = driftv1.Verdict_VERDICT_OK
		}
		s.Points[777].Verdict = driftv1.Verdict_VERDICT_DRIFT
		d.Series = append(d.Series, s)
	}
	page := written(t, d)
	requireClosed(t, page)
	require.Less(t, len(page), 2_000_000)
	t.Logf("%d bytes", len(page))
	require.Equal(t, 200, strings.Count(page, "<td>drift\n"), "of every series one point")
}
