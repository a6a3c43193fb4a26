package wire

import (
	"slices"

	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
	"github.com/driftmesh/driftmesh/sdk/profile"
)

// checkKinds are the words for what checks look at.
var checkKinds = map[profile.CheckOf]driftv1.CheckOf{
	profile.OfContext: driftv1.CheckOf_CHECK_OF_CONTEXT, profile.OfTrace: driftv1.CheckOf_CHECK_OF_TRACE,
	profile.OfResponse: driftv1.CheckOf_CHECK_OF_RESPONSE, profile.OfJudge: driftv1.CheckOf_CHECK_OF_JUDGE,
}

func checksMessage(c *profile.Checks) *driftv1.Checks {
	if c == nil {
		return nil
	}
	m := &driftv1.Checks{Member: c.Member, Rate: c.Rate, TraceMember: c.TraceMember, TraceAttribute: c.TraceAttribute}
	for _, one := range c.All {
		m.All = append(m.All, &driftv1.Check{
			Name: one.Name, Feature: one.Feature, Of: checkKinds[one.Of], ValueJson: string(one.Value), Path: one.Path, ItemPath: one.ItemPath,
			Provider: one.Provider, Operator: one.Operator, ExpectedJson: string(one.Expected), DependsOn: slices.Clone(one.DependsOn), Gate: one.Gate,
		})
	}
	return m
}

func checksOf(m *driftv1.Checks) *profile.Checks {
	if m == nil {
		return nil
	}
	c := &profile.Checks{Member: m.GetMember(), Rate: m.GetRate(), TraceMember: m.GetTraceMember(), TraceAttribute: m.GetTraceAttribute()}
	for _, one := range m.GetAll() {
		c.All = append(c.All, profile.Check{
			Name: one.GetName(), Feature: one.GetFeature(), Of: wordOf(checkKinds, one.GetOf()), Value: jsonOf(one.GetValueJson()),
			Path: one.GetPath(), ItemPath: one.GetItemPath(), Provider: one.GetProvider(), Operator: one.GetOperator(),
			Expected: jsonOf(one.GetExpectedJson()), DependsOn: slices.Clone(one.GetDependsOn()), Gate: one.GetGate(),
		})
	}
	return c
}

func jsonOf(text string) []byte {
	if text == "" {
		return nil
	}
	return []byte(text)
}
