package scouterdoor

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/driftmesh/driftmesh/internal/fault"
	"github.com/driftmesh/driftmesh/internal/scouter"
	driftv1 "github.com/driftmesh/driftmesh/proto/driftmesh/drift/v1"
)

const (
	usualAlerts = 50
	// alertPage alerts are read at a time, and alertPages pages at most: older alerts
	// are not found.
	alertPage  = 200
	alertPages = 10
)

// eachAlert calls do with alerts of a profile, or of all, the newest first, until it
// says that it is enough.
func (d *Door) eachAlert(ctx context.Context, uid string, do func(*driftv1.Alert) (enough bool)) error {
	token := ""
	for range alertPages {
		page, err := d.Drift.ListAlerts(ctx, &driftv1.ListAlertsRequest{Profile: uid, PageSize: alertPage, PageToken: token})
		if err != nil {
			return err
		}
		if slices.ContainsFunc(page.GetAlerts(), do) {
			return nil
		}
		if token = page.GetNextPageToken(); token == "" {
			return nil
		}
	}
	return nil
}

type alertRequest struct {
	UID         string     `json:"uid"`
	Active      *bool      `json:"active"`
	Limit       *int       `json:"limit"`
	CursorStart *time.Time `json:"cursor_created_at"`
	CursorID    *int32     `json:"cursor_id"`
	Direction   *string    `json:"direction"`
	Start       *time.Time `json:"start_datetime"`
	End         *time.Time `json:"end_datetime"`
}

func (a *alertRequest) wants(i *scouter.AlertItem) bool {
	return (a.Active == nil || i.Active == *a.Active) && (a.Start == nil || !i.CreatedAt.Before(*a.Start)) && (a.End == nil || !i.CreatedAt.After(*a.End))
}

// order is that of alerts: the newest first, and by id those of one moment.
func order(a, b alertCursor) int {
	return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID))
}

// page is the part of all items that is asked for, from first to before last. What the
// cursor names need not be there any more.
func (a *alertRequest) page(all []scouter.AlertItem) (first, last int) {
	limit := usualAlerts
	if a.Limit != nil && *a.Limit > 0 {
		limit = min(*a.Limit, alertPage*alertPages)
	}
	if a.CursorStart == nil || a.CursorID == nil {
		return 0, min(limit, len(all))
	}
	at, there := slices.BinarySearchFunc(all, alertCursor{*a.CursorStart, *a.CursorID}, func(i scouter.AlertItem, c alertCursor) int {
		return order(alertCursor{i.CreatedAt, i.ID}, c)
	})
	if a.Direction != nil && *a.Direction == "previous" {
		return max(at-limit, 0), at
	}
	if there {
		at++
	}
	return at, min(at+limit, len(all))
}

// alerts lists those of a profile.
func (d *Door) alerts(r *http.Request) (any, error) {
	req, err := asked[alertRequest](r)
	if err == nil && req.UID == "" {
		err = fault.Invalid.New("uid is required").WithReason("FIELD_INVALID")
	}
	if err != nil {
		return nil, err
	}
	ctx := asCaller(r.Context(), r)
	found, err := d.Drift.GetProfile(ctx, &driftv1.GetProfileRequest{Profile: req.UID, Origin: true})
	if err != nil {
		return nil, err
	}
	var alerts []*driftv1.Alert
	err = d.eachAlert(ctx, req.UID, func(a *driftv1.Alert) bool {
		alerts = append(alerts, a)
		return false
	})
	all := []scouter.AlertItem{}
	if err == nil && len(alerts) > 0 {
		driftType, _ := strings.CutPrefix(found.GetOrigin().GetFormat(), scouter.FormatPrefix)
		all, err = scouter.AlertsOf(driftType, found.GetOrigin().GetDocument(), alerts)
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b scouter.AlertItem) int {
		return order(alertCursor{a.CreatedAt, a.ID}, alertCursor{b.CreatedAt, b.ID})
	})
	all = slices.DeleteFunc(all, func(i scouter.AlertItem) bool { return !req.wants(&i) })
	first, last := req.page(all)
	items := all[first:last]
	var next, previous *alertCursor
	if len(items) > 0 && last < len(all) {
		next = &alertCursor{items[len(items)-1].CreatedAt, items[len(items)-1].ID}
	}
	if len(items) > 0 && first > 0 {
		previous = &alertCursor{items[0].CreatedAt, items[0].ID}
	}
	return paged(items, next, previous), nil
}

type alertCursor struct {
	CreatedAt time.Time `json:"created_at"`
	ID        int32     `json:"id"`
}

// acknowledge takes an alert on. Of the items of one alert each stands for all.
func (d *Door) acknowledge(r *http.Request) (any, error) {
	req, err := asked[struct {
		ID     int32 `json:"id"`
		Active bool  `json:"active"`
	}](r)
	if err == nil && req.Active {
		err = fault.Unsupported.New("an alert that was acknowledged stays so").WithReason("NOT_SERVED")
	}
	if err != nil {
		return nil, err
	}
	ctx, id := asCaller(r.Context(), r), ""
	err = d.eachAlert(ctx, "", func(a *driftv1.Alert) bool {
		if scouter.HasItem(a, req.ID) {
			id = a.GetId()
		}
		return id != ""
	})
	if err == nil && id == "" {
		err = fault.Invalid.New("there is no alert %d", req.ID).WithReason("ALERT_NOT_FOUND")
	}
	if err == nil {
		_, err = d.Drift.AcknowledgeAlert(ctx, &driftv1.AcknowledgeAlertRequest{Id: id})
	}
	if err != nil {
		return nil, err
	}
	return map[string]bool{"updated": true}, nil
}
